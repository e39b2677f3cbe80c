package checker_test

import (
	"context"
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

// inAnyMinute is the most calls in any 60 s.
func inAnyMinute(at []time.Duration) int {
	most := 0
	for first, last := 0, 0; last < len(at); last++ {
		for at[last]-at[first] >= time.Minute {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// toll is an API that notes when calls were made, by corp and kind and of each kind in all.
type toll struct {
	began   time.Time
	latency time.Duration

	mu      sync.Mutex
	calls   map[string][]time.Duration
	running map[string]int
	most    int // calls of a corp at once
}

func newToll(latency time.Duration) *toll {
	return &toll{began: time.Now(), latency: latency, calls: map[string][]time.Duration{}, running: map[string]int{}}
}

func (a *toll) Knows(string) bool      { return true }
func (a *toll) Provider(string) string { return "" }

func (a *toll) note(corpID, kind string) {
	a.mu.Lock()
	for _, key := range []string{corpID + " " + kind, kind} {
		a.calls[key] = append(a.calls[key], time.Since(a.began))
	}
	a.running[corpID]++
	a.most = max(a.most, a.running[corpID])
	a.mu.Unlock()
	time.Sleep(a.latency)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running[corpID]--
}

// times returns when calls were made.
func (a *toll) times(key string) []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls[key])
}

func (a *toll) CheckSingle(_ context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
	a.note(corpID, "single")
	return answerAll(pairs), nil
}

func (a *toll) CheckRoom(_ context.Context, corpID, _ string) ([]schemas.Member, error) {
	a.note(corpID, "room")
	return nil, nil
}

func TestBudget_NoMinuteHasMoreCallsThanAllowedAndLittleIsWasted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		allowed := rapid.OneOf(rapid.IntRange(1, 200), rapid.IntRange(1, 5000)).Draw(rt, "calls a minute")
		ofCorp := rapid.OneOf(rapid.IntRange(1, 200), rapid.IntRange(1, 5000)).Draw(rt, "calls of a corp")
		minutes := 3
		corps := rapid.IntRange(1, 4).Draw(rt, "corps")
		var problem string
		synctest.Test(t, func(*testing.T) {
			api := newToll(10 * time.Millisecond)
			cfg := defaults()
			cfg.BatchSize, cfg.Concurrency, cfg.CallsPerMinute, cfg.CorpCallsPerMinute = 1, 100, float64(allowed), float64(ofCorp)
			d := newDesk(api, cfg)
			defer d.close()
			each := min(minutes*allowed/corps+5, minutes*ofCorp+5)
			for corp := range corps {
				for i := range each {
					d.ask(single(fmt.Sprintf("ww%d", corp), fmt.Sprint("wm", i)), room(fmt.Sprintf("ww%d", corp), fmt.Sprint("wr", i)))
				}
			}
			d.work(time.Duration(minutes) * time.Minute)
			for _, kind := range []string{"single", "room"} {
				if n := inAnyMinute(api.times(kind)); n > allowed {
					problem = fmt.Sprintf("%d %s calls in a minute, %d are allowed", n, kind, allowed)
				}
				// Each minute of the three brings nearly all that is allowed, but for the first call's wait.
				want := min(allowed, corps*ofCorp)
				if n := len(api.times(kind)); float64(n) < 0.95*float64(minutes*want)-float64(corps)-1 {
					problem = fmt.Sprintf("%d %s calls in %d minutes, %d are allowed in each", n, kind, minutes, want)
				}
				for corp := range corps {
					if n := inAnyMinute(api.times(fmt.Sprintf("ww%d %s", corp, kind))); n > ofCorp {
						problem = fmt.Sprintf("%d %s calls of a corp in a minute, %d are allowed", n, kind, ofCorp)
					}
				}
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func TestBudget_ACorpWithManyWaitingDoesNotDelayOneWithFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := newToll(10 * time.Millisecond)
		cfg := defaults()
		cfg.BatchSize, cfg.CallsPerMinute = 1, 600
		d := newDesk(api, cfg)
		defer d.close()
		for i := range 5000 {
			d.ask(single("ww1", fmt.Sprint("wm", i)))
		}
		d.work(time.Minute)
		for i := range 10 {
			d.ask(single("ww2", fmt.Sprint("wm", i)))
		}
		d.work(3 * time.Second)
		// Ten calls a second, in turn: five of them are the other's.
		if n := len(api.times("ww2 single")); n != 10 {
			t.Errorf("%d of 10 calls were made in 3 s", n)
		}
	})
}

func TestBudget_TenThousandCorpsTakeTheIdealTimeAndThenNoMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const corps, callsPerMinute = 10_000, 40_000
		api := newToll(20 * time.Millisecond)
		cfg := defaults()
		cfg.BatchSize, cfg.CallsPerMinute, cfg.CorpCallsPerMinute = 100, callsPerMinute, 10_000
		d := newDesk(api, cfg)
		defer d.close()
		began := time.Now()
		for corp := range corps {
			for i := range 100 {
				d.ask(single(fmt.Sprintf("ww%d", corp), fmt.Sprint("wm", i)))
			}
		}
		d.finish()
		ideal := time.Minute * corps / callsPerMinute
		if took := time.Since(began); took > ideal*105/100 {
			t.Errorf("took %s, ideal are %s", took, ideal)
		}
		if n := len(api.times("single")); n != corps || inAnyMinute(api.times("single")) > callsPerMinute || api.most > 5 {
			t.Errorf("%d calls, at most %d of a corp at once", n, api.most)
		}
		d.work(2 * time.Minute)
		if at, ok := d.Due(time.Now()); ok {
			t.Errorf("idle for two minutes, but something is due at %s", at)
		}
	})
}

func TestBudget_ConcurrencyIsLoweredOnceARoundAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, limit := 0, 0, 2
		d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			mu.Lock()
			running++
			tooMany := running > limit
			most = max(most, running)
			mu.Unlock()
			time.Sleep(10 * ms)
			mu.Lock()
			defer mu.Unlock()
			running--
			if tooMany {
				return nil, &wechat.Error{Class: schemas.RateLimited, Errcode: 45033, Message: "too many at once"}
			}
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		ask := func(n int) (waiters []checker.Waiter) {
			for i := range n {
				waiters = append(waiters, d.ask(single("ww1", fmt.Sprint("wm", i)))...)
			}
			d.finish()
			return waiters
		}
		waiters := ask(60)
		if most != 5 {
			t.Errorf("%d calls at once at first, want 5", most)
		}
		mu.Lock()
		limit, most = 100, 0
		mu.Unlock()
		waiters = append(waiters, ask(3*20*(2+3+4)+100)...)
		if most != 5 {
			t.Errorf("%d calls at once in the end, want 5 again", most)
		}
		if failed := slices.ContainsFunc(waiters, func(w checker.Waiter) bool { return d.outcome(t, w).Failure != nil }); failed {
			t.Error("some were not answered")
		}
	})
}
