package checker_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"consentd/schemas"
	"consentd/wechat"
)

// pickyAPI fails a whole call when one of its customers is unknown, as the real one may, or has too many pairs.
type pickyAPI struct {
	bad   map[string]bool
	limit int

	mu    sync.Mutex
	calls int
	sizes []int
}

func (a *pickyAPI) Knows(string) bool { return true }

func (a *pickyAPI) Provider(string) string { return "" }

func (a *pickyAPI) CheckRoom(context.Context, string, string) ([]schemas.Member, error) {
	return nil, nil
}

func (a *pickyAPI) CheckSingle(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	a.sizes = append(a.sizes, len(pairs))
	if a.limit > 0 && len(pairs) > a.limit {
		return nil, &wechat.Error{Class: schemas.Rejected, Errcode: 301060, PerItem: true, TooManyPairs: true}
	}
	answers := make([]wechat.PairConsent, len(pairs))
	for i, p := range pairs {
		if a.bad[p.ExternalUserID] {
			return nil, &wechat.Error{Class: schemas.NotFound, Errcode: 301061, PerItem: true}
		}
		answers[i] = wechat.PairConsent{OpenUserID: p.OpenUserID, ExternalUserID: p.ExternalUserID, Consent: schemas.Consent{AgreeStatus: schemas.Agree}}
	}
	return answers, nil
}

// askAll asks for pairs 0 to n-1 and returns the class of each failure by its customer, "" for an answer.
func askAll(t *testing.T, api *pickyAPI, size, n int) map[string]schemas.Class {
	outcomes := make(map[string]schemas.Class)
	synctest.Test(t, func(t *testing.T) {
		cfg := defaults()
		cfg.BatchSize = size
		d := newDesk(api, cfg)
		defer d.close()
		conversations := make([]schemas.Conversation, n)
		for i := range conversations {
			conversations[i] = single("ww1", fmt.Sprintf("wm%d", i))
		}
		waiters := d.ask(conversations...)
		d.finish()
		for i, w := range waiters {
			class := schemas.Class("")
			if f := d.outcome(t, w).Failure; f != nil {
				class = f.Class
			}
			outcomes[conversations[i].ExternalUserID] = class
		}
	})
	return outcomes
}

func TestBatch_OneBadIDDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const n = 100
		bad := make(map[string]bool)
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, 10, rapid.ID[int]).Draw(rt, "bad") {
			bad[fmt.Sprintf("wm%d", i)] = true
		}
		api := &pickyAPI{bad: bad}
		for id, class := range askAll(t, api, n, n) {
			if (class == schemas.NotFound) != bad[id] {
				rt.Fatalf("%s: class %q, bad: %v", id, class, bad[id])
			}
		}
		k := float64(len(bad))
		if bound := 1 + k*(2*math.Log2(n)+2); float64(api.calls) > bound {
			rt.Fatalf("%d calls for %d bad ids: more than %.0f", api.calls, len(bad), bound)
		}
	})
}

func TestBatch_ThatIsTooLargeForTheAPIIsSplitAndNotMadeSoLargeAgain(t *testing.T) {
	t.Parallel()
	api := &pickyAPI{limit: 30}
	for id, class := range askAll(t, api, 100, 1000) {
		if class != "" {
			t.Errorf("%s: %s", id, class)
		}
	}
	tooLarge := slices.DeleteFunc(slices.Clone(api.sizes), func(size int) bool { return size <= api.limit })
	// Five calls are in flight when the first reply comes, and as many when the first of the halves does.
	if most := 5 + 2*5 + 5; len(tooLarge) > most {
		t.Errorf("%d calls were too large, want at most %d: %v", len(tooLarge), most, tooLarge)
	}
}
