package checker

import (
	"time"

	"consentd/schemas"
)

// Request is a request that is being worked on, with the record it came in.
type Request struct {
	schemas.Request
	// Record is where the request's record stands, Origin its first one: they differ after it was parked.
	Record, Origin schemas.Origin
	// At is when the request was written, as far as is known: of one that was forwarded or parked, when work on it first began.
	At time.Time
	// FirstAttemptAt is when work on it first began, NotBefore when it may go on, Attempts how many calls were made for it
	// since, up to this record.
	FirstAttemptAt, NotBefore time.Time
	Attempts                  int
	// Key and Headers are the first record's, to be sent on with a dead letter.
	Key     []byte
	Headers []schemas.Header
	// Size is what the request takes up in memory, in bytes, as far as it follows from the record.
	Size int
	// Invalid is set when the request can't be decoded; Value then has its bytes. When they were too many for a dead
	// letter, Truncated is how many there were.
	Invalid   *schemas.InvalidError
	Value     []byte
	Truncated int

	// Forget: what is known of its conversations is to be forgotten. They are not asked about, only waited for where they are.
	Forget bool

	// outcomes has what is known of each item; open counts those without.
	outcomes []Outcome
	open     int
}

// Outcome is how the question about one item ended: an answer or a failure.
type Outcome struct {
	Answer  schemas.Answer
	Source  schemas.Source
	Failure *schemas.Failure // nil: there is an answer
}

// Weight is how many items the request holds in flight: an invalid one counts as one.
func (r *Request) Weight() int { return max(len(r.Items), 1) }

// Resolve sets the outcome of an item and tells whether it was the last: then Outcomes has them all.
func (r *Request) Resolve(item int, o Outcome) bool {
	if r.outcomes == nil {
		r.outcomes = make([]Outcome, len(r.Items))
		r.open = len(r.Items)
	}
	r.outcomes[item] = o
	r.open--
	return r.open == 0
}

// Outcomes returns the outcome of each item, once all are resolved.
func (r *Request) Outcomes() []Outcome { return r.outcomes }
