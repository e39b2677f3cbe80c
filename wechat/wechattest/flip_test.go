package wechattest

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// statuses returns the status of each pair as the API says it.
func (w *world) statuses(asked []pair) map[pairKey]Status {
	w.t.Helper()
	all := make(map[pairKey]Status)
	for some := range slices.Chunk(asked, MaxItems) {
		for _, e := range w.single(some...).AgreeInfo {
			all[pairKey{corpID, e.OpenUserID, e.ExternalUserID}] = Status{e.AgreeStatus, e.StatusChangeTime}
		}
	}
	return all
}

func TestFlip_ChangesExactlyWhatItReturns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options Options
		set     bool
	}{
		{"pairs that were asked for", Options{Remember: true}, false},
		{"pairs that were set", Options{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, c.options)
			asked := pairs(1000)
			if c.set {
				for i, p := range asked {
					w.sim.SetSingle(corpID, p.staff, p.customer, Status{[]string{Agree, Disagree}[i%2], int64(i)})
				}
			}
			for round := range uint64(3) {
				before := w.statuses(asked)
				flips := w.sim.Flip(0.05, round)
				after := w.statuses(asked)
				if len(flips) != 50 {
					t.Fatalf("%d flips, want 5 %% of 1000", len(flips))
				}
				if !slices.IsSortedFunc(flips, func(x, y Flipped) int { return x.key().compare(y.key()) }) {
					t.Error("flips are not sorted")
				}
				for _, f := range flips {
					opposite := map[string]string{Agree: Disagree, Disagree: Agree}[f.Previous.AgreeStatus]
					if f.Current.AgreeStatus != opposite || f.Current.ChangeTime <= f.Previous.ChangeTime {
						t.Errorf("flip %+v: want the other word and a later time", f)
					}
					if before[f.key()] != f.Previous || after[f.key()] != f.Current {
						t.Errorf("flip %+v: the API said %v and then %v", f, before[f.key()], after[f.key()])
					}
					delete(before, f.key())
					delete(after, f.key())
				}
				if !reflect.DeepEqual(before, after) {
					t.Error("something else changed too")
				}
			}
		})
	}
}

func TestFlip_IsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	flip := func(seed uint64) []Flipped {
		w := setup(t, Options{Remember: true})
		w.statuses(pairs(300))
		return w.sim.Flip(0.1, seed)
	}
	if !reflect.DeepEqual(flip(1), flip(1)) {
		t.Error("the same seed flips otherwise")
	}
	if reflect.DeepEqual(flip(1), flip(2)) {
		t.Error("another seed flips the same")
	}
}

func TestFlip_Fractions(t *testing.T) {
	t.Parallel()
	var zero float64
	for fraction, want := range map[float64]int{0: 0, -1: 0, zero / zero: 0, 0.04: 0, 0.06: 1, 0.5: 5, 1: 10, 7: 10} {
		sim := New(Options{})
		for _, p := range pairs(10) {
			sim.SetSingle(corpID, p.staff, p.customer, Status{Agree, 1})
		}
		sim.SetSingle(corpID, "a", "wm-odd", Status{"Default_Agree", 1}) // neither word: stays
		if got := len(sim.Flip(fraction, 1)); got != want {
			t.Errorf("fraction %v flips %d of 10, want %d", fraction, got, want)
		}
	}
}

func TestFlip_DoesNotKnowWhatItWasNotToRemember(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.statuses(pairs(100))
	if flips := w.sim.Flip(1, 1); len(flips) != 0 {
		t.Errorf("%d flips, want none", len(flips))
	}
	w.sim.SetRemember(true)
	w.statuses(pairs(100))
	w.sim.SetRemember(false)
	w.statuses(pairs(200))
	if flips := w.sim.Flip(1, 1); len(flips) != 100 {
		t.Errorf("%d flips, want those that were asked for while it remembered, 100", len(flips))
	}
}

func TestFlip_IsSeenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	asked := pairs(100)
	for _, p := range asked {
		w.sim.SetSingle(corpID, p.staff, p.customer, Status{Agree, 1})
	}
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				body := serve(w.sim, http.MethodPost, singleOf(w.token), singleBodyOf(asked...))
				if n := strings.Count(body, `"Agree"`); n != 0 && n != 100 {
					t.Errorf("%d of 100 agree, while all of them change together", n)
					return
				}
			}
		})
	}
	for seed := range uint64(200) {
		w.sim.Flip(1, seed)
	}
	close(done)
	callers.Wait()
}
