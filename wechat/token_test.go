package wechat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"consentd/schemas"
)

// numbered gives the tokens t1, t2 and so on.
func numbered(life time.Duration) *source {
	return &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
		return fmt.Sprintf("t%d", n), life, nil
	}}
}

func mustGet(t *testing.T, c *tokenCache, want string) *grant {
	t.Helper()
	g, err := c.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if g.token != want {
		t.Fatalf("got token %s, want %s", g.token, want)
	}
	return g
}

// refusing answers as an API for which only one token is good.
func refusing(code int, good func() string, calls *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.URL.Query().Get("access_token") != good() {
			io.WriteString(w, errcodeReply(code, "refused"))
			return
		}
		io.WriteString(w, map[string]string{singlePath: pairReply, roomPath: memberReply}[r.URL.Path])
	}
}

func TestRefusedToken_IsReplacedAndTheCallRepeatedOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []int{errcodeTokenInvalid, errcodeTokenExpired} {
		for _, a := range asks {
			t.Run(fmt.Sprintf("%d/%s", code, a.name), func(t *testing.T) {
				t.Parallel()
				var calls atomic.Int64
				s := numbered(2 * time.Hour)
				api := serve(t, refusing(code, func() string { return "t2" }, &calls))
				c := setupSource(t, Config{BaseURL: api.URL}, s)
				for range 2 {
					if err := a.call(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
				if s.asked.Load() != 2 || calls.Load() != 3 {
					t.Errorf("%d fetches, %d calls: want 2, 3", s.asked.Load(), calls.Load())
				}
			})
		}
	}
}

func TestRefusedToken_ASecondRefusalIsOfClassToken(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := numbered(2 * time.Hour)
	api := serve(t, refusing(errcodeTokenInvalid, func() string { return "none" }, &calls))
	c := setupSource(t, Config{BaseURL: api.URL}, s)
	e := mustFail(t, asks[0].call(t.Context(), c))
	if e.Class != schemas.Token || e.Errcode != errcodeTokenInvalid || !e.Temporary() {
		t.Errorf("got %v, temporary %t: want class token, true", e, e.Temporary())
	}
	if s.asked.Load() != 2 || calls.Load() != 2 {
		t.Errorf("%d fetches, %d calls: want 2, 2", s.asked.Load(), calls.Load())
	}
}

func TestRefusedToken_FiftyCallsFetchOnce(t *testing.T) {
	t.Parallel()
	const n = 50
	for _, tt := range []struct {
		name  string
		token func(int64) string
	}{
		{"another token", func(n int64) string { return fmt.Sprintf("t%d", n) }},
		{"the same token, good again", func(int64) string { return "t" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var arrived sync.WaitGroup
			arrived.Add(n)
			var refused atomic.Int64
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if refused.Add(1) <= n { // all fifty are under way with the first token
					arrived.Done()
					arrived.Wait()
					io.WriteString(w, errcodeReply(errcodeTokenExpired, "expired"))
					return
				}
				io.WriteString(w, pairReply)
			})
			s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
				return tt.token(n), 2 * time.Hour, nil
			}}
			c := setupSource(t, Config{BaseURL: api.URL}, s)
			var calls sync.WaitGroup
			for range n {
				calls.Go(func() {
					if err := asks[0].call(t.Context(), c); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			if got := s.asked.Load(); got != 2 {
				t.Errorf("%d fetches: want the first and one more", got)
			}
		})
	}
}

func TestFirstToken_FiftyCallsFetchOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &source{token: func(context.Context, int64) (string, time.Duration, error) {
			<-release
			return "t1", time.Hour, nil
		}}
		c, err := New(Config{}, []Corp{{corpID, s}}, inProcess(answer(pairReply)))
		if err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				if err := asks[0].call(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		calls.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

func TestTokenCache_ReplacesAheadOfTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ life, earliest, latest time.Duration }{
		{2 * time.Hour, 103 * time.Minute, 115 * time.Minute},
		{50 * time.Minute, 40 * time.Minute, 45 * time.Minute},
		{100 * time.Second, 80 * time.Second, 90 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			at := make(map[time.Duration]bool)
			for range 20 {
				c := newTokenCache(numbered(tt.life))
				first := mustGet(t, c, "t1")
				time.Sleep(tt.earliest - time.Millisecond)
				mustGet(t, c, "t1")
				at[c.refreshAt.Sub(first.fetchedAt)] = true
				time.Sleep(tt.latest - tt.earliest + time.Millisecond)
				mustGet(t, c, "t2")
			}
			if len(at) < 15 {
				t.Errorf("20 tokens are replaced at %d times: want them apart", len(at))
			}
		})
	}
}

