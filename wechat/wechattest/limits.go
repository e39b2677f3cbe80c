package wechattest

import (
	"sync"
	"time"
)

// Limits are the API's quotas of single and room calls; 0, as any number below: no limit. Over a limit a minute the answer
// is 45009, over a concurrency 45033.
//
// A minute begins with the first call that it counts and lasts 60 s; the next one begins with the first call after that.
// Single and room calls have minutes of their own. All calls with a good access_token count, whatever their answer, but for
// those that were refused over a limit, and those whose answer a Fault replaced.
type Limits struct {
	// CallsPerMinute is how many single calls, and how many room calls, all corps together may make in a minute.
	CallsPerMinute int
	// Corp is for each corp that has no limits of its own.
	Corp CorpLimits
}

// CorpLimits are the quotas of one corp; 0, as any number below: no limit.
type CorpLimits struct {
	// CallsPerMinute is how many single calls, and how many room calls, a corp may make in a minute.
	CallsPerMinute int
	// Concurrency is how many single and room calls together may be there at the same time.
	Concurrency int
}

// SetLimits changes the limits for calls that arrive from now on. The minutes that have begun go on, with what they have
// counted.
func (s *Simulator) SetLimits(l Limits) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.limits = l
}

// SetCorpLimits gives a corp limits of its own instead of Limits.Corp, as SetLimits does.
func (s *Simulator) SetCorpLimits(corpID string, l CorpLimits) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.own[corpID] = l
}

// ClearLimits removes all limits, those that corps have of their own too.
func (s *Simulator) ClearLimits() {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	s.quotas.limits = Limits{}
	clear(s.quotas.own)
}

// quotas holds calls to the limits. It looks at the clock when a call arrives and at no other time.
type quotas struct {
	clock clock

	mu     sync.Mutex
	limits Limits
	own    map[string]CorpLimits
	total  usage
	corps  map[string]*usage
}

func newQuotas(l Limits, c clock) *quotas {
	return &quotas{clock: c, limits: l, own: make(map[string]CorpLimits), corps: make(map[string]*usage)}
}

// usage is what was used of the limits.
type usage struct {
	single, room window
	running      int
}

func (u *usage) window(kind Kind) *window {
	if kind == Room {
		return &u.room
	}
	return &u.single
}

// admit takes what a call needs, or refuses the call. A call whose answer is replaced needs nothing but a place among those
// that are there.
func (q *quotas) admit(c *call, replaced bool) {
	if !c.authorized {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	corp := q.corps[c.corp]
	if corp == nil {
		corp = new(usage)
		q.corps[c.corp] = corp
	}
	if !replaced {
		limits := q.corpLimits(c.corp)
		now := q.clock.now()
		total, own := q.total.window(c.kind), corp.window(c.kind)
		switch {
		case limits.Concurrency > 0 && corp.running >= limits.Concurrency:
			c.refused = &refusal{code: errcodeTooManyAtOnce}
			return
		case own.full(now, limits.CallsPerMinute):
			c.refused = &refusal{errcodeTooManyCalls, "of the corp"}
			return
		case total.full(now, q.limits.CallsPerMinute):
			c.refused = &refusal{errcodeTooManyCalls, "of all corps"}
			return
		}
		total.count(now)
		own.count(now)
	}
	corp.running++
	c.usage = corp
}

// release gives back the place that an admitted call had.
func (q *quotas) release(c *call) {
	if c.usage == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	c.usage.running--
}

// corpLimits is called with mu held.
func (q *quotas) corpLimits(corp string) CorpLimits {
	if l, ok := q.own[corp]; ok {
		return l
	}
	return q.limits.Corp
}

// window counts the calls of a minute.
type window struct {
	begin time.Duration
	calls int
}

// full tells whether a limit leaves room for no other call.
func (w *window) full(now time.Duration, limit int) bool {
	if now-w.begin >= time.Minute {
		w.calls = 0
	}
	return limit > 0 && w.calls >= limit
}

// count is called after full.
func (w *window) count(now time.Duration) {
	if w.calls == 0 {
		w.begin = now
	}
	w.calls++
}
