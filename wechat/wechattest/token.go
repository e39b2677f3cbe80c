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
	token, _ := s.tokens.issue(corpID)
	return token
}

// ExpireTokens lets all access_tokens of the corp expire, as if their time had passed: 42001.
func (s *Simulator) ExpireTokens(corpID string) { s.tokens.end(corpID, errcodeTokenExpired) }

// RevokeTokens makes all access_tokens of the corp invalid before their time: 40014.
func (s *Simulator) RevokeTokens(corpID string) { s.tokens.end(corpID, errcodeWrongToken) }

// Tokens returns every access_token that was ever issued, in that order, so that a test can look for them where none must
// be found.
func (s *Simulator) Tokens() []string {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return slices.Clone(s.tokens.issued)
}

// tokens knows the corps' secrets and who has which access_token.
type tokens struct {
	corps map[string]string // empty: any
	ttl   time.Duration
	seed  uint64

	mu      sync.Mutex
	byToken map[string]*tokenState
	latest  map[string]string // by corp: what gettoken answers as long as it is good
	issued  []string
}

type tokenState struct {
	corp    string
	expires time.Time
	ended   int // errcode; 0: not yet
}

func newTokens(o Options) *tokens {
	return &tokens{
		corps: o.Corps, ttl: o.TokenTTL, seed: o.Seed,
		byToken: make(map[string]*tokenState), latest: make(map[string]string),
	}
}

// knows tells whether a corp exists.
func (t *tokens) knows(corp string) bool {
	if len(t.corps) == 0 {
		return validID(corp)
	}
	_, ok := t.corps[corp]
	return ok
}

// checkSecret is what gettoken asks first.
func (t *tokens) checkSecret(corp, secret string) *refusal {
	switch {
	case corp == "":
		return &refusal{code: errcodeNoCorp}
	case secret == "":
		return &refusal{code: errcodeNoSecret}
	case !t.knows(corp):
		return &refusal{code: errcodeWrongCorp}
	case len(t.corps) > 0 && t.corps[corp] != secret:
		return &refusal{code: errcodeWrongSecret}
	}
	return nil
}

// get returns the corp's token and how long it is still good: the same one again until it ends, as WeCom does.
func (t *tokens) get(corp string) (string, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	token := t.latest[corp]
	if state := t.byToken[token]; state != nil && state.refusal() == nil {
		return token, time.Until(state.expires)
	}
	return t.issueLocked(corp)
}

func (t *tokens) issue(corp string) (string, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issueLocked(corp)
}

func (t *tokens) issueLocked(corp string) (string, time.Duration) {
	sum := sha512.Sum512(fmt.Appendf(nil, "%d/%d/%s", t.seed, len(t.issued), corp))
	token := base64.RawURLEncoding.EncodeToString(sum[:])
	t.byToken[token] = &tokenState{corp: corp, expires: time.Now().Add(t.ttl)}
	t.latest[corp] = token
	t.issued = append(t.issued, token)
	return token, t.ttl
}

// owner returns whose token it is, also when it is not good any more.
func (t *tokens) owner(token string) (corp string, _ *refusal) {
	if token == "" {
		return "", &refusal{code: errcodeNoToken}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.byToken[token]
	if state == nil {
		return "", &refusal{code: errcodeWrongToken}
	}
	return state.corp, state.refusal()
}

func (t *tokens) end(corp string, errcode int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, state := range t.byToken {
		if state.corp == corp && state.ended == 0 {
			state.ended = errcode
		}
	}
}

func (s *tokenState) refusal() *refusal {
	switch {
	case s.ended != 0:
		return &refusal{code: s.ended}
	case !time.Now().Before(s.expires):
		return &refusal{code: errcodeTokenExpired}
	}
	return nil
}

// wholeSeconds rounds up: what is still good for a moment must not seem to have no end.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