func TestTokenCache_AnUnknownLifeLastsUntilRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTokenCache(numbered(0))
		g := mustGet(t, c, "t1")
		time.Sleep(1000 * time.Hour)
		mustGet(t, c, "t1")
		for range 3 { // late refusals of the same grant don't cost the new one
			if g, err := c.replace(t.Context(), g); err != nil || g.token != "t2" {
				t.Fatalf("got %v, %v, want t2", g, err)
			}
		}
	})
}

func TestTokenCache_OthersGoOnWithATokenThatIsBeingReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
			if n == 2 {
				<-release
			}
			return fmt.Sprintf("t%d", n), time.Hour, nil
		}}
		c := newTokenCache(s)
		mustGet(t, c, "t1")
		time.Sleep(56 * time.Minute)
		var fetching sync.WaitGroup
		fetching.Go(func() { mustGet(t, c, "t2") })
		synctest.Wait()
		mustGet(t, c, "t1")
		close(release)
		fetching.Wait()
		mustGet(t, c, "t2")
	})
}

func TestTokenCache_AFailedRefreshDoesNotCostAGoodToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
			if n == 2 {
				return "", 0, errors.New("down")
			}
			return fmt.Sprintf("t%d", n), time.Hour, nil
		}}
		c := newTokenCache(s)
		mustGet(t, c, "t1")
		time.Sleep(56 * time.Minute)
		for range 10 {
			mustGet(t, c, "t1")
		}
		if n := s.asked.Load(); n != 2 {
			t.Errorf("%d fetches, want 2: the next only after a pause", n)
		}
		time.Sleep(refreshPause)
		mustGet(t, c, "t3")
	})
}

func TestTokenCache_AFailedRefreshDoesNotHideALaterRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
			if n == 2 {
				return "", 0, errors.New("down")
			}
			return fmt.Sprintf("t%d", n), time.Hour, nil
		}}
		c := newTokenCache(s)
		before := mustGet(t, c, "t1")
		time.Sleep(56 * time.Minute)
		mustGet(t, c, "t1")
		if g, err := c.replace(t.Context(), before); err != nil || g.token != "t3" {
			t.Errorf("got %v, %v: want t3, as t1 was refused", g, err)
		}
	})
}

func TestTokenCache_OneFailureAnswersAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &source{token: func(context.Context, int64) (string, time.Duration, error) {
			<-release
			return "", 0, errors.New("down")
		}}
		c := newTokenCache(s)
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Go(func() {
				if _, err := c.get(t.Context()); err == nil || !strings.Contains(err.Error(), "down") {
					t.Errorf("got %v, want the source's failure", err)
				}
			})
		}
		synctest.Wait()
		close(release)
		waiting.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

func TestTokenCache_WhoGivesUpFetchingFailsOnlyItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(ctx context.Context, n int64) (string, time.Duration, error) {
			if n == 1 {
				<-ctx.Done()
				return "", 0, ctx.Err()
			}
			return fmt.Sprintf("t%d", n), time.Hour, nil
		}}
		c := newTokenCache(s)
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := c.get(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who gave up got %v, want its context's error", err)
			}
		})
		synctest.Wait()
		both.Go(func() { mustGet(t, c, "t2") })
		synctest.Wait()
		cancel()
		both.Wait()
	})
}

func TestTokenCache_WhoWaitsMayGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := newTokenCache(&source{token: func(context.Context, int64) (string, time.Duration, error) {
			<-release
			return "t1", 0, nil
		}})
		var fetching sync.WaitGroup
		fetching.Go(func() { mustGet(t, c, "t1") })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.get(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
		close(release)
		fetching.Wait()
	})
}

func wrongSecret() error { return errcodeFailure(40001, "invalid secret") }

func TestTokenCache_NeverLoopsOnAWrongSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(context.Context, int64) (string, time.Duration, error) { return "", 0, wrongSecret() }}
		c := newTokenCache(s)
		start := time.Now()
		var at []time.Duration
		var next time.Time // as the last error said
		for seen := int64(0); time.Since(start) < time.Hour; time.Sleep(time.Second) {
			_, err := c.get(t.Context())
			e := mustFail(t, err)
			if e.Class != schemas.CorpStopped || e.Errcode != 40001 {
				t.Fatalf("got %v, want corp_stopped", e)
			}
			if n := s.asked.Load(); n != seen {
				if seen = n; next.After(time.Now()) {
					t.Errorf("asked %s before the time", time.Until(next))
				}
				at = append(at, time.Since(start))
				next = time.Now().Add(e.RetryAfter)
			}
			if !time.Now().Add(e.RetryAfter).Equal(next) {
				t.Fatalf("to be tried again in %s, want %s", e.RetryAfter, time.Until(next))
			}
		}
		m := time.Minute
		want := []time.Duration{0, 1 * m, 3 * m, 7 * m, 15 * m, 25 * m, 35 * m, 45 * m, 55 * m}
		if !slices.Equal(at, want) {
			t.Errorf("asked at %v, want %v", at, want)
		}
	})
}

