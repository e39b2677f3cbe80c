package checker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"consentd/checker"
	"consentd/schemas"
	"consentd/wechat"
)

// scene is a play: requests that come in at their times, and what the API does in its calls, one after the other and then
// from the beginning again.
type scene struct {
	size, concurrency int
	asks              []ask
	acts              []act
}

type ask struct {
	after time.Duration // the one before
	items []schemas.Conversation
}

type act struct {
	latency time.Duration
	// err fails the call.
	err     error
	reverse bool
	leave   int // leaves out every leave-th pair; 0: none
	extra   bool
}

var genScene = rapid.Custom(func(t *rapid.T) scene {
	var conversations []schemas.Conversation
	for _, corpID := range []string{"ww1", "ww2"} {
		for i := range 8 {
			conversations = append(conversations, single(corpID, fmt.Sprint("wm", i)))
		}
		conversations = append(conversations, room(corpID, "wr1"), room(corpID, "wr2"))
	}
	milliseconds := func(t *rapid.T, most int, label string) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Millisecond
	}
	return scene{
		size:        rapid.IntRange(1, 5).Draw(t, "size"),
		concurrency: rapid.IntRange(1, 3).Draw(t, "concurrency"),
		asks: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ask {
			return ask{milliseconds(t, 60, "after"), rapid.SliceOfN(rapid.SampledFrom(conversations), 1, 12).Draw(t, "items")}
		}), 1, 20).Draw(t, "asks"),
		acts: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) act {
			return act{
				latency: milliseconds(t, 100, "latency"),
				err: rapid.SampledFrom([]error{
					nil, nil, nil, nil,
					&wechat.Error{Class: schemas.Transient, Errcode: -1, Message: "busy"},
					&wechat.Error{Class: schemas.RateLimited, Errcode: 45033, Message: "too many at once"},
					&wechat.Error{Class: schemas.Transient, Errcode: 99999, Unknown: true, Message: "unknown"},
					&wechat.Error{Class: schemas.NotFound, Errcode: 301061, PerItem: true, Message: "no such customer"},
					&wechat.Error{Class: schemas.Rejected, Errcode: 301060, PerItem: true, TooManyPairs: true, Message: "too many pairs"},
					&wechat.Error{Class: schemas.CorpStopped, Errcode: 40001, Message: "wrong secret"},
					&wechat.Error{Class: schemas.CorpStopped, Errcode: 60020, AllCorps: true, Message: "wrong IP"},
					&wechat.Error{Class: schemas.RateLimited, Errcode: 45009, RetryAfter: time.Minute, Message: "too many calls"},
					&wechat.Error{Class: schemas.Token, RetryAfter: 100 * time.Millisecond, Message: "no token"},
				}).Draw(t, "err"),
				reverse: rapid.Bool().Draw(t, "reverse"),
				leave:   rapid.IntRange(0, 3).Draw(t, "leave"),
				extra:   rapid.Bool().Draw(t, "extra"),
			}
		}), 1, 12).Draw(t, "acts"),
	}
})

// stage is the API of a scene. It notes what is against the rules.
type stage struct {
	scene

	mu       sync.Mutex
	called   int
	running  map[string]int
	asked    map[schemas.Conversation]int // calls that had it
	leftOut  map[schemas.Conversation]int // replies that did not
	failures map[schemas.Conversation]map[schemas.Class]bool
	passing  map[string]map[schemas.Class]bool // failures that pass, by corp
	problems []error
}

func (s *stage) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Errorf(format, args...))
}

func (s *stage) play(corpID string, conversations []schemas.Conversation) (act, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.acts[s.called%len(s.acts)]
	s.called++
	if s.running[corpID]++; s.running[corpID] > s.concurrency {
		s.problem("%d calls of %s at once", s.running[corpID], corpID)
	}
	if n := len(conversations); n == 0 || n > s.size {
		s.problem("a call of %d", n)
	}
	seen := map[schemas.Conversation]bool{}
	for _, c := range conversations {
		if seen[c] {
			s.problem("%s twice in a call", c.Key())
		}
		seen[c] = true
		s.asked[c]++
	}
	s.mu.Unlock()
	time.Sleep(a.latency)
	s.mu.Lock()
	s.running[corpID]--
	var e *wechat.Error
	if !errors.As(a.err, &e) {
		return a, nil
	}
	if e.Class.Passes() && !e.Unknown {
		if s.passing[corpID] == nil {
			s.passing[corpID] = map[schemas.Class]bool{}
		}
		s.passing[corpID][e.Class] = true
	}
	for _, c := range conversations {
		if s.failures[c] == nil {
			s.failures[c] = map[schemas.Class]bool{}
		}
		class := e.Class
		if e.Unknown {
			class = schemas.Rejected
		}
		if !e.PerItem || len(conversations) == 1 {
			s.failures[c][class] = true
		}
	}
	return a, a.err
}

