package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxErrorBytes bounds the text of HeaderError.
const maxErrorBytes = 1024

// Trail is what the headers of a parked or forwarded request or a dead letter say of the way it has come.
type Trail struct {
	// Failure is why it is parked or dead; of a forwarded request only the attempts count.
	Failure Failure
	// Origin is where the first record of the request stands; zero: this is the first one.
	Origin Origin
	// FirstAttemptAt is when the request was first taken up; zero: it was not yet.
	FirstAttemptAt time.Time
	// NotBefore is when a parked request is to be taken up again; zero for a dead letter.
	NotBefore time.Time
	// RequestID is set when the value has none that could be read.
	RequestID string
	// Indexes and Count are set when the value is narrowed.
	Indexes []int
	Count   int
	// Truncated is the original's size in bytes when the value was cut; 0: it was not.
	Truncated int
	// Key is the original's, nil for none; HasKey says that the record has another.
	Key    []byte
	HasKey bool
	// Command is what is wanted instead of answers; empty: answers are.
	Command string
}

// AppendHeaders appends the original's headers and the trail's to dst. Of the original's consentd-* headers only those of a
// replay are kept: how often a record was replayed must not be forgotten. RequestBytes bounds what they take.
func (t *Trail) AppendHeaders(dst, original []Header) []Header {
	for _, h := range original {
		if !strings.HasPrefix(h.Key, headerPrefix) || strings.HasPrefix(h.Key, replayPrefix) {
			dst = append(dst, h)
		}
	}
	add := func(key, value string) { dst = append(dst, Header{Key: key, Value: []byte(value)}) }
	if t.Failure.Class != "" {
		add(HeaderErrorClass, string(t.Failure.Class))
		add(HeaderError, cut(t.Failure.Message, maxErrorBytes))
	}
	if t.Failure.Errcode != 0 {
		add(HeaderErrcode, strconv.Itoa(t.Failure.Errcode))
	}
	add(HeaderAttempt, strconv.Itoa(t.Failure.Attempts))
	if !t.FirstAttemptAt.IsZero() {
		add(HeaderFirstAttemptAt, strconv.FormatInt(t.FirstAttemptAt.UnixMilli(), 10))
	}
	if !t.NotBefore.IsZero() {
		add(HeaderNotBefore, strconv.FormatInt(t.NotBefore.UnixMilli(), 10))
	}
	if t.Origin != (Origin{}) {
		add(HeaderOrigin, t.Origin.String())
	}
	if t.RequestID != "" {
		add(HeaderRequestID, t.RequestID)
	}
	if len(t.Indexes) > 0 {
		texts := make([]string, len(t.Indexes))
		for i, index := range t.Indexes {
			texts[i] = strconv.Itoa(index)
		}
		add(HeaderItemIndexes, strings.Join(texts, ","))
		add(HeaderItemCount, strconv.Itoa(t.Count))
	}
	if t.Truncated > 0 {
		add(HeaderTruncated, strconv.Itoa(t.Truncated))
	}
	if t.Command != "" {
		add(HeaderCommand, t.Command)
	}
	if t.HasKey {
		dst = append(dst, Header{Key: HeaderKey, Value: t.Key})
	}
	return dst
}

// DecodeTrail reads what the headers of a record of our own say that DecodeRequest does not: origin, attempts, times, key and
// command. What is absent or can't be read is left zero, and named in the error.
func DecodeTrail(headers []Header) (Trail, error) {
	var t Trail
	var problems []error
	read := func(key string, parse func(text string) error) {
		if value, ok := LastHeader(headers, key); ok {
			if err := parse(string(value)); err != nil {
				problems = append(problems, fmt.Errorf("header %s: %w", key, err))
			}
		}
	}
	read(HeaderOrigin, func(text string) (err error) {
		t.Origin, err = ParseOrigin(text)
		return err
	})
	read(HeaderAttempt, func(text string) (err error) {
		t.Failure.Attempts, err = parseDecimal(text)
		return err
	})
	read(HeaderFirstAttemptAt, parseMilli(&t.FirstAttemptAt))
	read(HeaderNotBefore, parseMilli(&t.NotBefore))
	t.Key, t.HasKey = LastHeader(headers, HeaderKey)
	if command, ok := LastHeader(headers, HeaderCommand); ok {
		t.Command = string(command)
	}
	return t, errors.Join(problems...)
}

// parseMilli reads unix milliseconds.
func parseMilli(to *time.Time) func(string) error {
	return func(text string) error {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			*to = time.UnixMilli(ms)
		}
		return err
	}
}

// cut shortens s to at most n bytes of valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
