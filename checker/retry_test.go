package checker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consentd/checker"
	"consentd/schemas"
	"consentd/wechat"
)

// eachKind runs a test for pairs and for a room; answer is called with the number of the call.
func eachKind(t *testing.T, answer func(ctx context.Context, n int) error, test func(t *testing.T, d *desk, seen *calls, ask func() []checker.Waiter)) {
	t.Helper()
	for _, kind := range []schemas.Kind{schemas.Single, schemas.Room} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := &calls{began: time.Now()}
				d := newDesk(fakeAPI{
					single: func(ctx context.Context, _ string, pairs []wechat.Pair) ([]wechat.PairConsent, error) {
						if err := answer(ctx, seen.note()); err != nil {
							return nil, err
						}
						return answerAll(pairs), nil
					},
					room: func(ctx context.Context, _, _ string) ([]schemas.Member, error) {
						return nil, answer(ctx, seen.note())
					},
				}, defaults())
				defer d.close()
				test(t, d, seen, func() []checker.Waiter {
					if kind == schemas.Room {
						return d.ask(room("ww1", "wr1"))
					}
					return d.ask(single("ww1", "wm1"), single("ww1", "wm2"), single("ww1", "wm3"))
				})
			})
		})
	}
}

func TestChecker_WhatPassesIsTriedAgainUntilTheTimeIsUpAndKeepsItsClass(t *testing.T) {
	t.Parallel()
	for _, e := range []wechat.Error{
		{Class: schemas.Transient, Message: "no route"},
		{Class: schemas.Transient, Errcode: -1, Message: "busy"},
		{Class: schemas.RateLimited, Errcode: 45033, Message: "too many at once"},
		{Class: schemas.Token, Message: "no token"},
	} {
		t.Run(fmt.Sprintf("%s %d", e.Class, e.Errcode), func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(context.Context, int) error { return &e }, func(t *testing.T, d *desk, seen *calls, ask func() []checker.Waiter) {
				waiters := ask()
				d.finish()
				tries := seen.seen()
				for _, w := range waiters {
					d.expectFailure(t, w, e.Class, e.Errcode, len(tries))
					if f := d.outcome(t, w).Failure; f.Message != e.Message {
						t.Errorf("message %q, want %q", f.Message, e.Message)
					}
				}
				retry := defaults().Retry
				if took := time.Since(seen.began).Truncate(10 * time.Microsecond); took > retry.MaxElapsed || took < retry.MaxElapsed-2*retry.MaxInterval {
					t.Errorf("given up after %s, want about %s and no more", took, retry.MaxElapsed)
				}
				for i, interval := 1, retry.InitialInterval; i < len(tries); i, interval = i+1, min(2*interval, retry.MaxInterval) {
					// The jitter is up to half of the interval either way; the last try is made when the time is up.
					pause := tries[i].at - tries[i-1].at
					if last := i == len(tries)-1; pause < interval/2 && !last || pause > interval*3/2 {
						t.Errorf("pause %d: %s, want %s with jitter", i, pause, interval)
					}
				}
			})
		})
	}
}

func TestChecker_WhatPassedIsAnsweredInTheSameCall(t *testing.T) {
	t.Parallel()
	eachKind(t, func(_ context.Context, n int) error {
		if n < 3 {
			return &wechat.Error{Class: schemas.Transient, Message: "busy"}
		}
		return nil
	}, func(t *testing.T, d *desk, seen *calls, ask func() []checker.Waiter) {
		waiters := ask()
		d.finish()
		for _, w := range waiters {
			if o := d.outcome(t, w); o.Failure != nil {
				t.Errorf("got %v, want an answer", o.Failure)
			}
		}
		if n := len(seen.seen()); n != 4 {
			t.Errorf("%d tries, want 4", n)
		}
	})
}

