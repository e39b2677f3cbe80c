package pipeline

import (
	"context"
	"time"

	"consentd/internal/gather"
	"consentd/schemas"
)

// Known is what a record of the status topic says is known.
type Known struct {
	Conversation schemas.Conversation
	Hash         schemas.Hash
	// StoredAt is the record's checked_at.
	StoredAt time.Time
}

// Rechecked says how many were asked about, of how many that were last checked before the time; of all, when there were none to
// look at.
type Rechecked struct{ Asked, Due int }

// recheckTime is how the ids of its requests say when they were begun.
const recheckTime = "20060102T150405.000Z"

// rechecking is what Recheck hands to Run.
type rechecking struct {
	known  []Known
	before time.Time
	last   bool
	done   chan Rechecked
}

// Recheck asks again about those of some status records that are the newest of their conversation and were last checked before
// a time. It blocks until nothing else is waiting to be asked. Pairs are held back until there are enough for a call, or last is
// set. It may be called from one goroutine, while Run runs: else it returns when ctx ends, with its error.
func (p *Pipeline) Recheck(ctx context.Context, known []Known, before time.Time, last bool) (Rechecked, error) {
	r := rechecking{known: known, before: before, last: last, done: make(chan Rechecked, 1)}
	select {
	case p.rechecks <- r:
	case <-ctx.Done():
		return Rechecked{}, ctx.Err()
	}
	select {
	case done := <-r.done:
		return done, nil
	case <-ctx.Done():
		return Rechecked{}, ctx.Err()
	}
}

// idle tells whether all that was read is being asked, so that there are calls to spare.
func (p *Pipeline) idle() bool {
	return len(p.waiting) == 0 && len(p.behind) == 0 && !p.followed && p.checker.Spare() && p.fits(load{items: 1}, 2)
}

// recheck sends requests of its own to the homes' partitions of the forward topic: from there they go the way of all others.
func (p *Pipeline) recheck(r rechecking, now time.Time) {
	asked := 0
	send := func(request gather.Request) {
		p.filling.Forwarded(request.CorpID, request.Value, nil, &schemas.Trail{})
	}
	for _, k := range r.known {
		if !p.due(k, r.before, now) {
			continue
		}
		asked++
		if request, full := p.gathered.Add(k.Conversation); full {
			send(request)
		}
	}
	if r.last {
		for _, request := range p.gathered.Flush() {
			send(request)
		}
	}
	p.metrics.Rechecked(asked)
	done := Rechecked{Asked: asked, Due: asked}
	if len(r.known) == 0 {
		done.Due = p.table.CountCheckedBefore(r.before)
	}
	r.done <- done
}

// due tells whether a record is to be checked again. One of a corp that can't be asked now is left to the next time.
func (p *Pipeline) due(k Known, before, now time.Time) bool {
	entry, ok := p.table.Get(k.Conversation.Kind, k.Hash)
	return ok && entry.StoredAt.Equal(k.StoredAt) && entry.CheckedAt.Before(before) &&
		p.checker.Knows(k.Conversation.CorpID) && p.checker.Refusal(k.Conversation.CorpID, k.Conversation.Kind, now) == nil
}
