package wechat

import (
	"errors"
	"time"

	"consentd/schemas"
)

// TokenObserver counts the fetches of tokens. It must be safe for concurrent use, and not block.
type TokenObserver interface {
	// TokenFetched says that a source was asked for a token, and how that failed; class is empty when it gave one. source is
	// gettoken, suite (a corp's token), suite_access_token (the suite's own), http, file, static, or other for one that is not
	// of this package. A fetch that its caller gave up is not told.
	TokenFetched(source string, class schemas.Class)
}

const (
	kindSuite    = "suite"
	kindSuiteOwn = "suite_access_token"
	kindOther    = "other"
)

func sourceKind(source TokenSource) string {
	switch s := source.(type) {
	case suiteCorp:
		return kindSuite
	case *suiteTokens:
		return kindSuiteOwn
	case getToken:
		return string(s.origin)
	case httpService:
		return string(s.origin)
	case tokenFile:
		return string(s.origin)
	case static:
		return string(s.origin)
	}
	return kindOther
}

// TokensHeld returns how many corps have an access_token that is believed to be good. It is safe for concurrent use.
func (c *Client) TokensHeld() int {
	now, held := time.Now(), 0
	for _, tokens := range *c.corps.Load() {
		if tokens.held(now) {
			held++
		}
	}
	return held
}

func (t *tokenCache) held(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current.usable(now)
}

// observed notes how a fetch ended.
func (t *tokenCache) observed(err error) {
	if t.observer == nil {
		return
	}
	var class schemas.Class
	if e := (*Error)(nil); errors.As(err, &e) {
		class = e.Class
	} else if err != nil {
		return // who fetched went away
	}
	t.observer.TokenFetched(sourceKind(t.source), class)
}
