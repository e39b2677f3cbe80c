package schemas

import "time"

// The headers of an event: CloudEvents 1.0 in the Kafka binary binding.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderSubject     = "ce_subject"
	HeaderTime        = "ce_time"
	HeaderContentType = "content-type"

	specVersion = "1.0"
	contentType = "application/json"
)

// SourceOf returns the ce_source of a consumer group's events.
func SourceOf(group string) string { return "consentd/" + group }

// EventHeaders holds the headers of events, filled in anew for each and reused: one event costs no allocation. Not safe
// for concurrent use.
type EventHeaders struct {
	headers [8]Header
	time    []byte
	at      time.Time
}

// NewEventHeaders returns the headers of events from source.
func NewEventHeaders(source string) *EventHeaders {
	return &EventHeaders{headers: [8]Header{
		{Key: HeaderSpecVersion, Value: []byte(specVersion)},
		{Key: HeaderSource, Value: []byte(source)},
		{Key: HeaderContentType, Value: []byte(contentType)},
		{Key: HeaderID},
		{Key: HeaderType},
		{Key: HeaderTime},
	}}
}

// Of returns the headers of one event, valid until the next call. subject (the conversation key) and traceParent are
// left out when empty.
func (h *EventHeaders) Of(eventType string, id, subject []byte, at time.Time, traceParent []byte) []Header {
	if !at.Equal(h.at) || h.time == nil {
		h.at, h.time = at, AppendTime(h.time[:0], at)
	}
	h.headers[3].Value = id
	h.headers[4].Value = eventTypes[eventType]
	h.headers[5].Value = h.time
	n := 6
	if len(subject) > 0 {
		h.headers[n] = Header{Key: HeaderSubject, Value: subject}
		n++
	}
	if len(traceParent) > 0 {
		h.headers[n] = Header{Key: HeaderTraceParent, Value: traceParent}
		n++
	}
	return h.headers[:n]
}

var eventTypes = map[string][]byte{
	TypeChecked: []byte(TypeChecked),
	TypeFailed:  []byte(TypeFailed),
	TypeChanged: []byte(TypeChanged),
}
