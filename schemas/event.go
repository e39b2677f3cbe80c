package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"consentd/internal/handjson"
)

// The types of events, as in `type` and `ce_type`.
const (
	TypeChecked = "consent.checked"
	TypeFailed  = "consent.failed"
	TypeChanged = "consent.changed"
)

// Agree is the one word of the API that is consent.
const Agree = "Agree"

// Source says where an answer comes from.
type Source string

const (
	// SourceAPI is a reply to a call made for it.
	SourceAPI Source = "api"
	// SourceStatus is the last known status.
	SourceStatus Source = "status"
)

// Change is the kind of a consent.changed event.
type Change string

// The kinds of changes. Joined and Left are of rooms alone.
const (
	FirstSeen Change = "first_seen"
	Granted   Change = "granted"
	Withdrawn Change = "withdrawn"
	Updated   Change = "updated"
	Joined    Change = "joined"
	Left      Change = "left"
)

// Consent is the API's word on one customer and the time since when it holds.
type Consent struct {
	AgreeStatus string `json:"agree_status"`
	// StatusChangeTime is in unix seconds; 0: unknown.
	StatusChangeTime int64 `json:"status_change_time"`
}

// Supersedes tells which of two replies counts for one who is named twice: the later, and at the same time the one that
// is no consent.
func (c Consent) Supersedes(o Consent) bool {
	if c.StatusChangeTime != o.StatusChangeTime {
		return c.StatusChangeTime > o.StatusChangeTime
	}
	return c.AgreeStatus != Agree && o.AgreeStatus == Agree
}

// Member is one customer of a room.
type Member struct {
	ExternalUserID string `json:"external_userid"`
	Consent
}

// Answer is what is known of a conversation: the consent of a pair, or the members of a room.
type Answer struct {
	Consent
	Members []Member // of a room, ascending by ExternalUserID
	// CheckedAt is when the API replied.
	CheckedAt time.Time
}

// RequestRef ties an event to the item of the request that it answers.
type RequestRef struct {
	ID    string `json:"id"`
	Index int    `json:"index"`
	Count int    `json:"count"`
}

// Envelope is what every event carries beside its own content.
type Envelope struct {
	Request RequestRef
	// Context is the request's, as sent; empty: none.
	Context string
}

// AppendChecked appends a consent.checked event to dst.
func AppendChecked(dst []byte, c Conversation, a *Answer, source Source, env *Envelope) []byte {
	dst = appendConversation(dst, TypeChecked, c)
	consented := a.AgreeStatus == Agree
	if c.Kind == Room {
		consented = len(a.Members) > 0
		for i := range a.Members {
			consented = consented && a.Members[i].AgreeStatus == Agree
		}
		dst = append(dst, `,"members":`...)
		dst = appendMembers(dst, a.Members)
	} else {
		dst = append(dst, ',')
		dst = appendConsentFields(dst, a.Consent)
	}
	dst = append(dst, `,"consented":`...)
	dst = strconv.AppendBool(dst, consented)
	dst = append(dst, `,"source":"`...)
	dst = append(dst, source...)
	dst = append(dst, `","checked_at":"`...)
	dst = AppendTime(dst, a.CheckedAt)
	dst = append(dst, '"')
	return env.append(dst)
}

// AppendFailed appends a consent.failed event to dst. Of c only what is known and valid is set: all of it is empty when
// the request can't be decoded.
func AppendFailed(dst []byte, c Conversation, f *Failure, at time.Time, env *Envelope) []byte {
	dst = appendConversation(dst, TypeFailed, c)
	dst = append(dst, `,"error":{"class":"`...)
	dst = append(dst, f.Class...)
	dst = append(dst, '"')
	if f.Errcode != 0 {
		dst = append(dst, `,"errcode":`...)
		dst = strconv.AppendInt(dst, int64(f.Errcode), 10)
	}
	dst = append(dst, `,"message":`...)
	dst = handjson.AppendString(dst, f.Message)
	dst = append(dst, `,"attempts":`...)
	dst = strconv.AppendInt(dst, int64(f.Attempts), 10)
	dst = append(dst, `},"failed_at":"`...)
	dst = AppendTime(dst, at)
	dst = append(dst, '"')
	return env.append(dst)
}

// Transition is one change of a conversation's consent.
type Transition struct {
	// ExternalUserID names the member of a room; empty for a pair.
	ExternalUserID string
	Change         Change
	// Previous is nil when nothing was known, Current when the member left.
	Previous, Current *Consent
	// Version counts the changes of the conversation, from 1.
	Version int64
}

