package wechat

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consentd/schemas"
)

// fetchCounts counts what a TokenObserver is told.
type fetchCounts struct {
	mu     sync.Mutex
	counts map[string]int
}

func (f *fetchCounts) TokenFetched(source string, class schemas.Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[string]int)
	}
	f.counts[source+" "+string(class)]++
}

func (f *fetchCounts) want(t *testing.T, want map[string]int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !maps.Equal(f.counts, want) {
		t.Errorf("told of %v, want %v", f.counts, want)
	}
}

func TestTokenObserver_IsToldOfEachFetchAndHowItFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setupSuite(t, 3)
		s.askAll(t)
		s.fetches.want(t, map[string]int{"suite ": 3, "suite_access_token ": 1})
		if held := s.TokensHeld(); held != 3 {
			t.Errorf("%d tokens are held, want 3", held)
		}
		time.Sleep(2 * time.Hour) // for as long as tokens live
		if held := s.TokensHeld(); held != 0 {
			t.Errorf("%d tokens are held, want none", held)
		}
		s.provider.set(func() { s.provider.fail[corpTokenPath] = 40084 })
		if err := s.ask(t, 0); err == nil {
			t.Fatal("a void permanent code gives an answer")
		}
		s.fetches.want(t, map[string]int{"suite ": 3, "suite_access_token ": 2, "suite corp_stopped": 1})
	})
}

func TestTokenObserver_IsNotToldOfWhatWasGivenUp(t *testing.T) {
	t.Parallel()
	var fetches fetchCounts
	ctx, giveUp := context.WithCancel(t.Context())
	c := newTokenCache(&source{token: func(ctx context.Context, n int64) (string, time.Duration, error) {
		if n > 1 {
			return "", 0, errors.New("no")
		}
		giveUp()
		return "", 0, ctx.Err()
	}})
	c.observer = &fetches
	if _, err := c.get(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	fetches.want(t, nil)
	if _, err := c.get(t.Context()); err == nil {
		t.Fatal("a source without a token gives one")
	}
	fetches.want(t, map[string]int{"other token": 1})
}

func TestSetCorps_AnObservedCorpThatDidNotChangeKeepsItsToken(t *testing.T) {
	t.Parallel()
	var fetches fetchCounts
	api := serve(t, answer(`{"errcode":0,"errmsg":"ok","access_token":"t","expires_in":7200,"agreeinfo":[]}`))
	cfg := Config{BaseURL: api.URL, Tokens: &fetches}
	httpClient := NewHTTPClient()
	t.Cleanup(httpClient.CloseIdleConnections)
	corps := func() []Corp { return []Corp{{corpID, GetToken(cfg, corpID, canarySecret, httpClient)}} }
	c, err := New(cfg, corps(), httpClient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for range 2 {
		if _, err := c.CheckRoom(t.Context(), corpID, "wr1"); err != nil {
			t.Fatal(err)
		}
		if err := c.SetCorps(corps()); err != nil {
			t.Fatal(err)
		}
	}
	fetches.want(t, map[string]int{"gettoken ": 1})
}
