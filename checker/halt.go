package checker

import (
	"time"

	"consentd/schemas"
	"consentd/wechat"
)

// A corp whose calls need a person before they can succeed is stopped. It is probed after minProbePause, then after
// twice as long each time, up to maxProbePause: a wrong secret tried often bans the caller's IP.
const (
	minProbePause = time.Minute
	maxProbePause = 10 * time.Minute
)

// halt is why a corp is stopped, or all corps of a provider, and when that is tried again. A probe is a call that would be
// made anyhow: the next that is asked for when the pause is over.
type halt struct {
	// provider is empty when it is about one corp alone.
	provider string
	failure  *schemas.Failure
	pause    time.Duration
	probeAt  time.Time
	probing  bool
}

// stop stops the corp of a lane, or all of its provider. What they had waiting ends with the failure.
func (c *Checker) stop(l *lane, e *wechat.Error, now time.Time) {
	h := &halt{failure: failureOf(e), pause: minProbePause}
	h.probeAt = now.Add(max(h.pause, e.RetryAfter))
	event := Why(c.log.Error(), l.corpID, h.failure).Time("probe_at", h.probeAt)
	if e.AllCorps {
		h.provider = c.api.Provider(l.corpID)
	}
	if h.provider == "" {
		event.Msg("the corp is stopped until a probe succeeds: its requests are parked")
		c.halt(l, h, now)
		return
	}
	event.Str("provider", h.provider).Msg("all corps of the provider are stopped until a probe succeeds: their requests are parked")
	c.halts[h.provider] = h
	for _, other := range c.lanes {
		if c.api.Provider(other.corpID) == h.provider && (other.halt == nil || other.halt.provider != "") {
			c.halt(other, h, now)
		}
	}
}

// halt ends what a lane has waiting.
func (c *Checker) halt(l *lane, h *halt, now time.Time) {
	l.halt = h
	for k := range l.queues {
		c.endAll(l.queues[k].drain(), h.failure, now)
	}
	c.schedule(l, now)
}

// probeFailed lets a stopped corp rest for longer than before.
func (c *Checker) probeFailed(l *lane, e *wechat.Error, now time.Time) {
	h := l.halt
	h.probing = false
	h.failure = failureOf(e)
	h.pause = min(2*h.pause, maxProbePause)
	h.probeAt = now.Add(max(h.pause, e.RetryAfter))
	Why(c.log.Warn(), l.corpID, h.failure).Time("probe_at", h.probeAt).Msg("still stopped: the probe failed")
	c.eachHalted(h, func(l *lane) { c.halt(l, h, now) })
}

// undecided is about a call that says nothing of why a corp is stopped. Did it probe that, the next call does, be it of
// another corp that is stopped with it.
func (c *Checker) undecided(r *Reply, now time.Time) {
	if r.probesHalt() {
		r.halt.probing = false
		c.eachHalted(r.halt, func(l *lane) { c.schedule(l, now) })
	}
}

// resume lets a stopped corp, or all of its provider, go on.
func (c *Checker) resume(l *lane, now time.Time) {
	h := l.halt
	delete(c.halts, h.provider)
	event := c.log.Info().Str("corp_id", l.corpID)
	if h.provider != "" {
		event.Str("provider", h.provider)
	}
	event.Msg("no longer stopped: the probe succeeded")
	c.eachHalted(h, func(l *lane) {
		l.halt = nil
		c.schedule(l, now)
	})
}

func (c *Checker) eachHalted(h *halt, do func(*lane)) {
	for _, l := range c.lanes {
		if l.halt == h {
			do(l)
		}
	}
}

// providersHalt returns why all corps of a corp's provider are stopped, nil when they are not.
func (c *Checker) providersHalt(corpID string) *halt {
	if len(c.halts) == 0 {
		return nil
	}
	return c.halts[c.api.Provider(corpID)]
}
