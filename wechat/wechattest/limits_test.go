package wechattest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asker makes calls without a network, and so in virtual time.
type asker struct {
	t   testing.TB
	sim *Simulator
}

// errcode returns the errcode of a reply; one without is a success.
func (a asker) errcode(body string) int {
	a.t.Helper()
	_, rest, ok := strings.Cut(body, `"errcode":`)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(rest[:strings.IndexAny(rest, ",}")])
	if err != nil {
		a.t.Fatalf("%s: %v", body, err)
	}
	return n
}

// ask makes a call with a fresh token of the corp.
func (a asker) ask(corp string, kind Kind) int {
	a.t.Helper()
	if kind == Room {
		return a.errcode(serve(a.sim, http.MethodPost, roomOf(a.token(corp)), `{"chatid":"wr1"}`))
	}
	return a.errcode(serve(a.sim, http.MethodPost, singleOf(a.token(corp)), singleBodyOf(pair{"a", "wm1"})))
}

func (a asker) token(corp string) string {
	token, _ := a.sim.tokens.get(holder{corp: corp})
	return token
}

// passed makes so many calls and returns how many were answered; the others must be refused as over a limit a minute.
func (a asker) passed(n int, corp string, kind Kind) (passed int) {
	a.t.Helper()
	for range n {
		switch got := a.ask(corp, kind); got {
		case 0:
			passed++
		case 45009:
		default:
			a.t.Fatalf("errcode %d, want 0 or 45009", got)
		}
	}
	return passed
}

func bubble(t *testing.T, o Options, test func(t *testing.T, a asker)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, asker{t, New(o)}) })
}

func TestLimits_LetExactlySoManyCallsPassInAMinute(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
	}{
		{"of a corp", Limits{Corp: CorpLimits{CallsPerMinute: 10}}},
		{"of all corps", Limits{CallsPerMinute: 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, Options{Limits: c.limits}, func(t *testing.T, a asker) {
				expect := func(when string, n, want int) {
					t.Helper()
					if got := a.passed(n, corpID, Single); got != want {
						t.Errorf("%s: %d of %d calls passed, want %d", when, got, n, want)
					}
				}
				time.Sleep(17 * time.Second) // the minute begins with the first call
				expect("at first", 4, 4)
				time.Sleep(30 * time.Second)
				expect("after 30 s", 20, 6)
				time.Sleep(30*time.Second - time.Nanosecond)
				expect("just before the end", 5, 0)
				time.Sleep(time.Nanosecond)
				expect("in the next minute", 25, 10)
				time.Sleep(time.Hour)
				expect("an hour later", 1, 1)
				time.Sleep(59 * time.Second)
				expect("in the same minute", 25, 9)
			})
		})
	}
}

func TestLimits_CountSingleAndRoomCallsApart(t *testing.T) {
	bubble(t, Options{Limits: Limits{CallsPerMinute: 7, Corp: CorpLimits{CallsPerMinute: 5}}}, func(t *testing.T, a asker) {
		for _, c := range []struct {
			corp string
			kind Kind
			want int
		}{
			{"ww1", Single, 5},
			{"ww1", Room, 5},
			{"ww2", Single, 2}, // what all corps together have left
			{"ww2", Room, 2},
			{"ww3", Room, 0},
		} {
			if got := a.passed(20, c.corp, c.kind); got != c.want {
				t.Errorf("%s %s: %d calls passed, want %d", c.corp, c.kind, got, c.want)
			}
		}
	})
}

func TestLimits_OfACorpAreItsOwn(t *testing.T) {
	bubble(t, Options{Limits: Limits{Corp: CorpLimits{CallsPerMinute: 3}}}, func(t *testing.T, a asker) {
		a.sim.SetCorpLimits("ww2", CorpLimits{CallsPerMinute: 1})
		a.sim.SetCorpLimits("ww3", CorpLimits{})
		for corp, want := range map[string]int{"ww1": 3, "ww2": 1, "ww3": 9, "ww4": 3} {
			if got := a.passed(9, corp, Single); got != want {
				t.Errorf("%s: %d calls passed, want %d", corp, got, want)
			}
		}
	})
}