func TestChecker_WhatDoesNotPassIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		err     error
		class   schemas.Class
		errcode int
		says    string // in the log; empty: nothing, it is the sender's matter
	}{
		{"not found", &wechat.Error{Class: schemas.NotFound, Errcode: 301061, Message: "no such customer"}, schemas.NotFound, 301061, ""},
		{"out of scope", &wechat.Error{Class: schemas.OutOfScope, Errcode: 50002, Message: "not in scope"}, schemas.OutOfScope, 50002, ""},
		{"rejected", &wechat.Error{Class: schemas.Rejected, Errcode: 41001, Message: "no token sent"}, schemas.Rejected, 41001, "a call is refused for good"},
		{"unknown corp", &wechat.Error{Class: schemas.UnknownCorp, Message: "add it to corps"}, schemas.UnknownCorp, 0, "a call is refused for good"},
		{"corp stopped", &wechat.Error{Class: schemas.CorpStopped, Errcode: 40001, Message: "wrong secret", RetryAfter: time.Minute}, schemas.CorpStopped, 40001, "the corp is stopped"},
		{"rate limited for longer than a call is tried", &wechat.Error{Class: schemas.RateLimited, Errcode: 45009, Message: "too many", RetryAfter: time.Minute}, schemas.RateLimited, 45009, "the corp's calls fail"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, func(context.Context, int) error { return tc.err }, func(t *testing.T, d *desk, seen *calls, ask func() []checker.Waiter) {
				waiters := ask()
				d.finish()
				for _, w := range waiters {
					d.expectFailure(t, w, tc.class, tc.errcode, 1)
				}
				seen.expect(t, call{})
				d.expectLine(t, tc.says, tc.class, tc.errcode)
			})
		})
	}
}

// expectLine wants one line in the log, which says this of ww1's failure; says empty: none.
func (d *desk) expectLine(t *testing.T, says string, class schemas.Class, errcode int) {
	t.Helper()
	if says == "" {
		if d.log.Len() > 0 {
			t.Errorf("want nothing in the log:\n%s", d.log)
		}
		return
	}
	want := []string{says, `"corp_id":"ww1"`, `"class":"` + string(class) + `"`, `"error":"`, `"hint":"` + wechat.Hint(class, errcode) + `"`}
	if errcode != 0 {
		want = append(want, fmt.Sprintf(`"errcode":%d,`, errcode))
	}
	for _, w := range want {
		if !strings.Contains(d.log.String(), w) {
			t.Errorf("no %s in the log:\n%s", w, d.log)
		}
	}
	if n := strings.Count(d.log.String(), "\n"); n != 1 {
		t.Errorf("%d lines in the log, want 1:\n%s", n, d.log)
	}
}

func TestChecker_AnUnknownErrcodeIsRejectedAfterThreeTries(t *testing.T) {
	t.Parallel()
	eachKind(t, func(context.Context, int) error {
		return &wechat.Error{Class: schemas.Transient, Errcode: 99999, Unknown: true, Message: "never heard of"}
	}, func(t *testing.T, d *desk, seen *calls, ask func() []checker.Waiter) {
		waiters := ask()
		d.finish()
		for _, w := range waiters {
			d.expectFailure(t, w, schemas.Rejected, 99999, 3)
		}
		d.expectLine(t, "a call is refused for good", schemas.Rejected, 99999)
		if n := len(seen.seen()); n != 3 {
			t.Errorf("%d tries, want 3", n)
		}
	})
}

func TestChecker_AttemptsCountEveryCallMadeForThePair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := &calls{began: time.Now()}
		d := newDesk(fakeAPI{single: func(context.Context, string, []wechat.Pair) ([]wechat.PairConsent, error) {
			if seen.note() == 0 {
				return nil, &wechat.Error{Class: schemas.Transient, Message: "busy"}
			}
			return nil, nil // twice without it
		}}, defaults())
		defer d.close()
		w := d.ask(single("ww1", "wm1"))[0]
		d.finish()
		d.expectFailure(t, w, schemas.NoAnswer, 0, 3)
	})
}

func TestChecker_NothingIsReportedOnceTheContextHasEnded(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(ctx context.Context, n int) error{
		"a call that ends with it": func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		},
		"a call that takes it for a timeout": func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return &wechat.Error{Class: schemas.Transient, Message: "timeout"}
		},
		"a call that succeeds nonetheless": func(ctx context.Context, _ int) error {
			time.Sleep(time.Minute)
			return nil
		},
		"a pause between two tries": func(context.Context, int) error {
			return &wechat.Error{Class: schemas.Transient, Message: "busy"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKind(t, answer, func(t *testing.T, d *desk, seen *calls, ask func() []checker.Waiter) {
				ask()
				d.work(time.Second)
				tries := len(seen.seen())
				d.close()
				select {
				case r := <-d.Replies():
					t.Errorf("got a reply: %+v", r)
				default:
				}
				if n := len(seen.seen()); tries == 0 || n != tries || len(d.outcomes) > 0 {
					t.Errorf("%d tries, then %d, and %d outcomes", tries, n, len(d.outcomes))
				}
			})
		})
	}
}
