package watch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"consentd/schemas"
)

// Event is a result as a person looks at it: what stands in its value, as far as it is there.
type Event struct {
	// ID is the ce_id.
	ID string `json:"-"`
	// Raw is the value as published.
	Raw []byte `json:"-"`

	Type             string             `json:"type"`
	CorpID           string             `json:"corp_id"`
	Kind             schemas.Kind       `json:"kind"`
	OpenUserID       string             `json:"open_userid"`
	ExternalUserID   string             `json:"external_userid"`
	ChatID           string             `json:"chatid"`
	AgreeStatus      string             `json:"agree_status"`
	StatusChangeTime int64              `json:"status_change_time"`
	Members          []schemas.Member   `json:"members"`
	Consented        bool               `json:"consented"`
	Source           string             `json:"source"`
	CheckedAt        time.Time          `json:"checked_at"`
	Error            *Failure           `json:"error"`
	FailedAt         time.Time          `json:"failed_at"`
	Change           string             `json:"change"`
	Previous         *schemas.Consent   `json:"previous"`
	Current          *schemas.Consent   `json:"current"`
	Version          int64              `json:"version"`
	ObservedAt       time.Time          `json:"observed_at"`
	Request          schemas.RequestRef `json:"request"`
}

// Failure says why an item has no answer.
type Failure struct {
	Class    string `json:"class"`
	Errcode  int    `json:"errcode"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
}

// decode reads a record's value. Other fields than those of Event are ignored.
func decode(headers []schemas.Header, value []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(value, &e, jsontext.AllowDuplicateNames(true)); err != nil {
		return Event{}, fmt.Errorf("no event: %w", err)
	}
	id, _ := schemas.LastHeader(headers, schemas.HeaderID)
	e.ID, e.Raw = string(id), slices.Clone(value)
	return e, nil
}

// At is the event's own time.
func (e *Event) At() time.Time {
	for _, at := range []time.Time{e.CheckedAt, e.FailedAt, e.ObservedAt} {
		if !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// Answers tells whether the event is the answer to an item.
func (e *Event) Answers() bool { return e.Type == schemas.TypeChecked || e.Type == schemas.TypeFailed }

// Failed tells whether it is an answer that says that there is none.
func (e *Event) Failed() bool { return e.Type == schemas.TypeFailed }

// Header is the head of the table whose lines are Line's.
func Header() string { return line("TIME", "TYPE", "REQUEST", "CONVERSATION", "WHAT") }

// Line is the event in a line for a person, without its end. It has nothing in it that a terminal would obey.
func (e *Event) Line() string {
	return line(e.At().UTC().Format(time.RFC3339), strings.TrimPrefix(e.Type, "consent."), e.Request.ID+"#"+strconv.Itoa(e.Request.Index),
		e.conversation(), e.what())
}

func line(at, kind, request, conversation, what string) string {
	return printable(fmt.Sprintf("%-20s  %-7s  %-21s  %-56s  %s", at, kind, request, conversation, what))
}

func (e *Event) conversation() string {
	if e.CorpID == "" {
		return "-"
	}
	parts := []string{e.CorpID, string(e.Kind)}
	for _, id := range []string{e.ChatID, e.OpenUserID, e.ExternalUserID} {
		if id != "" {
			parts = append(parts, id)
		}
	}
	return strings.Join(parts, "/")
}

func (e *Event) what() string {
	switch {
	case e.Error != nil && e.Error.Errcode != 0:
		return fmt.Sprintf("%s (%d): %s", e.Error.Class, e.Error.Errcode, e.Error.Message)
	case e.Error != nil:
		return fmt.Sprintf("%s: %s", e.Error.Class, e.Error.Message)
	case e.Type == schemas.TypeChanged:
		return fmt.Sprintf("%s: %s → %s, version %d", e.Change, word(e.Previous), word(e.Current), e.Version)
	case e.Kind == schemas.Room:
		return fmt.Sprintf("%s, %d members (%s)", consented(e.Consented), len(e.Members), e.Source)
	}
	return fmt.Sprintf("%s (%s)", e.AgreeStatus, e.Source)
}

func consented(yes bool) string {
	if yes {
		return "consented"
	}
	return "not consented"
}

func word(c *schemas.Consent) string {
	if c == nil {
		return "nothing"
	}
	return c.AgreeStatus
}

// printable replaces what is not for eyes: the text may have come from anybody.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}
