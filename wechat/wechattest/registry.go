package wechattest

import (
	"maps"
	"sync"
	"time"
)

// SetSecret makes this the corp's right secret: gettoken's corpsecret and, in the suite flow, the permanent_code. Empty: any
// is right. A corp that did not exist exists from now on. Tokens that were issued stay good.
func (s *Simulator) SetSecret(corpID, secret string) {
	s.registry.setSecret(&s.registry.corps, corpID, secret)
}

// SetSuiteSecret makes this the suite's right suite_secret, as SetSecret does for a corp.
func (s *Simulator) SetSuiteSecret(suiteID, secret string) {
	s.registry.setSecret(&s.registry.suites, suiteID, secret)
}

// SetSuiteTicket makes this the suite's only good suite_ticket, for so long; 0: until the next one. Until a suite's first
// one any is good. Tokens that were issued stay good.
func (s *Simulator) SetSuiteTicket(suiteID, suiteTicket string, ttl time.Duration) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	t := ticket{word: suiteTicket}
	if ttl > 0 {
		t.expires = time.Now().Add(ttl)
	}
	s.registry.tickets[suiteID] = t
}

// registry knows which corps and suites exist, and their credentials.
type registry struct {
	mu            sync.RWMutex
	corps, suites secrets
	tickets       map[string]ticket // by suite id
}

func newRegistry(o Options) *registry {
	return &registry{corps: newSecrets(o.Corps), suites: newSecrets(o.Suites), tickets: make(map[string]ticket)}
}

// secrets has the right secret by the id of a corp or a suite; an empty one: any.
type secrets struct {
	open bool // every id exists
	byID map[string]string
}

func newSecrets(byID map[string]string) secrets {
	s := secrets{open: len(byID) == 0, byID: make(map[string]string)}
	maps.Copy(s.byID, byID)
	return s
}

func (s *secrets) know(id string) bool {
	_, ok := s.byID[id]
	return ok || s.open && validID(id)
}

func (s *secrets) take(id, secret string) bool {
	right := s.byID[id]
	return right == "" || right == secret
}

// ticket is a suite_ticket.
type ticket struct {
	word    string
	expires time.Time // zero: never
}

func (t ticket) is(word string) bool {
	return t.word == word && (t.expires.IsZero() || time.Now().Before(t.expires))
}

func (r *registry) setSecret(of *secrets, id, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of.byID[id] = secret
}

func (r *registry) knowsCorp(id string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.corps.know(id)
}

func (r *registry) knowsSuite(id string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.suites.know(id)
}

// checkCorp is what gettoken asks first, and get_corp_token with other words for the secret.
func (r *registry) checkCorp(id, secret string, missing, wrong int) *refusal {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case id == "":
		return &refusal{code: errcodeNoCorp}
	case secret == "":
		return &refusal{code: missing}
	case !r.corps.know(id):
		return &refusal{code: errcodeWrongCorp}
	case !r.corps.take(id, secret):
		return &refusal{code: wrong}
	}
	return nil
}

// checkSuite is what get_suite_token asks first.
func (r *registry) checkSuite(id, secret, suiteTicket string) *refusal {
	r.mu.RLock()
	defer r.mu.RUnlock()
	current, limited := r.tickets[id]
	switch {
	case id == "":
		return &refusal{code: errcodeNoSuite}
	case secret == "":
		return &refusal{code: errcodeNoSecret}
	case suiteTicket == "":
		return &refusal{code: errcodeNoTicket}
	case !r.suites.know(id):
		return &refusal{code: errcodeWrongSuite}
	case !r.suites.take(id, secret):
		return &refusal{code: errcodeWrongSuiteSecret}
	case limited && !current.is(suiteTicket):
		return &refusal{code: errcodeWrongTicket}
	}
	return nil
}