// AppendChanged appends a consent.changed event to dst.
func AppendChanged(dst []byte, c Conversation, t *Transition, at time.Time, env *Envelope) []byte {
	if c.Kind == Room {
		c.ExternalUserID = t.ExternalUserID
	}
	dst = appendConversation(dst, TypeChanged, c)
	dst = append(dst, `,"change":"`...)
	dst = append(dst, t.Change...)
	dst = append(dst, `","previous":`...)
	dst = appendConsent(dst, t.Previous)
	dst = append(dst, `,"current":`...)
	dst = appendConsent(dst, t.Current)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, t.Version, 10)
	dst = append(dst, `,"observed_at":"`...)
	dst = AppendTime(dst, at)
	dst = append(dst, '"')
	return env.append(dst)
}

// appendConversation opens the event. Its strings are quoted with care: a room's members are named by the API.
func appendConversation(dst []byte, eventType string, c Conversation) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, eventType...)
	dst = append(dst, '"')
	for _, f := range [...]struct{ name, value string }{
		{`,"corp_id":`, c.CorpID},
		{`,"kind":`, string(c.Kind)},
		{`,"open_userid":`, c.OpenUserID},
		{`,"chatid":`, c.ChatID},
		{`,"external_userid":`, c.ExternalUserID},
	} {
		if f.value != "" {
			dst = append(dst, f.name...)
			dst = handjson.AppendString(dst, f.value)
		}
	}
	return dst
}

func appendConsent(dst []byte, c *Consent) []byte {
	if c == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	dst = appendConsentFields(dst, *c)
	return append(dst, '}')
}

func appendConsentFields(dst []byte, c Consent) []byte {
	dst = append(dst, `"agree_status":`...)
	dst = handjson.AppendString(dst, c.AgreeStatus)
	dst = append(dst, `,"status_change_time":`...)
	return strconv.AppendInt(dst, c.StatusChangeTime, 10)
}

func appendMembers(dst []byte, members []Member) []byte {
	dst = append(dst, '[')
	for i := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"external_userid":`...)
		dst = handjson.AppendString(dst, members[i].ExternalUserID)
		dst = append(dst, ',')
		dst = appendConsentFields(dst, members[i].Consent)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// append closes the event.
func (e *Envelope) append(dst []byte) []byte {
	dst = append(dst, `,"request":{"id":`...)
	dst = handjson.AppendString(dst, e.Request.ID)
	dst = append(dst, `,"index":`...)
	dst = strconv.AppendInt(dst, int64(e.Request.Index), 10)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(e.Request.Count), 10)
	dst = append(dst, '}')
	if e.Context != "" {
		dst = append(dst, `,"context":`...)
		dst = append(dst, e.Context...)
	}
	return append(dst, '}')
}

// AppendTime appends t as the messages write it: RFC 3339, UTC, milliseconds. Every event has two of them, so the layout is
// not parsed each time.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1e6, 3)
	return append(dst, 'Z')
}

// appendDigits writes the last digits of n.
func appendDigits(dst []byte, n, digits int) []byte {
	dst = append(dst, "0000"[:digits]...)
	for i := len(dst) - 1; i >= len(dst)-digits; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// AppendAnswerID appends the ce_id of the terminal event of a request's item. It follows from where the request first
// stood, so that a repeat of the event carries the same.
func AppendAnswerID(dst []byte, origin Origin, index int) []byte {
	dst = origin.append(dst)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, int64(index), 10)
}

// AppendChangeID appends the ce_id of a consent.changed event: a hash of the conversation, the member, the version, what
// is now known, and the item that brought it to light.
func AppendChangeID(dst []byte, key []byte, t *Transition, origin Origin, index int) []byte {
	var buf [512]byte
	b := append(buf[:0], key...)
	b = append(b, 0)
	b = append(b, t.ExternalUserID...)
	b = append(b, 0)
	b = strconv.AppendInt(b, t.Version, 10)
	b = append(b, 0)
	if t.Current != nil {
		b = append(b, t.Current.AgreeStatus...)
		b = append(b, 0)
		b = strconv.AppendInt(b, t.Current.StatusChangeTime, 10)
	}
	b = append(b, 0)
	b = AppendAnswerID(b, origin, index)
	sum := sha256.Sum256(b)
	return hex.AppendEncode(dst, sum[:16])
}
