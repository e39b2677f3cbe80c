package checker

import (
	"context"
	"errors"
	"time"

	"consentd/schemas"
	"consentd/wechat"
)

// API is what the checker asks; *wechat.Client is one. Errors are *wechat.Error, or the context's.
type API interface {
	Knows(corpID string) bool
	// Provider names what corps have in common that are refused together; empty: the corp stands alone.
	Provider(corpID string) string
	CheckSingle(ctx context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error)
	CheckRoom(ctx context.Context, corpID, chatID string) ([]schemas.Member, error)
}

// Reply is a call that ended.
type Reply struct {
	lane  *lane
	kind  kind
	batch *batch
	began time.Time
	// concurrency is what the lane's was when the call was made.
	concurrency int
	// The call was made to find out whether a halt, or the outage, is over.
	halt         *halt
	probesOutage bool

	// At is when the API's reply came.
	At time.Time
	// Unasked counts the pairs in the reply that nobody asked for.
	Unasked int

	err     *wechat.Error
	consent []schemas.Consent
	present []bool
	members []schemas.Member
}

// noAnswer is the failure of a pair that the reply left out.
var noAnswer = &schemas.Failure{Class: schemas.NoAnswer, Message: "asked twice and in neither reply"}

// Kind is that of what was asked for.
func (r *Reply) Kind() schemas.Kind { return r.batch.questions[0].Conversation.Kind }

// CorpID is that of all that was asked for.
func (r *Reply) CorpID() string { return r.lane.corpID }

// Questions are what was asked for, good until the reply is Settled.
func (r *Reply) Questions() []*Question { return r.batch.questions }

// Size is how many questions the call had.
func (r *Reply) Size() int { return len(r.batch.questions) }

// Class is how the call failed; empty: it did not.
func (r *Reply) Class() schemas.Class {
	if r.err == nil {
		return ""
	}
	return r.err.Class
}

// Errcode is that of the API's reply; 0: there is none.
func (r *Reply) Errcode() int {
	if r.err == nil {
		return 0
	}
	return r.err.Errcode
}

// Began is when the call was made.
func (r *Reply) Began() time.Time { return r.began }

// Took is how long the API took.
func (r *Reply) Took() time.Duration { return r.At.Sub(r.began) }

// outcome returns what the call brought for its question i, when it did not fail.
func (r *Reply) outcome(i int) Outcome {
	o := Outcome{Source: schemas.SourceAPI, Answer: schemas.Answer{CheckedAt: r.At}}
	switch {
	case r.kind == room:
		o.Answer.Members = r.members
	case r.present[i]:
		o.Answer.Consent = r.consent[i]
	default:
		o.Failure = noAnswer
	}
	return o
}

// call asks the API on a goroutine of its own and sends the reply to c.replies; when ctx ends it is given up.
func (c *Checker) call(ctx context.Context, l *lane, k kind, now time.Time) {
	r := &Reply{
		lane: l, kind: k, began: now, concurrency: l.concurrency,
		batch: l.queues[k].take(l.batchSize(k), now), probesOutage: c.outage.probing,
	}
	l.calls++
	if l.halt != nil {
		l.halt.probing, r.halt = true, l.halt
	}
	c.calls.Go(func() {
		err := r.ask(ctx, c.api)
		if ctx.Err() != nil {
			return // what failed because it was given up is no outcome
		}
		r.At = time.Now()
		if err != nil && !errors.As(err, &r.err) {
			r.err = &wechat.Error{Class: schemas.Transient, Message: err.Error()}
		}
		select {
		case c.replies <- r:
		case <-ctx.Done():
		}
	})
}

// probesHalt tells whether the call was made to find out whether the lane's halt is over.
func (r *Reply) probesHalt() bool { return r.halt != nil && r.halt == r.lane.halt }

func (r *Reply) ask(ctx context.Context, api API) (err error) {
	questions := r.batch.questions
	if r.kind == room {
		r.members, err = api.CheckRoom(ctx, r.lane.corpID, questions[0].Conversation.ChatID)
		return err
	}
	pairs := make([]wechat.Pair, len(questions))
	for i, q := range questions {
		pairs[i] = wechat.Pair{OpenUserID: q.Conversation.OpenUserID, ExternalUserID: q.Conversation.ExternalUserID}
	}
	consents, err := api.CheckSingle(ctx, r.lane.corpID, pairs)
	if err == nil {
		r.match(pairs, consents)
	}
	return err
}

// match finds each pair's consent in the reply, by the pair and never by its position; the position only says where to
// look first.
func (r *Reply) match(pairs []wechat.Pair, consents []wechat.PairConsent) {
	r.consent = make([]schemas.Consent, len(pairs))
	r.present = make([]bool, len(pairs))
	var places map[wechat.Pair]int
	for i := range consents {
		pair := wechat.Pair{OpenUserID: consents[i].OpenUserID, ExternalUserID: consents[i].ExternalUserID}
		place := i
		if i >= len(pairs) || pairs[i] != pair {
			if places == nil {
				places = make(map[wechat.Pair]int, len(pairs))
				for j, p := range pairs {
					places[p] = j
				}
			}
			var asked bool
			if place, asked = places[pair]; !asked {
				r.Unasked++
				continue
			}
		}
		if !r.present[place] || consents[i].Supersedes(r.consent[place]) {
			r.present[place], r.consent[place] = true, consents[i].Consent
		}
	}
}
