package checker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consentd/checker"
	"consentd/schemas"
	"consentd/wechat"
)

// patient is an API whose calls fail as fail says, by corp.
type patient struct {
	seen *calls

	mu      sync.Mutex
	failing map[string]error
}

// fail makes a corp's calls fail from now on; nil: they work.
func (a *patient) fail(corpID string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing[corpID] = err
}

func (a *patient) failure(corpID string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failing[corpID]
}

func (a *patient) api() fakeAPI {
	return fakeAPI{
		single: func(_ context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			a.seen.note(corpID)
			time.Sleep(10 * ms)
			if err := a.failure(corpID); err != nil {
				return nil, err
			}
			return answerAll(pairs), nil
		},
		room: func(_ context.Context, corpID, _ string) ([]schemas.Member, error) {
			a.seen.note(corpID, "room")
			return nil, nil
		},
	}
}

// trouble runs a test with an API whose calls can be made to fail.
func trouble(t *testing.T, test func(t *testing.T, a *patient, d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &patient{failing: map[string]error{}, seen: &calls{began: time.Now()}}
		d := newDesk(a.api(), defaults())
		defer d.close()
		test(t, a, d)
	})
}

func (a *patient) count(corpID string) int {
	n := 0
	for _, c := range a.seen.seen() {
		if c.names[0] == corpID {
			n++
		}
	}
	return n
}

// askMany asks for n pairs of a corp that nobody asked for before.
func (d *desk) askMany(corpID string, n int) []checker.Waiter {
	var waiters []checker.Waiter
	for range n {
		waiters = append(waiters, d.ask(single(corpID, fmt.Sprint("wm", len(d.outcomes)+d.open)))...)
	}
	return waiters
}

func (d *desk) refusal(corpID string) *schemas.Failure {
	return d.Refusal(corpID, schemas.Single, time.Now())
}

func wantAll(t *testing.T, d *desk, waiters []checker.Waiter, class schemas.Class) {
	t.Helper()
	for _, w := range waiters {
		f := d.outcome(t, w).Failure
		if f == nil && class == "" || f != nil && f.Class == class {
			continue
		}
		t.Errorf("got %v, want class %q", f, class)
	}
}

func TestQuota_PausesItsKindOfTheCorpAlone(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("ww1", &wechat.Error{Class: schemas.RateLimited, Errcode: 45009, RetryAfter: time.Minute, Message: "too many calls"})
		over := d.askMany("ww1", 30)
		d.finish()
		wantAll(t, d, over, schemas.RateLimited)
		if n := a.count("ww1"); n > 5 {
			t.Errorf("%d calls, want at most the first five", n)
		}
		if f := d.refusal("ww1"); f == nil || f.Errcode != 45009 {
			t.Errorf("refusal %v, want 45009", f)
		}
		if f := d.Refusal("ww1", schemas.Room, time.Now()); f != nil {
			t.Errorf("rooms are refused too: %v", f)
		}
		well := append(d.askMany("ww2", 5), d.ask(room("ww1", "wr1"))...)
		d.finish()
		wantAll(t, d, well, "")
		d.work(time.Minute)
		a.fail("ww1", nil)
		if f := d.refusal("ww1"); f != nil {
			t.Errorf("refusal %v when the pause is over", f)
		}
		again := d.askMany("ww1", 5)
		d.finish()
		wantAll(t, d, again, "")
	})
}

func TestQuota_AShortPauseOnlyDelays(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("ww1", &wechat.Error{Class: schemas.Token, RetryAfter: 5 * time.Second, Message: "no token"})
		waiters := d.askMany("ww1", 30)
		d.work(time.Second)
		a.fail("ww1", nil)
		d.finish()
		wantAll(t, d, waiters, "")
		if took := time.Since(a.seen.began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("answered after %s, want 5s", took)
		}
	})
}

