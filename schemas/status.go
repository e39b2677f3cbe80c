package schemas

import (
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// Status is a record of the status topic: the last known status of a conversation.
type Status struct {
	Answer
	// Version counts the conversation's change events; 0 for a room that never had a member.
	Version int64
}

// AppendStatus appends the status record's value to dst.
func AppendStatus(dst []byte, kind Kind, s *Status) []byte {
	dst = append(dst, '{')
	if kind == Room {
		dst = append(dst, `"members":`...)
		dst = appendMembers(dst, s.Members)
	} else {
		dst = appendConsentFields(dst, s.Consent)
	}
	dst = append(dst, `,"checked_at":"`...)
	dst = AppendTime(dst, s.CheckedAt)
	dst = append(dst, `","version":`...)
	dst = strconv.AppendInt(dst, s.Version, 10)
	return append(dst, '}')
}

// statusJSON is what a status record may hold. Unknown fields are ignored: a newer consentd may have written it.
type statusJSON struct {
	Consent
	Members   []Member  `json:"members"`
	CheckedAt time.Time `json:"checked_at"`
	Version   int64     `json:"version"`
}

// DecodeStatus reads a status record of a conversation of the given kind.
func DecodeStatus(kind Kind, value []byte) (Status, error) {
	var v statusJSON
	if err := json.Unmarshal(value, &v); err != nil {
		return Status{}, fmt.Errorf("status record: %w", err)
	}
	s := Status{Answer: Answer{CheckedAt: v.CheckedAt}, Version: v.Version}
	switch {
	case v.CheckedAt.IsZero() || v.Version < 0:
		return Status{}, fmt.Errorf("status record: want checked_at and a version of at least 0")
	case kind == Room && v.Members != nil && v.AgreeStatus == "":
		s.Members = v.Members
	case kind == Single && v.AgreeStatus != "" && v.Members == nil:
		s.Consent = v.Consent
	default:
		return Status{}, fmt.Errorf("status record: want agree_status for a pair, members for a room")
	}
	return s, nil
}
