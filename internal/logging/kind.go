package logging

import (
	"encoding/json"
	"strings"

	"github.com/rs/zerolog"
)

// subject is what a line is about: the fields that make two lines with the same message two events for whoever reads them.
// A corp that fails in another way, or a partition beside the first, is news. The text of an error is not: it has ports,
// times and ids of calls that are others each time. A new generation of the group begins anew.
type subject struct {
	Message    string          `json:"message"`
	CorpID     json.RawMessage `json:"corp_id"`
	Provider   json.RawMessage `json:"provider"`
	Class      json.RawMessage `json:"class"`
	Errcode    json.RawMessage `json:"errcode"`
	Topic      json.RawMessage `json:"topic"`
	Partition  json.RawMessage `json:"partition"`
	Generation json.RawMessage `json:"generation"`
}

// kind is what the lines have in common that are counted together: their level, message and subject, or less of it when
// there would be too many kinds.
type kind string

// kinds returns what a line may be counted as: the most exact first, then by message alone, then by level alone. There is
// none for what is no line of zerolog's.
func kinds(level zerolog.Level, line []byte) (exact, message, severity kind, ok bool) {
	var s subject
	if json.Unmarshal(line, &s) != nil || s.Message == "" {
		return "", "", "", false
	}
	severity = kind(level.String())
	message = severity + kind("\n"+s.Message)
	var b strings.Builder
	b.WriteString(string(message))
	for _, field := range []json.RawMessage{s.CorpID, s.Provider, s.Class, s.Errcode, s.Topic, s.Partition, s.Generation} {
		b.WriteByte('\n')
		b.Write(field)
	}
	return kind(b.String()), message, severity, true
}