func TestStoppedCorp_IsProbedAtGrowingIntervalsAndGoesOn(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("ww1", &wechat.Error{Class: schemas.CorpStopped, Errcode: 40001, Message: "wrong secret: correct it"})
		stopped := d.askMany("ww1", 30)
		d.finish()
		wantAll(t, d, stopped, schemas.CorpStopped)
		first := a.count("ww1")
		if first > 5 {
			t.Errorf("%d calls, want at most the first five", first)
		}
		if n := strings.Count(d.log.String(), "the corp is stopped"); n != 1 || !strings.Contains(d.log.String(), "wrong secret: correct it") {
			t.Errorf("%d lines say that the corp is stopped, want one with the cause:\n%s", n, d.log)
		}
		began, at := time.Now(), []time.Duration{}
		for time.Since(began) < 40*time.Minute {
			if d.refusal("ww1") == nil {
				before := a.count("ww1")
				waiters := d.askMany("ww1", 12)
				d.finish()
				wantAll(t, d, waiters, schemas.CorpStopped)
				if n := a.count("ww1") - before; n != 1 {
					t.Errorf("a probe made %d calls", n)
				}
				at = append(at, time.Since(began).Round(time.Minute))
			}
			well := d.askMany("ww2", 1)
			d.finish()
			wantAll(t, d, well, "")
			d.work(100 * ms)
		}
		if fmt.Sprint(at) != "[1m0s 3m0s 7m0s 15m0s 25m0s 35m0s]" {
			t.Errorf("probes at %v, want after 1, 2, 4, 8, 10, 10 minutes", at)
		}
		a.fail("ww1", nil)
		d.work(10 * time.Minute)
		healed := d.askMany("ww1", 12)
		d.finish()
		wantAll(t, d, healed, "")
		if f := d.refusal("ww1"); f != nil {
			t.Errorf("refusal %v after it was healed", f)
		}
	})
}

func TestStoppedProvider_StopsAllItsCorpsWithOneProbe(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		wrongIP := &wechat.Error{Class: schemas.CorpStopped, Errcode: 60020, AllCorps: true, Message: "wrong IP"}
		for _, corp := range []string{"s-1", "s-2", "s-3"} {
			a.fail(corp, wrongIP)
		}
		waiting := d.ask(single("s-2", "wm1")) // lingers
		stopped := d.askMany("s-1", 3)
		d.finish()
		wantAll(t, d, append(stopped, waiting...), schemas.CorpStopped)
		if n := a.count("s-2"); n != 0 {
			t.Errorf("the provider's other corp was called %d times", n)
		}
		for _, corp := range []string{"s-1", "s-2", "s-3"} {
			if f := d.refusal(corp); f == nil || f.Errcode != 60020 {
				t.Errorf("refusal of %s: %v", corp, f)
			}
		}
		if f := d.refusal("other-1"); f != nil {
			t.Errorf("another provider's corp is refused: %v", f)
		}
		d.work(time.Minute)
		before := len(a.seen.seen())
		probing := append(append(d.askMany("s-2", 3), d.askMany("s-3", 3)...), d.askMany("s-1", 3)...)
		d.finish()
		wantAll(t, d, probing, schemas.CorpStopped)
		if n := len(a.seen.seen()) - before; n != 1 {
			t.Errorf("%d calls, want one probe for all", n)
		}
		for _, corp := range []string{"s-1", "s-2", "s-3"} {
			a.fail(corp, nil)
		}
		d.work(2 * time.Minute)
		healed := append(d.askMany("s-3", 3), d.askMany("s-1", 6)...)
		d.finish()
		wantAll(t, d, healed, "")
	})
}