func (s *stage) Knows(string) bool { return true }

func (s *stage) Provider(corpID string) string { return corpID }

func (s *stage) CheckSingle(_ context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
	var conversations []schemas.Conversation
	for _, p := range pairs {
		conversations = append(conversations, schemas.Conversation{
			CorpID: corpID, Kind: schemas.Single, OpenUserID: p.OpenUserID, ExternalUserID: p.ExternalUserID,
		})
	}
	a, err := s.play(corpID, conversations)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var consents []wechat.PairConsent
	for i, c := range conversations {
		if a.leave > 0 && i%a.leave == 0 {
			s.leftOut[c]++
			continue
		}
		consents = append(consents, wechat.PairConsent{OpenUserID: c.OpenUserID, ExternalUserID: c.ExternalUserID, Consent: truth(c)})
	}
	if a.reverse {
		slices.Reverse(consents)
	}
	if a.extra {
		consents = append([]wechat.PairConsent{{OpenUserID: "nobody", ExternalUserID: pairs[0].ExternalUserID, Consent: word("nobody")}}, consents...)
	}
	return consents, nil
}

func (s *stage) CheckRoom(_ context.Context, corpID, chatID string) ([]schemas.Member, error) {
	c := room(corpID, chatID)
	if _, err := s.play(corpID, []schemas.Conversation{c}); err != nil {
		return nil, err
	}
	return []schemas.Member{{ExternalUserID: "wm1", Consent: truth(c)}}, nil
}

// truth is what the API says of a conversation.
func truth(c schemas.Conversation) schemas.Consent { return word(c.Key()) }

// judge checks the outcome of a conversation against what the API did.
func (s *stage) judge(c schemas.Conversation, outcomes []checker.Outcome) {
	if len(outcomes) != 1 {
		s.problem("%s has %d outcomes", c.Key(), len(outcomes))
		return
	}
	o := outcomes[0]
	switch f := o.Failure; {
	case f == nil && c.Kind == schemas.Single:
		if o.Answer.Consent != truth(c) || o.Source != schemas.SourceAPI {
			s.problem("%s got %+v", c.Key(), o)
		}
	case f == nil:
		if len(o.Answer.Members) != 1 || o.Answer.Members[0].Consent != truth(c) {
			s.problem("%s got %+v", c.Key(), o)
		}
	case f.Attempts > s.asked[c] || f.Attempts < 1 && !f.Class.Passes():
		s.problem("%s: %d attempts, asked %d times", c.Key(), f.Attempts, s.asked[c])
	case f.Class.Passes(): // what waits shares the fate of its corp's calls
		if !s.passing[c.CorpID][f.Class] {
			s.problem("%s: %v, which no call of its corp had", c.Key(), f)
		}
	case f.Class == schemas.NoAnswer:
		if s.leftOut[c] < 2 || f.Attempts < 2 {
			s.problem("%s: no answer after %d attempts, left out %d times", c.Key(), f.Attempts, s.leftOut[c])
		}
	case !s.failures[c][f.Class]:
		s.problem("%s: %v, of which it has no fault", c.Key(), f)
	}
}

// perform plays the scene to its end.
func (s *stage) perform() {
	d := newDesk(s, checker.Config{
		BatchSize: s.size, Concurrency: s.concurrency, Linger: 20 * time.Millisecond, CallsPerMinute: unpaced, CorpCallsPerMinute: unpaced,
		Retry: checker.Retry{InitialInterval: 10 * time.Millisecond, MaxInterval: 50 * time.Millisecond, MaxElapsed: 500 * time.Millisecond},
	})
	asked := map[checker.Waiter]schemas.Conversation{}
	for _, a := range s.asks {
		d.work(a.after)
		for i, w := range d.ask(a.items...) {
			asked[w] = a.items[i]
		}
	}
	d.finish()
	d.work(time.Hour)
	if _, ok := d.Due(time.Now()); ok && !slices.ContainsFunc(states(d), func(l checker.LaneState) bool { return l.State == "stopped" }) {
		s.problem("all is answered for long, but something is due")
	}
	d.close()
	for w, c := range asked {
		s.judge(c, d.outcomes[w])
	}
}

func TestChecker_EveryWaiterGetsExactlyOneOutcomeWhateverTheAPIDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := &stage{
			scene:   genScene.Draw(rt, "scene"),
			running: map[string]int{}, asked: map[schemas.Conversation]int{}, leftOut: map[schemas.Conversation]int{},
			failures: map[schemas.Conversation]map[schemas.Class]bool{}, passing: map[string]map[schemas.Class]bool{},
		}
		// The bubble has goroutines of its own, from which rapid's T must not be used.
		synctest.Test(t, func(*testing.T) { s.perform() })
		for _, err := range s.problems {
			rt.Error(err)
		}
	})
}
