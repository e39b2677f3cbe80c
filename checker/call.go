package checker

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"consentd/schemas"
	"consentd/wechat"
)

// API is what the checker asks; *wechat.Client is one. Errors are *wechat.Error, or the context's.
type API interface {
	Knows(corpID string) bool
	CheckSingle(ctx context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error)
	CheckRoom(ctx context.Context, corpID, chatID string) ([]schemas.Member, error)
}

// Retry says how a call that failed in a way that passes is tried again.
type Retry struct {
	// InitialInterval is the first pause, which doubles (with jitter) up to MaxInterval.
	InitialInterval, MaxInterval time.Duration
	// MaxElapsed bounds all tries of a call together.
	MaxElapsed time.Duration
}

// unknownErrcodeTries is how often an errcode that nobody documented is tried before it counts as rejected.
const unknownErrcodeTries = 3

// Reply is a call that ended.
type Reply struct {
	lane      *lane
	questions []*Question
	attempts  int

	// At is when the API's last reply came.
	At time.Time
	// Unasked counts the pairs in the reply that nobody asked for.
	Unasked int

	failure *schemas.Failure // of all questions
	// perItem: the failure may be about one of the questions only; tooMany: there were too many in the call.
	perItem, tooMany bool
	consent          []schemas.Consent
	present          []bool
	members          []schemas.Member
}

// noAnswer is the failure of a pair that the reply left out.
var noAnswer = &schemas.Failure{Class: schemas.NoAnswer, Message: "asked twice and in neither reply"}

// outcome returns what the call brought for its question i.
func (r *Reply) outcome(i int) Outcome {
	o := Outcome{Source: schemas.SourceAPI, Answer: schemas.Answer{CheckedAt: r.At}}
	switch {
	case r.failure != nil:
		o.Failure = r.failure
	case r.questions[i].Conversation.Kind == schemas.Room:
		o.Answer.Members = r.members
	case r.present[i]:
		o.Answer.Consent = r.consent[i]
	default:
		o.Failure = noAnswer
	}
	return o
}

// call asks the API on a goroutine of its own and sends the reply to c.replies; when ctx ends it is given up.
func (c *Checker) call(ctx context.Context, l *lane, questions []*Question) {
	r := &Reply{lane: l, questions: questions}
	c.calls.Go(func() {
		if questions[0].Conversation.Kind == schemas.Room {
			r.failure = c.try(ctx, r, func() (err error) {
				r.members, err = c.api.CheckRoom(ctx, l.corpID, questions[0].Conversation.ChatID)
				return err
			})
		} else {
			pairs := make([]wechat.Pair, len(questions))
			for i, q := range questions {
				pairs[i] = wechat.Pair{OpenUserID: q.Conversation.OpenUserID, ExternalUserID: q.Conversation.ExternalUserID}
			}
			r.failure = c.try(ctx, r, func() error {
				consents, err := c.api.CheckSingle(ctx, l.corpID, pairs)
				if err == nil {
					r.match(pairs, consents)
				}
				return err
			})
		}
		r.At = time.Now()
		if ctx.Err() != nil {
			return // what failed because it was given up is no outcome
		}
		select {
		case c.replies <- r:
		case <-ctx.Done():
		}
	})
}

// try makes the call until it succeeds, fails for good, or the time is up. It returns nil after a success.
func (c *Checker) try(ctx context.Context, r *Reply, call func() error) *schemas.Failure {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(c.retry.InitialInterval),
		backoff.WithMaxInterval(c.retry.MaxInterval),
		backoff.WithMaxElapsedTime(c.retry.MaxElapsed),
		backoff.WithMultiplier(2))
	unknown := 0
	err := backoff.Retry(func() error {
		r.attempts++
		err := call()
		var e *wechat.Error
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &e) || !e.Temporary() || e.RetryAfter > c.retry.MaxElapsed:
			return backoff.Permanent(err) // or it won't be over in time
		case e.Unknown:
			if unknown++; unknown == unknownErrcodeTries {
				return backoff.Permanent(err)
			}
		}
		return err
	}, backoff.WithContext(pause, ctx))
	if err == nil {
		return nil
	}
	f := &schemas.Failure{Class: schemas.Transient, Message: err.Error()}
	var e *wechat.Error
	if errors.As(err, &e) {
		f.Class, f.Errcode, f.Message = e.Class, e.Errcode, e.Message
		r.perItem, r.tooMany = e.PerItem, e.TooManyPairs
		if e.Unknown {
			f.Class = schemas.Rejected
		}
	}
	return f
}

// match finds each pair's consent in the reply, by the pair and never by its position; the position only says where to
// look first.
func (r *Reply) match(pairs []wechat.Pair, consents []wechat.PairConsent) {
	r.consent = make([]schemas.Consent, len(pairs))
	r.present = make([]bool, len(pairs))
	r.Unasked = 0
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