func TestLimits_ChangeInTheMiddleOfAMinute(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, a asker) {
		expect := func(when string, want int) {
			t.Helper()
			if got := a.passed(6, corpID, Single); got != want {
				t.Errorf("%s: %d of 6 calls passed, want %d", when, got, want)
			}
		}
		expect("without limits", 6)
		a.sim.SetLimits(Limits{CallsPerMinute: 9})
		expect("what was used before counts", 3)
		a.sim.SetLimits(Limits{CallsPerMinute: 100, Corp: CorpLimits{CallsPerMinute: 10}})
		expect("another limit", 1)
		a.sim.SetCorpLimits(corpID, CorpLimits{CallsPerMinute: 12})
		expect("one of its own", 2)
		a.sim.ClearLimits()
		expect("all limits removed", 6)
		a.sim.SetLimits(Limits{Corp: CorpLimits{CallsPerMinute: -1}})
		expect("a negative limit is none", 6)
	})
}

func TestLimits_RefusedCallsUseNothingUp(t *testing.T) {
	bubble(t, Options{Limits: Limits{CallsPerMinute: 4, Corp: CorpLimits{CallsPerMinute: 2}}}, func(t *testing.T, a asker) {
		for range 50 {
			a.errcode(serve(a.sim, http.MethodPost, singleOf("nobody's"), singleBodyOf(pair{"a", "wm1"})))
		}
		a.sim.Script(Fault{Count: 50, Errcode: -1})
		for range 50 {
			if got := a.ask("ww1", Single); got != -1 {
				t.Fatalf("errcode %d, want the fault's", got)
			}
		}
		if got := a.passed(50, "ww1", Single); got != 2 {
			t.Errorf("%d calls passed, want the corp's 2", got)
		}
		if got := a.passed(50, "ww2", Single); got != 2 {
			t.Errorf("%d calls of the other corp passed, want 2 of the 4 of all", got)
		}
	})
}

func TestLimits_LetSoManyCallsBeThereAtTheSameTime(t *testing.T) {
	bubble(t, Options{Delay: time.Second, Limits: Limits{Corp: CorpLimits{Concurrency: 5}}}, func(t *testing.T, a asker) {
		a.sim.SetCorpLimits("ww2", CorpLimits{Concurrency: 2})
		var mu sync.Mutex
		answers := make(map[string]int) // by corp and errcode
		ask := func(n int, corp string, kind Kind) {
			for range n {
				go func() {
					got := a.ask(corp, kind)
					mu.Lock()
					defer mu.Unlock()
					answers[fmt.Sprint(corp, " ", got)]++
				}()
			}
			synctest.Wait()
		}
		expect := func(when string, want map[string]int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if fmt.Sprint(answers) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", when, answers, want)
			}
			clear(answers)
		}
		ask(4, "ww1", Single)
		ask(4, "ww1", Room)
		ask(4, "ww2", Single)
		time.Sleep(time.Second)
		expect("at first", map[string]int{"ww1 0": 5, "ww1 45033": 3, "ww2 0": 2, "ww2 45033": 2})

		ask(3, "ww1", Single)
		time.Sleep(500 * time.Millisecond)
		ask(3, "ww1", Room) // the last one is refused, and keeps no place until it is answered
		time.Sleep(500 * time.Millisecond)
		expect("the first ones are answered", map[string]int{"ww1 0": 3})
		ask(4, "ww1", Single)
		time.Sleep(time.Second)
		expect("their places are free again", map[string]int{"ww1 0": 5, "ww1 45033": 2})

		a.sim.SetLimits(Limits{Corp: CorpLimits{Concurrency: 1}})
		ask(3, "ww1", Single)
		time.Sleep(time.Second)
		expect("another limit", map[string]int{"ww1 0": 1, "ww1 45033": 2})
	})
}

func TestLimits_NeverRefuseOneCallAfterTheOther(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Limits: Limits{Corp: CorpLimits{Concurrency: 1}}})
	for range 200 { // of replies that are sent before their handler has returned
		w.single(pairs(100)...).want(t, 0)
	}
	w.sim.Script(Fault{Count: 1, HTTPStatus: 502, Body: strings.Repeat("x", 100_000)}, Fault{Count: 1, CloseConnection: true})
	for range 2 {
		_, _ = w.do(http.MethodPost, singleOf(w.token), singleBodyOf(pairs(100)...))
	}
	w.single(pairs(100)...).want(t, 0)
	if got := w.sim.Stats(); got.MaxConcurrency != 1 || got.Concurrency != 0 {
		t.Errorf("at most %d calls at the same time, %d now, want 1 and 0", got.MaxConcurrency, got.Concurrency)
	}
}

