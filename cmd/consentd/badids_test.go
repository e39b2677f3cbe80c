package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

func TestLarge_OnePercentBadIDsFailAloneAndCostABoundedNumberOfCalls(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{UnknownIDs: wechattest.UnknownRefused})
	const perRequest, batch = 1000, 100
	items := sized(100_000)
	random := rand.New(rand.NewPCG(7, 7))
	bad := make(map[string]bool)
	var records []*kgo.Record
	for first := 0; first < items; first += perRequest {
		corp := fmt.Sprintf("ww%d", 1+first/perRequest%3)
		var pairs []string
		for i := first; i < first+perRequest; i++ {
			customer := fmt.Sprintf("wm%06d", i)
			if random.IntN(100) == 0 {
				bad[customer] = true
			} else {
				w.sim.SetSingle(corp, "a", customer, wechattest.Status{AgreeStatus: wechattest.Agree, ChangeTime: firstTime})
			}
			pairs = append(pairs, fmt.Sprintf(`{"open_userid":"a","external_userid":%q}`, customer))
		}
		records = append(records, w.request(corp, fmt.Sprintf(`{"corp_id":%q,"kind":"single","items":[%s]}`, corp, strings.Join(pairs, ","))))
	}
	kafkatest.Produce(t, b.Addr(), records...)
	d := w.start()
	events := w.await(items)
	d.stop()
	failed := 0
	for _, e := range events {
		if !e.terminal() {
			continue
		}
		if (e.Type == "consent.failed") != bad[e.ExternalUserID] || e.Type == "consent.failed" && e.Error.Class != "not_found" {
			t.Fatalf("event %+v, bad: %v", e, bad[e.ExternalUserID])
		}
		if e.Type == "consent.failed" {
			failed++
		}
	}
	if failed != len(bad) {
		t.Errorf("%d failed, want the %d bad ones", failed, len(bad))
	}
	calls, k := float64(w.sim.Stats().Calls.Single), float64(len(bad))
	bound := 1.02*float64(items)/batch + k*(2*math.Log2(batch)+2)
	if calls > bound {
		t.Errorf("%.0f calls for %.0f bad ids among %d: more than %.0f", calls, k, items, bound)
	}
	t.Logf("%.0f calls, %.0f bad ids of %d, bound %.0f", calls, k, items, bound)
}
