package checker_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"consentd/schemas"
	"consentd/wechat"
)

func TestChecker_RepliesAreMatchedByPairNeverByPosition(t *testing.T) {
	t.Parallel()
	said := func(p wechat.Pair, word string, since int64) wechat.PairConsent {
		return wechat.PairConsent{
			OpenUserID: p.OpenUserID, ExternalUserID: p.ExternalUserID,
			Consent: schemas.Consent{AgreeStatus: word, StatusChangeTime: since},
		}
	}
	stranger := wechat.Pair{OpenUserID: "z", ExternalUserID: "wm1"} // the customer was asked for, with another member of staff
	for _, tc := range []struct {
		name    string
		reply   func(pairs []wechat.Pair) []wechat.PairConsent
		first   schemas.Consent // of wm1; zero: as asked
		unasked int
	}{
		{name: "in order", reply: answerAll},
		{name: "in reverse", reply: func(pairs []wechat.Pair) []wechat.PairConsent {
			consents := answerAll(pairs)
			slices.Reverse(consents)
			return consents
		}},
		{name: "a stranger first", unasked: 1, reply: func(pairs []wechat.Pair) []wechat.PairConsent {
			return append([]wechat.PairConsent{said(stranger, "Agree", 1)}, answerAll(pairs)...)
		}},
		{name: "strangers last, also beyond what was asked for", unasked: 2, reply: func(pairs []wechat.Pair) []wechat.PairConsent {
			return append(answerAll(pairs), said(stranger, "Agree", 1), said(stranger, "Agree", 2))
		}},
		{name: "ids swapped", unasked: 1, reply: func(pairs []wechat.Pair) []wechat.PairConsent {
			return append(answerAll(pairs), said(wechat.Pair{OpenUserID: pairs[0].ExternalUserID, ExternalUserID: pairs[0].OpenUserID}, "Agree", 1))
		}},
		{
			name: "one twice: the latest time counts", first: schemas.Consent{AgreeStatus: "Disagree", StatusChangeTime: 101},
			reply: func(pairs []wechat.Pair) []wechat.PairConsent {
				return append([]wechat.PairConsent{said(pairs[0], "Disagree", 101)}, append(answerAll(pairs), said(pairs[0], "Agree", 99))...)
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
					return tc.reply(pairs), nil
				}}, defaults())
				defer d.close()
				waiters := d.ask(single("ww1", "wm1"), single("ww1", "wm2"), single("ww1", "wm3"))
				d.finish()
				first := tc.first
				if first == (schemas.Consent{}) {
					first = word("wm1")
				}
				for i, want := range []schemas.Consent{first, word("wm2"), word("wm3")} {
					d.expectAnswer(t, waiters[i], want)
				}
				if d.unasked != tc.unasked {
					t.Errorf("%d pairs that nobody asked for, want %d", d.unasked, tc.unasked)
				}
			})
		})
	}
}

func TestChecker_APairThatTheReplyLeftOutIsAskedForOnceMore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		leftOut  int // replies without wm2
		answered bool
	}{
		{"and then answered", 1, true},
		{"and then has no answer", 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := &calls{began: time.Now()}
				d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
					n := seen.pairs(pairs)
					time.Sleep(50 * ms)
					consents := answerAll(pairs)
					if n < tc.leftOut {
						consents = slices.DeleteFunc(consents, func(c wechat.PairConsent) bool { return c.ExternalUserID == "wm2" })
					}
					return consents, nil
				}}, defaults())
				defer d.close()
				waiters := d.ask(single("ww1", "wm1"), single("ww1", "wm2"), single("ww1", "wm3"))
				d.work(60 * ms)
				d.expectAnswer(t, waiters[0], word("wm1"))
				d.expectAnswer(t, waiters[2], word("wm3"))
				late := d.ask(single("ww1", "wm2"))[0] // while it is asked for once more
				d.finish()
				for _, w := range []int{1, 3} {
					w := append(waiters, late)[w]
					if tc.answered {
						d.expectAnswer(t, w, word("wm2"))
					} else {
						d.expectFailure(t, w, schemas.NoAnswer, 0, 2)
					}
				}
				seen.expect(t, call{0, []string{"wm1", "wm2", "wm3"}}, call{50 * ms, []string{"wm2"}})
			})
		})
	}
}

func TestChecker_AnEmptyReplyIsNoAnswerToAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			seen.note()
			return nil, nil
		}}, defaults())
		defer d.close()
		waiters := d.ask(single("ww1", "wm1"), single("ww1", "wm2"), single("ww1", "wm3"))
		d.finish()
		for _, w := range waiters {
			d.expectFailure(t, w, schemas.NoAnswer, 0, 2)
		}
		if n := len(seen.seen()); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}