func TestLimits_HoldWhenCallsAreParallel(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Limits: Limits{CallsPerMinute: 100, Corp: CorpLimits{CallsPerMinute: 40}}})
	bodies := singleBodyOf(pair{"a", "wm1"})
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			target := singleOf(w.sim.Token(fmt.Sprint("ww", i%4)))
			for range 50 {
				serve(w.sim, http.MethodPost, target, bodies)
			}
		})
	}
	callers.Wait()
	stats := w.sim.Stats()
	if passed := stats.Calls.Single - stats.Errors[45009]; passed != 100 {
		t.Errorf("%d calls passed, want 100", passed)
	}
	for id, corp := range stats.Corps {
		if passed := corp.Calls.Single - corp.Errors[45009]; passed > 40 {
			t.Errorf("%s: %d calls passed, want at most 40", id, passed)
		}
	}
}

func TestLimits_AreKeptForEachOfManyCorps(t *testing.T) {
	const corps = 10_000
	bubble(t, Options{Limits: Limits{Corp: CorpLimits{CallsPerMinute: 1}}}, func(t *testing.T, a asker) {
		for i := range corps {
			if got := a.passed(2, fmt.Sprint("ww", i), Single); got != 1 {
				t.Fatalf("corp %d: %d of 2 calls passed, want 1", i, got)
			}
		}
		if stats := a.sim.Stats(); len(stats.Corps) != corps || stats.Errors[45009] != corps {
			t.Errorf("%d corps, errcodes %v", len(stats.Corps), stats.Errors)
		}
	})
}

func TestStats_KnowTheBusiestMinuteWhereverItBegins(t *testing.T) {
	bubble(t, Options{Limits: Limits{Corp: CorpLimits{CallsPerMinute: 3}}}, func(t *testing.T, a asker) {
		expect := func(when string, all, corp BusiestMinute) {
			t.Helper()
			stats := a.sim.Stats()
			if got := stats.BusiestMinute; got != all {
				t.Errorf("%s: %+v, want %+v", when, got, all)
			}
			if got := stats.Corps["ww1"].BusiestMinute; got != corp {
				t.Errorf("%s: %+v of the corp, want %+v", when, got, corp)
			}
		}
		a.passed(1, "ww1", Single)
		time.Sleep(50 * time.Second)
		a.passed(2, "ww1", Single)
		a.passed(1, "ww2", Single)
		expect("at first", BusiestMinute{4, 0}, BusiestMinute{3, 0})
		time.Sleep(10 * time.Second)
		a.passed(3, "ww1", Single) // another minute for the limit, but 10 s after the last
		a.passed(2, "ww1", Room)
		expect("across two minutes of the limit", BusiestMinute{6, 2}, BusiestMinute{5, 2})
		time.Sleep(time.Minute)
		a.passed(4, "ww1", Single)
		expect("later", BusiestMinute{6, 2}, BusiestMinute{5, 2})
		a.sim.ResetStats()
		a.passed(7, "ww2", Single)
		expect("after a reset", BusiestMinute{7, 0}, BusiestMinute{})
	})
}

func TestStats_FindTheBusiestMinuteOfManyCalls(t *testing.T) {
	t.Parallel()
	var m minute
	var most int64
	times := make([]time.Duration, 0, 3000)
	now := time.Duration(0)
	for i := range uint64(cap(times)) {
		now += time.Duration(newHash(i).sum() % uint64(300*time.Millisecond))
		if i%500 == 0 {
			now += 40 * time.Second
		}
		times = append(times, now)
		m.add(now)
		var held int64
		for j := len(times) - 1; j >= 0 && now-times[j] < time.Minute; j-- {
			held++
		}
		most = max(most, held)
		if m.most != most {
			t.Fatalf("after %d calls the busiest minute has %d, want %d", i+1, m.most, most)
		}
	}
}
