package wechat

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"consentd/schemas"
)

const (
	// refreshAhead is how long before its end a token is replaced; a short-lived one, a tenth of its life before.
	refreshAhead = 5 * time.Minute
	// refreshPause is how long a valid token is used on after its replacement could not be had.
	refreshPause = 10 * time.Second
	// maxStoppedPause bounds the growing pause of a corp whose credentials are refused.
	maxStoppedPause = time.Hour
	// maxLife bounds what is believed of expires_in.
	maxLife = 30 * 24 * time.Hour
	// fetchInterval and fetchBurst bound how often a corp's token is asked for: WeCom throttles these calls. The burst is
	// for tokens that are refused early.
	fetchInterval = time.Second
	fetchBurst    = 5
	// maxTokenBytes is WeCom's own limit.
	maxTokenBytes = 512
)

// grant is one fetched token. Two grants differ even if their tokens are the same: what is replaced is the grant.
type grant struct {
	token     string
	expiresAt time.Time // zero: when it is refused
}

func (g *grant) usable(now time.Time) bool {
	return g != nil && (g.expiresAt.IsZero() || now.Before(g.expiresAt))
}

// tokenCache holds a corp's token and lets one of all who need another fetch it. It is safe for concurrent use.
type tokenCache struct {
	source  TokenSource
	fetches *rate.Limiter

	mu      sync.Mutex
	current *grant  // nil: none
	flight  *flight // nil: nobody is fetching
	// refreshAt is when to look for the next grant, ahead of the current one's end; zero: never.
	refreshAt time.Time
	// failed is why the last fetch brought nothing. Until notBefore it stands for the next ones too.
	failed    error
	notBefore time.Time
	pause     time.Duration
}

// flight is a fetch that is under way; its other fields are set when done is closed.
type flight struct {
	done  chan struct{}
	grant *grant
	err   error
	// abandoned: the one who fetched went away, which says nothing about the token.
	abandoned bool
}

func newTokenCache(source TokenSource) *tokenCache {
	return &tokenCache{source: source, fetches: rate.NewLimiter(rate.Every(fetchInterval), fetchBurst)}
}

// get returns a grant that is believed to be good. It blocks while one is fetched, by this caller or another. When
// the current one nears its end a single caller looks for the next; the others go on with what there is.
func (t *tokenCache) get(ctx context.Context) (*grant, error) {
	for {
		t.mu.Lock()
		now := time.Now()
		g, f := t.current, t.flight
		if g.usable(now) && (f != nil || t.refreshAt.IsZero() || now.Before(t.refreshAt)) {
			t.mu.Unlock()
			return g, nil
		}
		if f == nil {
			f = &flight{done: make(chan struct{})}
			t.flight = f
			t.mu.Unlock()
			t.fetch(ctx, f)
			return f.grant, f.err
		}
		t.mu.Unlock()
		select {
		case <-f.done:
			if !f.abandoned {
				return f.grant, f.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// replace returns another grant than the one that was refused; of all whose grant is the same only one fetches.
func (t *tokenCache) replace(ctx context.Context, refused *grant) (*grant, error) {
	t.mu.Lock()
	if t.current == refused {
		t.current = nil
	}
	t.mu.Unlock()
	return t.get(ctx)
}

// fetch asks the source, stores what it says and ends the flight.
func (t *tokenCache) fetch(ctx context.Context, f *flight) {
	g, err := t.ask(ctx)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch old := t.current; {
	case err == nil:
		t.current, t.refreshAt = g, g.refreshAt(now)
		t.failed, t.pause, t.notBefore = nil, 0, time.Time{}
	case ctx.Err() != nil:
		f.abandoned = true
	default:
		err = t.hold(err, now)
		if old.usable(now) { // unless it was refused meanwhile
			t.refreshAt = now.Add(refreshPause)
			g, err = old, nil
		}
	}
	f.grant, f.err = g, err
	t.flight = nil
	close(f.done)
}

// hold keeps the failure for as long as asking again is of no use, and returns it. Where credentials are refused that
// grows with each try.
func (t *tokenCache) hold(err error, now time.Time) error {
	var e *Error
	if now.Before(t.notBefore) || !errors.As(err, &e) {
		return err
	}
	held := *e
	if held.Class == schemas.CorpStopped {
		held.RetryAfter = max(stoppedPause, min(2*t.pause, maxStoppedPause))
	}
	t.failed, t.pause, t.notBefore = &held, held.RetryAfter, now.Add(held.RetryAfter)
	return &held
}

// ask returns what the source has, or the last failure while it is too early to ask again.
func (t *tokenCache) ask(ctx context.Context) (*grant, error) {
	t.mu.Lock()
	failed, early := t.failed, time.Now().Before(t.notBefore)
	t.mu.Unlock()
	switch {
	case early:
		return nil, failed
	case t.fetches.Allow():
	case failed != nil:
		return nil, failed
	default:
		e := failure(schemas.Token, nil, "the API refuses one access_token after the other: the next is fetched in a second")
		e.RetryAfter = fetchInterval
		return nil, e
	}
	token, life, err := t.source.Token(ctx)
	if err != nil {
		return nil, sourceFailure(ctx, err)
	}
	if !validToken(token) {
		return nil, failure(schemas.Token, nil,
			"the token source gave no access_token: want 1 to %d printable characters without spaces", maxTokenBytes)
	}
	g := &grant{token: token}
	if life > 0 {
		g.expiresAt = time.Now().Add(min(life, maxLife))
	}
	return g, nil
}

// refreshAt is when to replace a grant that was just fetched.
func (g *grant) refreshAt(now time.Time) time.Time {
	if g.expiresAt.IsZero() {
		return time.Time{}
	}
	return g.expiresAt.Add(-min(refreshAhead, g.expiresAt.Sub(now)/10))
}

// sourceFailure makes what a source says an *Error, but for the end of the context.
func sourceFailure(ctx context.Context, err error) error {
	var e *Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &e):
		return e
	}
	return failure(schemas.Token, err, "the token source has no access_token: %s", secrets{}.cleanError(err))
}

func validToken(token string) bool {
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return true
}
