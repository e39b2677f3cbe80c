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
	// refreshPause is how long a valid token is used on after its replacement could not be had.
	refreshPause = 10 * time.Second
	// maxStoppedPause bounds the growing pause of a corp whose credentials are refused: it is how late a correction may be
	// noticed.
	maxStoppedPause = 10 * time.Minute
	// fetchInterval and fetchBurst bound how often a corp's token is asked for: WeCom throttles these calls. The burst is
	// for tokens that are refused early.
	fetchInterval = time.Second
	fetchBurst    = 5
)

// tokenCache holds a token, of a corp or of a suite, and lets one of all who need another fetch it. It is safe for
// concurrent use.
type tokenCache struct {
	source   TokenSource
	fetches  *rate.Limiter
	observer TokenObserver // nil: nobody is told

	mu      sync.Mutex
	current *grant  // nil: none
	flight  *flight // nil: nobody is fetching
	// refreshAt is when to look for the next grant, ahead of the current one's end; zero: never.
	refreshAt time.Time
	// failed is why the last fetch brought nothing. Until notBefore it stands for the next ones too.
	failed    *Error
	notBefore time.Time
	// pause is the least time from one try to the next since a credential was refused; 0: none was since the last success.
	pause time.Duration
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
		g, f, usable := t.current, t.flight, t.current.usable(now)
		switch {
		case usable && (f != nil || t.refreshAt.IsZero() || now.Before(t.refreshAt)):
			t.mu.Unlock()
			return g, nil
		case f == nil:
			mine, err := t.begin(now)
			t.mu.Unlock()
			switch {
			case err == nil:
				t.fetch(ctx, mine)
				return mine.grant, mine.err
			case usable:
				return g, nil
			}
			return nil, err
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

// drop gives up the current grant if it was fetched no later than the given time: the next one who asks fetches another.
func (t *tokenCache) drop(fetchedAt time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil && !t.current.fetchedAt.After(fetchedAt) {
		t.current = nil
	}
}

// begin starts a flight, which the caller has to fetch, unless it is too early. t.mu is held.
func (t *tokenCache) begin(now time.Time) (*flight, error) {
	switch {
	case now.Before(t.notBefore):
		return nil, t.failed.in(t.notBefore.Sub(now))
	case t.fetches.AllowN(now, 1):
	case t.failed != nil:
		return nil, t.failed
	default:
		e := failure(schemas.Token, nil, "one token after the other is refused: the next is fetched in a second")
		return nil, e.in(fetchInterval)
	}
	if t.pause > 0 {
		// A try whose end nobody waits for may have been one more wrong secret.
		t.notBefore = now.Add(t.pause)
	}
	t.flight = &flight{done: make(chan struct{})}
	return t.flight, nil
}

// fetch asks the source, stores what it says and ends the flight.
func (t *tokenCache) fetch(ctx context.Context, f *flight) {
	g, err := t.ask(ctx)
	t.observed(err)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	var e *Error
	switch {
	case err == nil:
		t.current, t.refreshAt = g, g.refreshAt()
		t.failed, t.notBefore, t.pause = nil, time.Time{}, 0
	case errors.As(err, &e):
		err = t.hold(e, now)
		if t.current.usable(now) { // it was not refused meanwhile
			t.refreshAt = now.Add(refreshPause)
			g, err = t.current, nil
		}
	default:
		f.abandoned = true
	}
	f.grant, f.err = g, err
	t.flight = nil
	close(f.done)
}

// hold keeps a failure for as long as asking again is of no use, and returns it with that pause. Once a credential was
// refused the pause grows with each refusal, and whatever else goes wrong does not shorten it. t.mu is held.
func (t *tokenCache) hold(e *Error, now time.Time) *Error {
	if !e.ofSuite {
		if e.Class == schemas.CorpStopped {
			t.pause = max(stoppedPause, min(2*t.pause, maxStoppedPause))
		}
		held := *e
		held.RetryAfter = max(e.RetryAfter, t.pause)
		e = &held
		t.notBefore = now.Add(e.RetryAfter)
	}
	t.failed = e.in(e.RetryAfter)
	return e
}

// ask returns what the source has. An error is an *Error, or the context's when that ended before the source had found
// anything.
func (t *tokenCache) ask(ctx context.Context) (*grant, error) {
	token, life, err := t.source.Token(ctx)
	var e *Error
	switch {
	case errors.As(err, &e):
		return nil, e
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, failure(schemas.Token, err, "the token source has no access_token: %s", secrets{}.cleanError(err))
	case !validToken(token):
		return nil, failure(schemas.Token, nil,
			"the token source gave no token: want 1 to %d printable characters without spaces", maxTokenBytes)
	}
	return newGrant(token, life, time.Now()), nil
}
