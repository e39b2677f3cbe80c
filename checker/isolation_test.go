package checker_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"consentd/checker"
	"consentd/schemas"
	"consentd/wechat"
)

// What happens to one corp must not be taken for what happens to others.

var (
	noRoute   = &wechat.Error{Class: schemas.Transient, Message: "no route"}
	noToken   = &wechat.Error{Class: schemas.Token, Message: "access_token file: no such file"}
	wrongIP   = &wechat.Error{Class: schemas.CorpStopped, Errcode: 60020, AllCorps: true, Replied: true, RetryAfter: time.Minute, Message: "wrong IP"}
	unknown   = &wechat.Error{Class: schemas.UnknownCorp, Message: "no access_token is configured"}
	fullQuota = &wechat.Error{Class: schemas.RateLimited, Errcode: 45009, Replied: true, RetryAfter: time.Minute, Message: "too many calls"}
)

func TestOutage_IsNoticedAndLastsWhateverACorpWithoutATokenSays(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		corps := []string{"ww1", "ww2", "ww3", "ww4"}
		for _, corp := range corps {
			d.askMany(corp, 3)
		}
		d.finish()
		a.fail("bad", noToken)
		var waiting []checker.Waiter
		for _, corp := range corps {
			a.fail(corp, noRoute)
			waiting = append(waiting, d.askMany(corp, 30)...)
		}
		for range 60 {
			d.askMany("bad", 3)
			d.work(time.Second)
		}
		if !d.Outage() {
			t.Error("no outage, though no call of any corp was answered for a minute")
		}
		for _, w := range waiting {
			if n := len(d.outcomes[w]); n != 0 {
				t.Fatalf("%d outcomes in an outage", n)
			}
		}
		for _, corp := range corps {
			a.fail(corp, nil)
		}
		d.work(11 * time.Second)
		wantAll(t, d, waiting, "")
	})
}

func TestOutage_OfACorpThatFailsAloneKeepsOthersWaitingForAProbe(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("sick", noRoute)
		d.askMany("sick", 300)
		d.work(5 * time.Minute)
		if !d.Outage() {
			t.Fatal("no outage, though nothing was answered")
		}
		began := time.Now()
		well := d.askMany("well", 3)
		for len(d.outcomes[well[2]]) == 0 {
			d.step(nil)
		}
		wantAll(t, d, well, "")
		if took := time.Since(began); took > 1100*ms {
			t.Errorf("a healthy corp waited for %s, want no more than a second for the probe", took)
		}
	})
}

func TestStoppedProvider_AProbeThatSaysNothingLeavesTheNextToAnotherCorp(t *testing.T) {
	t.Parallel()
	for name, nothing := range map[string]*wechat.Error{"transient": noRoute, "no token": noToken, "gone": unknown} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trouble(t, func(t *testing.T, a *patient, d *desk) {
				a.fail("s-1", wrongIP)
				a.fail("s-2", wrongIP)
				d.askMany("s-1", 1)
				d.finish()
				d.work(61 * time.Second)
				a.fail("s-1", nothing)
				d.askMany("s-1", 1)
				d.work(25 * ms) // it probes
				if name == "gone" {
					d.work(10 * ms)
					if f := d.refusal("s-2"); len(states(d)) == 0 || states(d)[0].State != "stopped" {
						t.Errorf("a corp that is gone ended the halt of its provider: %v", f)
					}
				}
				other := d.askMany("s-2", 1)
				d.work(time.Minute)
				wantAll(t, d, other, schemas.CorpStopped)
				if n := a.count("s-2"); n != 1 {
					t.Errorf("%d calls of the other corp, want it to be the next probe", n)
				}
			})
		})
	}
}

func TestStoppedProvider_ACorpsOwnTroubleIsNotItsProviders(t *testing.T) {
	t.Parallel()
	own := wechat.Error{Class: schemas.CorpStopped, Errcode: 48002, Replied: true, Message: "no permission"}
	remembered := own
	remembered.Replied = false
	for name, its := range map[string]*wechat.Error{"the API says so": &own, "it was not asked": &remembered} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trouble(t, func(t *testing.T, a *patient, d *desk) {
				a.fail("s-1", wrongIP)
				d.askMany("s-1", 1)
				d.finish()
				a.fail("s-1", its) // the IP is put right
				d.work(61 * time.Second)
				mine := d.askMany("s-1", 1)
				d.work(time.Second)
				wantAll(t, d, mine, schemas.CorpStopped)
				if f := d.refusal("s-1"); f == nil || f.Errcode != 48002 {
					t.Errorf("the corp is refused with %v, want its own errcode 48002", f)
				}
				others := d.askMany("s-2", 1)
				d.work(time.Second)
				wantAll(t, d, others, "")
				if f := d.refusal("s-2"); f != nil {
					t.Errorf("another corp is refused: %v", f)
				}
				// The provider's next halt leaves it its own.
				a.fail("s-2", wrongIP)
				d.askMany("s-2", 1)
				d.finish()
				if f := d.refusal("s-1"); f == nil || f.Errcode != 48002 {
					t.Errorf("beside a stopped provider the corp is refused with %v, want its own errcode 48002", f)
				}
			})
		})
	}
}

