// Package check proves from a history that the daemon kept its promises, or shows the shortest part of the history where it
// did not. It shares nothing with the daemon: it reads the documented messages by itself and works out anew what they must say.
package check

import (
	"cmp"
	"slices"

	"consentd/chaos/history"
)

// The promises, as a broken one is named.
const (
	OffsetsCommitted  = "every offset is committed"
	OneTerminalEvent  = "each item has exactly one terminal event"
	AnswerFits        = "an answer fits its request"
	OnlyCommitted     = "nothing comes of what was never committed"
	UniqueIDs         = "every event has an id of its own"
	ChainOfChanges    = "versions go 1, 2, 3, each change begins where the last one ended"
	AnswerKnown       = "an answer is what the changes before it tell"
	StatusIsTheEvents = "the status topic equals what the events say"
	StatusIsTheTruth  = "in the end the status is what the API says"
	DeadLetters       = "each failure has one dead letter"
)

// Options say what the daemon was given.
type Options struct {
	// Corps are those it is configured for.
	Corps []string
	// Truth is what the API says in the end, by conversation key. Conversations that are not in it are not compared.
	Truth map[string]State
}

// Violation is a broken promise.
type Violation struct {
	Promise string
	// Subject is whose promise it was: the position of a request with the item's index, a conversation, a partition.
	Subject string
	What    string
	// Records are the part of the history that shows it, in the order of time.
	Records []history.Record
}

// Figures are what was found, good or bad.
type Figures struct {
	Requests      int            `json:"requests"`
	Items         int            `json:"items"`
	Events        int            `json:"events"`
	Checked       int            `json:"checked"`
	Failed        map[string]int `json:"failed"`  // by error class
	Changes       map[string]int `json:"changes"` // by change
	Conversations int            `json:"conversations"`
	Forwarded     int            `json:"forwarded"`
	Parked        int            `json:"parked"`
}

// Check proves every promise. Of each promise all violations are returned, promises in the order above.
func Check(h *history.History, o Options) ([]Violation, Figures) {
	c := &checker{h: h, o: o, figures: Figures{Failed: map[string]int{}, Changes: map[string]int{}}}
	c.readRequests()
	c.readEvents()
	c.offsets()
	c.answers()
	c.ids()
	c.chains()
	c.status()
	c.deadLetters()
	c.figures.Requests, c.figures.Events = len(h.Requests), len(h.Results)
	c.figures.Forwarded, c.figures.Parked = len(h.Forward), len(h.Retry)
	return c.violations, c.figures
}

// checker is one run.
type checker struct {
	h          *history.History
	o          Options
	requests   map[string]*request // by position
	byID       map[string][]*request
	events     []*event // in the order of partition and offset
	chain      map[string]*chain
	violations []Violation
	figures    Figures
}

func (c *checker) broken(promise, subject, what string, records ...history.Record) {
	slices.SortStableFunc(records, func(a, b history.Record) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	records = slices.CompactFunc(records, func(a, b history.Record) bool { return a.Position() == b.Position() })
	c.violations = append(c.violations, Violation{Promise: promise, Subject: subject, What: what, Records: records})
}
