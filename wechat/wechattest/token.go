package wechattest

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Token issues another access_token of the corp, without asking for a secret: for token sources that are given one. Those
// that were issued before stay good.
func (s *Simulator) Token(corpID string) string {
	return s.tokens.issue(holder{corp: corpID}).token
}

// ExpireTokens lets all access_tokens of the corp expire, as if their time had passed: 42001.
func (s *Simulator) ExpireTokens(corpID string) { s.tokens.end(s.tokens.corps, corpID, expired) }

// RevokeTokens makes all access_tokens of the corp invalid before their time: 40014.
func (s *Simulator) RevokeTokens(corpID string) { s.tokens.end(s.tokens.corps, corpID, revoked) }

// ExpireSuiteTokens lets the suite_access_tokens of the suite expire, 42009, and all access_tokens that corps were given
// through it, 42001.
func (s *Simulator) ExpireSuiteTokens(suiteID string) {
	s.tokens.end(s.tokens.suites, suiteID, expired)
}

// RevokeSuiteTokens makes the suite_access_tokens of the suite invalid, 40082, and all access_tokens that corps were given
// through it, 40014.
func (s *Simulator) RevokeSuiteTokens(suiteID string) {
	s.tokens.end(s.tokens.suites, suiteID, revoked)
}

// Tokens returns every access_token and suite_access_token that was ever issued, in that order, so that a test can look for
// them where none must be found.
func (s *Simulator) Tokens() []string {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return slices.Clone(s.tokens.issued)
}

// holder is whose token it is: a suite's own has no corp, an access_token only has a suite when it came through one.
type holder struct{ corp, suite string }

// tokens knows who has which token.
type tokens struct {
	ttl, suiteTTL time.Duration
	seed          uint64

	mu            sync.Mutex
	byToken       map[string]*tokenState
	latest        map[holder]*tokenState   // what is given again as long as it is good
	corps, suites map[string][]*tokenState // by id: those that may be good yet
	issued        []string
}

type tokenState struct {
	token   string
	holder  holder
	expires time.Time
	ended   ending
}

// ending is how a token ended before its time.
type ending int

const (
	notEnded ending = iota
	expired
	revoked
)

func newTokens(o Options) *tokens {
	return &tokens{
		ttl: o.TokenTTL, suiteTTL: o.SuiteTokenTTL, seed: o.Seed,
		byToken: make(map[string]*tokenState), latest: make(map[holder]*tokenState),
		corps: make(map[string][]*tokenState), suites: make(map[string][]*tokenState),
	}
}

// get returns the holder's token and how long it is still good: the same one again until it ends, as WeCom does.
func (t *tokens) get(h holder) (string, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.latest[h]
	if state == nil || state.refusal() != nil {
		state = t.issueLocked(h)
	}
	return state.token, time.Until(state.expires)
}

func (t *tokens) issue(h holder) *tokenState {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issueLocked(h)
}

func (t *tokens) issueLocked(h holder) *tokenState {
	sum := sha512.Sum512(fmt.Appendf(nil, "%d/%d/%s", t.seed, len(t.issued), h))
	ttl := t.ttl
	if h.corp == "" {
		ttl = t.suiteTTL
	}
	state := &tokenState{token: base64.RawURLEncoding.EncodeToString(sum[:]), holder: h, expires: time.Now().Add(ttl)}
	t.byToken[state.token] = state
	t.latest[h] = state
	if h.corp != "" {
		t.corps[h.corp] = append(t.corps[h.corp], state)
	}
	if h.suite != "" {
		t.suites[h.suite] = append(t.suites[h.suite], state)
	}
	t.issued = append(t.issued, state.token)
	return state
}

// corp returns whose access_token it is, also when it is not good any more.
func (t *tokens) corp(token string) (corp string, _ *refusal) {
	if token == "" {
		return "", &refusal{code: errcodeNoToken}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.byToken[token]
	if state == nil || state.holder.corp == "" {
		return "", &refusal{code: errcodeWrongToken}
	}
	return state.holder.corp, state.refusal()
}

// suite returns whose suite_access_token it is, also when it is not good any more.
func (t *tokens) suite(token string) (suite string, _ *refusal) {
	if token == "" {
		return "", &refusal{code: errcodeNoSuiteToken}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.byToken[token]
	if state == nil || state.holder.corp != "" {
		return "", &refusal{code: errcodeWrongSuiteToken}
	}
	return state.holder.suite, state.refusal()
}

// end ends all tokens of a corp or of a suite.
func (t *tokens) end(of map[string][]*tokenState, id string, how ending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, state := range of[id] {
		if state.ended == notEnded {
			state.ended = how
		}
	}
	delete(of, id)
}

func (s *tokenState) refusal() *refusal {
	wrong, late := errcodeWrongToken, errcodeTokenExpired
	if s.holder.corp == "" {
		wrong, late = errcodeWrongSuiteToken, errcodeSuiteTokenExpired
	}
	switch {
	case s.ended == revoked:
		return &refusal{code: wrong}
	case s.ended == expired, !time.Now().Before(s.expires):
		return &refusal{code: late}
	}
	return nil
}

// wholeSeconds rounds up: what is still good for a moment must not seem to have no end.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