func TestOutage_IsNotThatOfATokenServiceBesideTheAPI(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("sick", &wechat.Error{Class: schemas.Transient, Beside: true, Message: "token service: connection refused"})
		waiting := d.askMany("sick", 300)
		d.work(5 * time.Minute)
		if d.Outage() {
			t.Error("an outage, though only a token service failed")
		}
		wantAll(t, d, waiting, schemas.Transient)
	})
}

func TestStoppedCorp_IsForgottenWhenItIsNoLongerConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		configured := true
		api := knowing{fakeAPI{single: func(context.Context, string, []wechat.Pair) ([]wechat.PairConsent, error) {
			return nil, &wechat.Error{Class: schemas.CorpStopped, Errcode: 40001, Replied: true, Message: "wrong secret"}
		}}, &configured}
		d := newDesk(api, defaults())
		defer d.close()
		d.askMany("ww1", 3)
		d.finish()
		d.work(time.Hour)
		if len(states(d)) != 1 {
			t.Fatalf("got %+v, want a stopped corp to be remembered", states(d))
		}
		configured = false
		d.work(2 * time.Minute)
		if len(states(d)) != 0 {
			t.Errorf("got %+v, want nothing of a corp that is gone", states(d))
		}
	})
}

// knowing is an API whose corps come and go.
type knowing struct {
	fakeAPI
	configured *bool
}

func (a knowing) Knows(string) bool { return *a.configured }

func TestBatchSize_IsLoweredForTheCorpAloneThatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		api := fakeAPI{single: func(_ context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			if corpID == "sick" {
				return nil, &wechat.Error{Class: schemas.Rejected, Errcode: 301060, PerItem: true, TooManyPairs: true, Replied: true, Message: "too many"}
			}
			seen.pairs(pairs)
			return answerAll(pairs), nil
		}}
		d := newDesk(api, defaults())
		defer d.close()
		d.askMany("sick", 30)
		d.finish()
		well := d.askMany("well", 30)
		d.finish()
		wantAll(t, d, well, "")
		if n := len(seen.seen()); n != 10 {
			t.Errorf("%d calls for 30 pairs of a healthy corp, want 10 full ones", n)
		}
	})
}

func TestQuota_OfAnHourIsTriedLessAndLess(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("ww1", fullQuota)
		for range 3600 {
			if d.refusal("ww1") == nil {
				d.askMany("ww1", 1)
			}
			d.work(time.Second)
		}
		var at []time.Duration
		for _, c := range a.seen.seen() {
			at = append(at, c.at.Round(time.Minute))
		}
		at = slices.Compact(at) // several calls at once
		if got, want := fmt.Sprint(at), "[0s 1m0s 3m0s 7m0s 15m0s 25m0s 35m0s 45m0s 55m0s]"; got != want {
			t.Errorf("tried at %s, want %s", got, want)
		}
		a.fail("ww1", nil)
		d.work(10 * time.Minute)
		d.askMany("ww1", 20)
		d.finish()
		a.fail("ww1", fullQuota)
		d.askMany("ww1", 20)
		d.finish()
		d.work(61 * time.Second)
		if f := d.refusal("ww1"); f != nil {
			t.Errorf("refusal %v a minute after a quota was used up that was free before", f)
		}
	})
}

func TestInherit_ANewAssignmentDoesNotTryAgainWhatWasJustRefused(t *testing.T) {
	t.Parallel()
	trouble(t, func(t *testing.T, a *patient, d *desk) {
		a.fail("quota", fullQuota)
		a.fail("secret", &wechat.Error{Class: schemas.CorpStopped, Errcode: 48002, Replied: true, Message: "no permission"})
		a.fail("s-1", wrongIP)
		a.fail("elsewhere", fullQuota)
		all := []string{"quota", "secret", "s-1", "elsewhere"}
		for _, corp := range all {
			d.askMany(corp, 30)
		}
		d.finish()
		before := len(a.seen.seen())

		next := newDesk(a.api(), defaults())
		defer next.close()
		next.Inherit(d.Checker, func(corpID string) bool { return corpID != "elsewhere" }, time.Now())
		for _, corp := range append(all, "s-2") {
			refused := next.refusal(corp) != nil
			if want := corp != "elsewhere"; refused != want {
				t.Errorf("%s: refused %t, want %t", corp, refused, want)
			}
		}
		if n := len(a.seen.seen()) - before; n != 0 {
			t.Errorf("%d calls were made", n)
		}
		next.work(61 * time.Second)
		for _, corp := range all[:3] {
			a.fail(corp, nil)
		}
		healed := append(append(next.askMany("quota", 3), next.askMany("secret", 3)...), next.askMany("s-1", 3)...)
		next.finish()
		wantAll(t, next, healed, "")
	})
}
