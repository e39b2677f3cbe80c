package schemas

import (
	"fmt"
	"strconv"
	"strings"
)

// The headers of parked, forwarded and dead-letter records. A record that comes in with consentd-* headers loses them to
// ours when it goes out again, but for those of a replay; what a replayed record is narrowed to is read from them everywhere.
const (
	headerPrefix         = "consentd-"
	HeaderErrorClass     = headerPrefix + "error-class"
	HeaderError          = headerPrefix + "error"
	HeaderErrcode        = headerPrefix + "errcode"
	HeaderAttempt        = headerPrefix + "attempt"
	HeaderFirstAttemptAt = headerPrefix + "first-attempt-at" // unix ms
	HeaderNotBefore      = headerPrefix + "not-before"       // unix ms
	HeaderOrigin         = headerPrefix + "origin"
	HeaderRequestID      = headerPrefix + "request-id"
	HeaderItemIndexes    = headerPrefix + "item-indexes"
	HeaderItemCount      = headerPrefix + "item-count"
	HeaderTruncated      = headerPrefix + "truncated"
	HeaderKey            = headerPrefix + "key"
	HeaderCommand        = headerPrefix + "command"
	replayPrefix         = headerPrefix + "replay-"

	// CommandForget is a HeaderCommand: the conversations of the request are to be forgotten instead of asked about. It is
	// obeyed in the forward topic alone.
	CommandForget = "forget"

	// HeaderTraceParent is carried over from a request to all that comes of it.
	HeaderTraceParent = "traceparent"
)

// maxOriginText is the length of the longest Origin: it stands in HeaderRequestID when the value has no request_id. Kafka
// bounds a topic's name to 249 characters.
const maxOriginText = 249 + len("/2147483647/9223372036854775807")

// LastHeader returns the value of the last header named key, as Kafka's clients do.
func LastHeader(headers []Header, key string) (value []byte, ok bool) {
	for i := len(headers) - 1; i >= 0; i-- {
		if headers[i].Key == key {
			return headers[i].Value, true
		}
	}
	return nil, false
}

// decodeHeaders applies what the headers say of the request: the id it was first known by, and which of the first
// request's items it holds.
func decodeHeaders(headers []Header, req *Request, invalid *InvalidError) {
	if len(headers) == 0 {
		return
	}
	if id, ok := LastHeader(headers, HeaderRequestID); ok && req.ID == "" {
		if p := requestIDProblem(string(id), maxOriginText); p != "" {
			invalid.add("header %s: %s", HeaderRequestID, p)
		} else {
			req.ID = string(id)
		}
	}
	indexes, hasIndexes := LastHeader(headers, HeaderItemIndexes)
	count, hasCount := LastHeader(headers, HeaderItemCount)
	switch {
	case !hasIndexes && !hasCount:
		return
	case !hasIndexes || !hasCount:
		invalid.add("headers %s and %s: want both or neither", HeaderItemIndexes, HeaderItemCount)
		return
	case len(req.Items) == 0:
		return // the value is invalid already
	}
	n, err := parseDecimal(string(count))
	if err != nil || n < 1 || n > MaxItems {
		invalid.add("header %s: %.40q: want an integer of 1 to %d", HeaderItemCount, count, MaxItems)
		return
	}
	texts := strings.Split(string(indexes), ",")
	if len(texts) != len(req.Items) {
		invalid.add("header %s: names %d items, the request has %d", HeaderItemIndexes, len(texts), len(req.Items))
		return
	}
	last := -1
	for i, text := range texts {
		index, err := parseDecimal(text)
		if err != nil || index <= last || index >= n {
			invalid.add("header %s: %.40q: want ascending integers below %d, each once", HeaderItemIndexes, text, n)
			return
		}
		req.Items[i].Index, last = index, index
	}
	req.Count = n
}

// parseDecimal reads what Itoa writes and nothing else: no sign, no leading zero.
func parseDecimal(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && strconv.Itoa(n) != s {
		err = strconv.ErrSyntax
	}
	return n, err
}

// Failure says why items were not answered.
type Failure struct {
	Class    Class
	Errcode  int    // of the API's last reply; 0: none
	Message  string // free of secrets
	Attempts int    // calls made
}

// String is how a log says it.
func (f Failure) String() string {
	if f.Errcode != 0 {
		return fmt.Sprintf("%s (errcode %d): %s", f.Class, f.Errcode, f.Message)
	}
	return fmt.Sprintf("%s: %s", f.Class, f.Message)
}