func TestFailingCorp_IsParkedInTimeAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("ww1", &wechat.Error{Class: schemas.Transient, Message: "no route"})
		failing := d.askMany("ww1", 60)
		for range 200 {
			began := time.Now()
			well := d.askMany("ww2", 3)
			for len(d.outcomes[well[2]]) == 0 {
				d.step(nil)
			}
			wantAll(t, d, well, "")
			if took := time.Since(began); took != 10*ms {
				t.Fatalf("the other corp waited for %s, want 10ms", took)
			}
			d.work(90 * ms)
			if f := d.refusal("ww1"); time.Since(a.seen.began) > 3*time.Second && time.Since(a.seen.began) < 15*time.Second && f == nil {
				t.Fatal("a corp that fails while others don't was given more than keeps its calls busy")
			}
		}
		wantAll(t, d, failing, schemas.Transient)
		if n := strings.Count(d.log.String(), "the corp's calls fail"); n != 1 {
			t.Errorf("%d lines about the corp, want one:\n%s", n, d.log)
		}
		if d.Outage() {
			t.Error("an outage, though others are answered")
		}
		a.fail("ww1", nil)
		again := d.askMany("ww1", 9)
		d.finish()
		wantAll(t, d, again, "")
		if !strings.Contains(d.log.String(), "work again") {
			t.Errorf("want a line that says that it works again:\n%s", d.log)
		}
	})
}

func TestOverdue_TellsThatACorpIsBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := defaults()
		cfg.CorpCallsPerMinute = 10
		d := newDesk(newToll(ms), cfg)
		defer d.close()
		d.askMany("ww1", 60)
		d.work(14 * time.Second)
		if d.Overdue("ww1", time.Now()) {
			t.Error("overdue before max_elapsed")
		}
		d.work(2 * time.Second)
		if !d.Overdue("ww1", time.Now()) || d.Overdue("ww2", time.Now()) || d.refusal("ww1") != nil {
			t.Error("want ww1 overdue, nobody else, and no refusal: its calls work")
		}
		d.finish() // what waits is answered in its time, not given up
		if n := len(d.outcomes); n != 60 {
			t.Errorf("%d outcomes", n)
		}
	})
}

func TestOutage_EverythingWaitsAndNothingIsParked(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		corps := []string{"ww1", "ww2", "ww3", "ww4"}
		for _, corp := range corps {
			d.askMany(corp, 3)
		}
		d.finish()
		d.work(time.Minute)
		down := &wechat.Error{Class: schemas.Transient, Message: "HTTP status 503", RetryAfter: time.Hour}
		var waiters []checker.Waiter
		for _, corp := range corps {
			a.fail(corp, down)
			waiters = append(waiters, d.askMany(corp, 30)...)
		}
		d.work(20 * time.Second)
		if !d.Outage() {
			t.Fatal("no outage after 20 s without an answer")
		}
		before, perCorp := len(a.seen.seen()), map[string]int{}
		for _, corp := range corps {
			perCorp[corp] = a.count(corp)
		}
		d.work(10 * time.Minute)
		if n := len(a.seen.seen()) - before; n < 60 || n > 70 {
			t.Errorf("%d probes in 10 minutes, want one about every 10 s", n)
		}
		for _, corp := range corps {
			if n := a.count(corp) - perCorp[corp]; n < 12 {
				t.Errorf("%d probes of %s: want a lane in turn", n, corp)
			}
			if f := d.refusal(corp); f != nil {
				t.Errorf("refusal %v in an outage", f)
			}
		}
		for _, w := range waiters {
			if n := len(d.outcomes[w]); n != 0 {
				t.Fatalf("%d outcomes in an outage", n)
			}
		}
		for _, corp := range corps[1:] {
			a.fail(corp, nil)
		}
		a.fail("ww1", &wechat.Error{Class: schemas.NotFound, Errcode: 301061, PerItem: true, Replied: true, Message: "no such customer"})
		d.work(11 * time.Second)
		if d.Outage() {
			t.Fatal("still an outage after the API answered")
		}
		d.finish()
		wantAll(t, d, waiters[:30], schemas.NotFound)
		wantAll(t, d, waiters[30:], "")
		for _, w := range waiters[:30] {
			if f := d.outcome(t, w).Failure; f.Attempts > 10 {
				t.Fatalf("%d attempts: those in an outage don't count", f.Attempts)
			}
		}
		for _, text := range []string{"the API is down for all corps", "the API answers again"} {
			if n := strings.Count(d.log.String(), text); n != 1 {
				t.Errorf("%d lines say %q, want one:\n%s", n, text, d.log)
			}
		}
	})
}
