package wechattest

import (
	"net/http"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStats_CountWhatWasAsked(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.single(pairs(100)...)
	w.single(pairs(100)...)
	w.single(pairs(3)...)
	w.room("wr1")
	w.getToken(corpID, secret)
	w.getToken(corpID, "")
	w.call(http.MethodPost, singleOf(w.token), `{"item":[]}`)
	w.call(http.MethodPost, singleOf(w.token), singleBodyOf(pairs(101)...))
	w.call(http.MethodPost, singleOf("nobody's"), singleBodyOf(pairs(1)...))
	w.call(http.MethodPost, roomOf(w.sim.Token("ww2")), `{"chatid":"wr1"}`)
	want := Stats{
		Counters: Counters{
			Calls: Calls{Single: 6, Room: 2, GetToken: 2}, Items: 204, MaxConcurrency: 1,
			BatchSizes: map[int]int64{100: 2, 3: 1, 1: 1}, BusiestMinute: BusiestMinute{6, 2},
			TokenFetches: TokenFetches{1, 1}, Errors: map[int]int64{40058: 1, 301060: 1, 40014: 1, 41004: 1},
		},
		Corps: map[string]Counters{
			corpID: {
				Calls: Calls{Single: 5, Room: 1, GetToken: 2}, Items: 203, MaxConcurrency: 1,
				BatchSizes: map[int]int64{100: 2, 3: 1}, BusiestMinute: BusiestMinute{5, 1},
				TokenFetches: TokenFetches{1, 1}, Errors: map[int]int64{40058: 1, 301060: 1, 41004: 1},
			},
			"ww2": {
				Calls: Calls{Room: 1}, MaxConcurrency: 1, BatchSizes: map[int]int64{}, BusiestMinute: BusiestMinute{0, 1},
				Errors: map[int]int64{},
			},
		},
		Suites: map[string]Counters{},
	}
	if got := w.sim.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	w.sim.ResetStats()
	want = Stats{
		Counters: Counters{BatchSizes: map[int]int64{}, Errors: map[int]int64{}},
		Corps:    map[string]Counters{}, Suites: map[string]Counters{},
	}
	if got := w.sim.Stats(); !reflect.DeepEqual(got, want) {
		t.Errorf("after a reset %+v, want nothing", got)
	}
}

func TestStats_KnowTheMostCallsAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := New(Options{Delay: time.Second})
		token, other := sim.Token(corpID), sim.Token("ww2")
		ask := func(calls int, token string) {
			for range calls {
				go serve(sim, http.MethodPost, singleOf(token), singleBodyOf(pairs(2)...))
			}
		}
		want := func(when string, most, mostOfOther int) {
			t.Helper()
			synctest.Wait()
			corps := sim.Stats().Corps
			if got := corps[corpID].MaxConcurrency; got != most {
				t.Errorf("%s: %d at the same time, want %d", when, got, most)
			}
			if got := corps["ww2"].MaxConcurrency; got != mostOfOther {
				t.Errorf("%s: %d of the other corp at the same time, want %d", when, got, mostOfOther)
			}
		}
		ask(4, token)
		time.Sleep(500 * time.Millisecond)
		ask(3, token)
		ask(2, other)
		want("all there", 7, 2)
		time.Sleep(600 * time.Millisecond)
		ask(1, token)
		want("some gone", 7, 2)
		sim.ResetStats()
		want("after a reset", 4, 2)
		time.Sleep(2 * time.Second)
		sim.ResetStats()
		want("after a reset with nobody there", 0, 0)
	})
}

func TestSimulator_IsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Remember: true, Delay: time.Microsecond})
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			for round := range uint64(30) {
				switch i {
				case 0:
					w.sim.Flip(0.3, round)
				case 1:
					w.sim.SetSingle(corpID, "a", "wm1", Status{Agree, int64(round)})
					w.sim.SetRoom(corpID, "wr1", []Member{{"wm1", Status{Agree, int64(round)}}})
				case 2:
					w.sim.Script(Fault{Shuffle: true, Count: 3}, Fault{Corp: corpID, ID: "wm1", Repeat: true, Count: 1})
					w.sim.ClearCorpFaults(corpID)
					w.sim.SetDelay(time.Duration(round) * time.Microsecond)
					w.sim.SetLimits(Limits{CallsPerMinute: 1000 + int(round)})
					w.sim.SetCorpLimits(corpID, CorpLimits{Concurrency: 100 + int(round)})
				case 4:
					w.sim.SetSecret("ww2", secret)
					w.sim.SetSuiteSecret("s1", secret)
					w.sim.SetSuiteTicket("s1", "ticket", time.Hour)
					(asker{w.t, w.sim}).mustFetch()
					w.sim.RevokeSuiteTokens("s2")
				case 3:
					w.sim.Stats()
					w.sim.Tokens()
					w.getToken("ww2", secret)
					w.sim.ExpireTokens("ww2")
				default:
					w.single(append(pairs(50), pair{"a", "wm1"})...).want(t, 0)
					w.room("wr1").want(t, 0)
				}
			}
		})
	}
	callers.Wait()
	if got := w.sim.Stats().Calls; got != (Calls{Single: 90, Room: 90, GetToken: 30, GetSuiteToken: 30, GetCorpToken: 30}) {
		t.Errorf("calls %+v", got)
	}
}