func TestTokenCache_ATryThatWasGivenUpCountsAfterARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(ctx context.Context, n int64) (string, time.Duration, error) {
			if n == 1 {
				return "", 0, wrongSecret()
			}
			<-ctx.Done() // the secret is on its way
			return "", 0, ctx.Err()
		}}
		c := newTokenCache(s)
		for range 60 * 60 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if g, err := c.get(ctx); err == nil {
				t.Fatalf("got %v", g)
			}
			cancel()
			time.Sleep(time.Second)
		}
		if n := s.asked.Load(); n > 61 {
			t.Errorf("asked %d times in an hour: want at most once a minute", n)
		}
	})
}

func TestTokenCache_ARefusalCountsThoughItsCallerGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &source{token: func(context.Context, int64) (string, time.Duration, error) {
			cancel()
			return "", 0, wrongSecret()
		}}
		c := newTokenCache(s)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			_, err := c.get(ctx)
			if e := mustFail(t, err); e.Errcode != 40001 || s.asked.Load() != 1 {
				t.Errorf("got %v after %d fetches, want the refusal after one", e, s.asked.Load())
			}
		}
	})
}

func TestTokenCache_AGoodTokenOutlivesARefusedSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
			if n > 1 {
				return "", 0, wrongSecret()
			}
			return "t1", time.Hour, nil
		}}
		c := newTokenCache(s)
		for range 60 * 60 {
			mustGet(t, c, "t1")
			time.Sleep(time.Second)
		}
		if n := s.asked.Load(); n < 3 || n > 6 {
			t.Errorf("%d fetches: want the first, and few in the last 6 to 12 minutes", n)
		}
		_, err := c.get(t.Context())
		if e := mustFail(t, err); e.Class != schemas.CorpStopped {
			t.Errorf("got %v, want corp_stopped as the token has ended", e)
		}
	})
}

func TestTokenCache_ASuccessEndsThePause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
			if n != 4 {
				return "", 0, wrongSecret()
			}
			return "t4", 0, nil
		}}
		c := newTokenCache(s)
		for _, pause := range []time.Duration{1, 2, 4} {
			_, err := c.get(t.Context())
			if e := mustFail(t, err); e.RetryAfter != pause*time.Minute {
				t.Fatalf("pause %s, want %dm", e.RetryAfter, pause)
			}
			time.Sleep(pause * time.Minute)
		}
		g := mustGet(t, c, "t4")
		_, err := c.replace(t.Context(), g)
		if e := mustFail(t, err); e.RetryAfter != time.Minute {
			t.Errorf("pause %s after a success, want a minute again", e.RetryAfter)
		}
	})
}

func TestTokenCache_ARateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{token: func(_ context.Context, n int64) (string, time.Duration, error) {
			if n == 1 {
				return "", 0, errcodeFailure(45009, "too often")
			}
			return "t2", time.Hour, nil
		}}
		c := newTokenCache(s)
		for range 60 {
			_, err := c.get(t.Context())
			if e := mustFail(t, err); e.Class != schemas.RateLimited || s.asked.Load() != 1 {
				t.Fatalf("got %v after %d fetches", e, s.asked.Load())
			}
			time.Sleep(time.Second)
		}
		mustGet(t, c, "t2")
	})
}

func TestTokenCache_TokensRefusedInARowAreFetchedAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := numbered(time.Hour)
		c := newTokenCache(s)
		var refused *grant
		for range 1000 { // ten seconds
			if g, err := c.replace(t.Context(), refused); err == nil {
				refused = g
			} else if e := mustFail(t, err); e.Class != schemas.Token || !e.Temporary() {
				t.Fatalf("got %v, want class token", e)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := s.asked.Load(); n < 14 || n > 15 {
			t.Errorf("%d fetches in 10 s: want a burst of 5 and one a second", n)
		}
	})
}

func TestTokenCache_TakesNoTokenThatIsNone(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "a b", "a\n", "tökën", strings.Repeat("x", 513)} {
		_, err := newTokenCache(Static(token)).get(t.Context())
		if e := mustFail(t, err); e.Class != schemas.Token || token != "" && strings.Contains(e.Message, token) {
			t.Errorf("%q: got %v, want class token", token, e)
		}
	}
	if g, err := newTokenCache(Static(strings.Repeat("x", 512))).get(t.Context()); err != nil || len(g.token) != 512 {
		t.Errorf("a token of 512 bytes: got %v", err)
	}
}
