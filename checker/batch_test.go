package checker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consentd/checker"
	"consentd/schemas"
	"consentd/wechat"
)

const ms = time.Millisecond

func TestChecker_BatchesFormAcrossRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			seen.pairs(pairs)
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		waiters := d.ask(single("ww1", "wm1"))
		d.work(5 * ms)
		waiters = append(waiters, d.ask(single("ww1", "wm2"))...)
		d.work(5 * ms)
		waiters = append(waiters, d.ask(single("ww1", "wm3"), single("ww1", "wm4"))...)
		d.finish()
		for i, w := range waiters {
			d.expectAnswer(t, w, word(fmt.Sprint("wm", i+1)))
		}
		seen.expect(t, call{10 * ms, []string{"wm1", "wm2", "wm3"}}, call{30 * ms, []string{"wm4"}})
		d.work(2 * time.Minute)
		if due, ok := d.Due(time.Now()); ok {
			t.Errorf("nothing has waited for long, but something is due at %v", due)
		}
	})
}

func TestChecker_CorpsAreNeverInOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{single: func(_ context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			seen.note(corpID, pairs[0].ExternalUserID, fmt.Sprint(len(pairs)))
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		d.ask(single("ww1", "wm1"))
		d.work(ms)
		d.ask(single("ww2", "wm1"))
		d.finish()
		seen.expect(t, call{20 * ms, []string{"ww1", "wm1", "1"}}, call{21 * ms, []string{"ww2", "wm1", "1"}})
	})
}

func TestChecker_BatchesLingerLongerDuringABacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			seen.pairs(pairs)
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		d.Backlog(true)
		d.ask(single("ww1", "wm1"))
		d.finish()
		d.Backlog(true)
		d.ask(single("ww1", "wm2"))
		d.work(50 * ms)
		d.Backlog(false) // the batch is overdue, and looked at every 20 ms
		d.finish()
		seen.expect(t, call{100 * ms, []string{"wm1"}}, call{160 * ms, []string{"wm2"}})
	})
}

func TestChecker_SamePairAskedTwiceIsOneItemOfOneCallAndAnAnswerToEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			seen.pairs(pairs)
			time.Sleep(100 * ms)
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		waiters := d.ask(single("ww1", "wm1"), single("ww1", "wm1")) // in one request
		waiters = append(waiters, d.ask(single("ww1", "wm1"))...)    // while it lingers
		d.work(70 * ms)                                              // until it is in a call
		waiters = append(waiters, d.ask(single("ww1", "wm1"))...)    // while it is in a call
		stranger := d.ask(schemas.Conversation{CorpID: "ww1", Kind: schemas.Single, OpenUserID: "b", ExternalUserID: "wm1"})
		d.finish()
		for _, w := range append(waiters, stranger...) {
			d.expectAnswer(t, w, word("wm1"))
		}
		d.ask(single("ww1", "wm1")) // afterwards it is a new question
		d.finish()
		seen.expect(t, call{20 * ms, []string{"wm1"}}, call{90 * ms, []string{"wm1"}}, call{210 * ms, []string{"wm1"}})
	})
}

func TestChecker_RoomsAreAskedAtOnceOneACallAndOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		members := []schemas.Member{{ExternalUserID: "wm2", Consent: word("wm2")}, {ExternalUserID: "wm1", Consent: word("wm1")}}
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{room: func(_ context.Context, _, chatID string) ([]schemas.Member, error) {
			seen.note(chatID)
			time.Sleep(50 * ms)
			if chatID == "wr2" {
				return []schemas.Member{}, nil
			}
			return members, nil
		}}, defaults())
		defer d.close()
		waiters := d.ask(room("ww1", "wr1"), room("ww1", "wr1"))
		d.work(10 * ms)
		empty := d.ask(room("ww1", "wr2"))[0]
		d.finish()
		for _, w := range waiters {
			if o := d.outcome(t, w); o.Failure != nil || !slices.Equal(o.Answer.Members, members) {
				t.Errorf("got %+v", o)
			}
		}
		if o := d.outcome(t, empty); o.Failure != nil || len(o.Answer.Members) != 0 {
			t.Errorf("a room without members: got %+v (failure %v), want an answer", o, o.Failure)
		}
		seen.expect(t, call{0, []string{"wr1"}}, call{10 * ms, []string{"wr2"}})
	})
}

func TestChecker_AnswersSayWhenTheAPIReplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := newDesk(fakeAPI{single: func(_ context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			time.Sleep(70 * ms)
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		w := d.ask(single("ww1", "wm1"))[0]
		d.finish()
		if got := d.outcome(t, w).Answer.CheckedAt.Sub(began).Truncate(ms); got != 90*ms {
			t.Errorf("checked at %s, want 90ms", got)
		}
	})
}

func TestChecker_NoCorpHasMoreCallsThanItsConcurrencyAndEachHasThatMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := map[string]int{}, map[string]int{}
		busy := func(corpID string) {
			mu.Lock()
			running[corpID]++
			most[corpID] = max(most[corpID], running[corpID])
			mu.Unlock()
			time.Sleep(100 * ms)
			mu.Lock()
			running[corpID]--
			mu.Unlock()
		}
		d := newDesk(fakeAPI{
			single: func(_ context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
				busy(corpID)
				return answerAll(pairs), nil
			},
			room: func(_ context.Context, corpID, _ string) ([]schemas.Member, error) {
				busy(corpID)
				return nil, nil
			},
		}, defaults())
		defer d.close()
		for i := range 50 {
			for _, corpID := range []string{"ww1", "ww2"} {
				d.ask(single(corpID, fmt.Sprint("wm", i)), room(corpID, fmt.Sprint("wr", i)))
			}
		}
		d.finish()
		if most["ww1"] != 5 || most["ww2"] != 5 {
			t.Errorf("most calls at once %v, want 5 each", most)
		}
	})
}

func TestChecker_ACorpThatHangsDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		d := newDesk(fakeAPI{single: func(ctx context.Context, corpID string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
			if corpID == "ww1" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answerAll(pairs), nil
		}}, defaults())
		defer d.close()
		for i := range 100 {
			d.ask(single("ww1", fmt.Sprint("wm", i)))
		}
		d.open = 0 // those are not waited for
		w := d.ask(single("ww2", "wm1"))[0]
		d.finish()
		d.expectAnswer(t, w, word("wm1"))
		if took := time.Since(began).Truncate(ms); took != 20*ms {
			t.Errorf("answered after %s, want 20ms", took)
		}
	})
}

func TestChecker_TellsWhenACorpHasEnoughWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := defaults()
		cfg.Concurrency = 2
		d := newDesk(fakeAPI{
			single: func(ctx context.Context, _ string, _ []wechat.Pair) ([]wechat.PairConsent, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}, cfg)
		defer d.close()
		for i := range 11 { // two calls of 3, and then 5 wait
			d.ask(single("ww1", fmt.Sprint("wm", i)))
		}
		if d.Supplied("ww1") {
			t.Error("5 wait: not enough for 2 calls of 3")
		}
		d.ask(single("ww1", "wm11"))
		if !d.Supplied("ww1") {
			t.Error("6 wait: enough for 2 calls of 3")
		}
		if d.Supplied("ww2") {
			t.Error("nothing was asked of ww2")
		}
	})
}

func TestChecker_KnowsTheCorpsThatTheAPIKnows(t *testing.T) {
	t.Parallel()
	d := newDesk(fakeAPI{}, defaults())
	defer d.close()
	if !d.Knows("ww1") || d.Knows("") {
		t.Error("want what the API knows")
	}
}

func TestRequest_IsAnsweredWithItsLastItem(t *testing.T) {
	t.Parallel()
	r := &checker.Request{Request: schemas.Request{Items: make([]schemas.Item, 3)}}
	failure := &schemas.Failure{Class: schemas.NotFound}
	for i, item := range []int{2, 0, 1} {
		o := checker.Outcome{Answer: schemas.Answer{Consent: word(fmt.Sprint(item))}}
		if item == 0 {
			o = checker.Outcome{Failure: failure}
		}
		if last := r.Resolve(item, o); last != (i == 2) {
			t.Errorf("after %d of 3: last is %v", i+1, last)
		}
	}
	got := r.Outcomes()
	if len(got) != 3 || got[0].Failure != failure || got[1].Answer.Consent != word("1") || got[2].Answer.Consent != word("2") {
		t.Errorf("got %+v", got)
	}
}

func TestRequest_WeighsItsItemsAndAtLeastOne(t *testing.T) {
	t.Parallel()
	for items, want := range map[int]int{0: 1, 1: 1, 1000: 1000} {
		r := &checker.Request{Request: schemas.Request{Items: make([]schemas.Item, items)}}
		if got := r.Weight(); got != want {
			t.Errorf("%d items weigh %d, want %d", items, got, want)
		}
	}
}
