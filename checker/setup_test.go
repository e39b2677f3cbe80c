package checker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"consentd/checker"
	"consentd/schemas"
	"consentd/wechat"
)

// fakeAPI makes functions an API.
type fakeAPI struct {
	single func(ctx context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error)
	room   func(ctx context.Context, corpID, chatID string) ([]schemas.Member, error)
}

func (a fakeAPI) Knows(corpID string) bool { return corpID != "" }

// Provider is the letters before a dash: of corp s-1 it is s.
func (a fakeAPI) Provider(corpID string) string {
	provider, _, _ := strings.Cut(corpID, "-")
	if provider == corpID {
		return ""
	}
	return provider
}

func (a fakeAPI) CheckSingle(ctx context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
	return a.single(ctx, corpID, pairs)
}

func (a fakeAPI) CheckRoom(ctx context.Context, corpID, chatID string) ([]schemas.Member, error) {
	return a.room(ctx, corpID, chatID)
}

// answerAll is a reply with every pair in order, each as word says.
func answerAll(pairs []wechat.Pair) []wechat.PairConsent {
	consents := make([]wechat.PairConsent, len(pairs))
	for i, p := range pairs {
		consents[i] = wechat.PairConsent{OpenUserID: p.OpenUserID, ExternalUserID: p.ExternalUserID, Consent: word(p.ExternalUserID)}
	}
	return consents
}

// word is what the API says of a customer: each has a word of its own, so that no answer passes for another's.
func word(externalUserID string) schemas.Consent {
	return schemas.Consent{AgreeStatus: "word of " + externalUserID, StatusChangeTime: 100}
}

func single(corpID, externalUserID string) schemas.Conversation {
	return schemas.Conversation{CorpID: corpID, Kind: schemas.Single, OpenUserID: "a", ExternalUserID: externalUserID}
}

func room(corpID, chatID string) schemas.Conversation {
	return schemas.Conversation{CorpID: corpID, Kind: schemas.Room, ChatID: chatID}
}

// call is one that the API saw.
type call struct {
	at    time.Duration // since the test began
	names []string      // customers, or the room
}

// calls notes the calls of an API.
type calls struct {
	began time.Time

	mu   sync.Mutex
	list []call
}

// note returns how many calls there were before.
func (c *calls) note(names ...string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, call{time.Since(c.began).Truncate(10 * time.Microsecond), names})
	return len(c.list) - 1
}

func (c *calls) pairs(pairs []wechat.Pair) int {
	var names []string
	for _, p := range pairs {
		names = append(names, p.ExternalUserID)
	}
	return c.note(names...)
}

func (c *calls) seen() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

func (c *calls) expect(t *testing.T, want ...call) {
	t.Helper()
	if got := fmt.Sprint(c.seen()); got != fmt.Sprint(want) {
		t.Errorf("calls %v, want %v", got, want)
	}
}

// unpaced is so many calls a minute that none ever waits.
const unpaced = 1_000_000_000

// defaults are the contract's, with batches of 3.
func defaults() checker.Config {
	return checker.Config{
		BatchSize: 3, Linger: 20 * time.Millisecond, Concurrency: 5, CallsPerMinute: unpaced, CorpCallsPerMinute: unpaced,
		Retry: checker.Retry{InitialInterval: 200 * time.Millisecond, MaxInterval: 5 * time.Second, MaxElapsed: 15 * time.Second},
	}
}

// desk is the one goroutine that a checker is made for: it asks, and takes replies and due batches as they come. It is
// used in a synctest bubble, where a question that is never answered is a deadlock, which fails the test.
type desk struct {
	*checker.Checker
	ctx      context.Context
	leave    context.CancelFunc
	open     int
	outcomes map[checker.Waiter][]checker.Outcome
	unasked  int
	log      *strings.Builder
}

func newDesk(api checker.API, cfg checker.Config) *desk {
	d := &desk{outcomes: make(map[checker.Waiter][]checker.Outcome), log: &strings.Builder{}}
	d.Checker = checker.New(api, cfg, zerolog.New(d.log))
	d.ctx, d.leave = context.WithCancel(context.Background())
	time.Sleep(time.Microsecond) // budgets begin empty, and no test but those of budgets shall see it
	return d
}

// close ends all calls and waits for them.
func (d *desk) close() {
	d.leave()
	d.Wait()
}

// ask asks for the items of one request.
func (d *desk) ask(conversations ...schemas.Conversation) []checker.Waiter {
	r := &checker.Request{}
	var waiters []checker.Waiter
	for i, c := range conversations {
		w := checker.Waiter{Request: r, Item: i}
		d.Ask(d.ctx, c, schemas.HashKey(c.AppendKey(nil)), w, time.Now())
		waiters = append(waiters, w)
		d.open++
	}
	return waiters
}

// step waits for one thing to happen, and tells whether it was the end of the given time.
func (d *desk) step(end <-chan time.Time) (ended bool) {
	var due <-chan time.Time
	if at, ok := d.Due(time.Now()); ok {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case r := <-d.Replies():
		d.unasked += r.Unasked
		d.Settled(d.ctx, r, time.Now())
	case <-due:
	case <-end:
		return true
	}
	d.Flush(d.ctx, time.Now())
	for _, e := range d.Ended() {
		for _, w := range e.Question.Waiters {
			d.outcomes[w] = append(d.outcomes[w], e.Outcome)
			d.open--
		}
	}
	return false
}

// work goes on for some time.
func (d *desk) work(during time.Duration) {
	end := time.After(during)
	for !d.step(end) {
	}
}

// finish goes on until all that was asked for has its outcome.
func (d *desk) finish() {
	for d.open > 0 {
		d.step(nil)
	}
}

// outcome is the one of a waiter.
func (d *desk) outcome(t *testing.T, w checker.Waiter) checker.Outcome {
	t.Helper()
	if n := len(d.outcomes[w]); n != 1 {
		t.Fatalf("item %d has %d outcomes, want 1", w.Item, n)
	}
	return d.outcomes[w][0]
}

func (d *desk) expectAnswer(t *testing.T, w checker.Waiter, want schemas.Consent) {
	t.Helper()
	if o := d.outcome(t, w); o.Failure != nil || o.Answer.Consent != want || o.Source != schemas.SourceAPI {
		t.Errorf("item %d: got %+v (failure %v), want %v", w.Item, o, o.Failure, want)
	}
}

func (d *desk) expectFailure(t *testing.T, w checker.Waiter, class schemas.Class, errcode, attempts int) {
	t.Helper()
	f := d.outcome(t, w).Failure
	if f == nil || f.Class != class || f.Errcode != errcode || f.Attempts != attempts || f.Message == "" {
		t.Errorf("item %d: got %+v, want class %s, errcode %d, %d attempts and a message", w.Item, f, class, errcode, attempts)
	}
}

// states are those of the corps that were asked about lately.
func states(d *desk) []checker.LaneState {
	lanes, _ := d.States(time.Now())
	return lanes
}
