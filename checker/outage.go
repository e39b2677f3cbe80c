package checker

import (
	"time"

	"consentd/schemas"
)

// When no call of any corp has succeeded for outageAfter and at least outageFailures have failed in a way that passes, it
// is the API that is down, not some corps. Then one call at a time tries it, at first after minOutagePause and then up to
// maxOutagePause apart, and all that is asked waits.
const (
	outageAfter    = 10 * time.Second
	outageFailures = 20
	minOutagePause = time.Second
	maxOutagePause = 10 * time.Second
)

// outage tells whether the API is down.
type outage struct {
	// answered is when the API last said anything, failures how many calls have failed since.
	answered time.Time
	failures int

	down  bool
	since time.Time
	pause time.Duration
	// probed is when the last probe failed, probeAt when the next one is due.
	probed, probeAt time.Time
	probing         bool
}

// Outage tells whether the API is down for all corps. While it is, questions wait and have no outcome.
func (c *Checker) Outage() bool { return c.outage.down }

// heard notes what a call says of the API itself. One that was not even made, for want of a token, says nothing.
func (c *Checker) heard(r *Reply, now time.Time) {
	switch {
	case r.err == nil || r.err.Replied && (r.err.Class != schemas.Transient || r.err.Unknown):
		c.apiAnswered(now)
	case r.err.Class == schemas.Transient && !r.err.Beside:
		c.apiFailed(r, now)
	case c.outage.down && r.probesOutage:
		c.probeAgain(now)
	}
}

// apiAnswered notes that the API said something, be it a refusal.
func (c *Checker) apiAnswered(now time.Time) {
	o := &c.outage
	was := *o
	*o = outage{answered: now}
	if !was.down {
		return
	}
	c.log.Info().Dur("lasted", now.Sub(was.since)).Msg("the API answers again: going on")
	for _, l := range c.lanes {
		l.recover(now)
		c.schedule(l, now)
	}
}

// recover makes a lane begin anew: that its calls failed was not on its account.
func (l *lane) recover(now time.Time) {
	l.failing, l.trouble = time.Time{}, nil
	for k := range l.queues {
		for _, b := range l.queues[k].again {
			b.began, b.notBefore, b.pause = time.Time{}, now, nil
		}
	}
}

// probeAgain sets when the API is tried next.
func (c *Checker) probeAgain(now time.Time) {
	o := &c.outage
	o.probing = false
	o.probed, o.probeAt = now, now.Add(o.pause)
	o.pause = min(2*o.pause, maxOutagePause)
}

// probeSoon has the API tried soon on account of a lane whose calls have not failed: maybe it is only the others' that do.
func (c *Checker) probeSoon(l *lane) {
	if o := &c.outage; o.down && l.failing.IsZero() {
		o.probeAt = earlier(o.probeAt, o.probed.Add(minOutagePause))
	}
}

// probesBefore tells which of two lanes is to try the API: one whose own calls may be what fails only if there is no other.
func (l *lane) probesBefore(o *lane) bool {
	if well := l.failing.IsZero(); well != o.failing.IsZero() {
		return well
	}
	return l.wakeAt.Before(o.wakeAt)
}

// apiFailed notes that the API could not be reached, or was busy.
func (c *Checker) apiFailed(r *Reply, now time.Time) {
	o := &c.outage
	o.failures++
	switch {
	case o.down && r.probesOutage:
		c.probeAgain(now)
	case !o.down && o.failures >= outageFailures && now.Sub(o.answered) >= outageAfter:
		o.down, o.since, o.probed = true, now, now
		o.pause = minOutagePause
		o.probeAt = now.Add(o.pause)
		c.log.Error().Int("failed_calls", o.failures).Dur("no_answer_for", now.Sub(o.answered)).
			Str("class", string(r.err.Class)).Str("error", r.err.Message).
			Str("hint", "look at the network, the proxy, and WeCom: it goes on by itself when one call is answered").
			Msg("the API is down for all corps: nothing more is taken up than is in flight, and it is tried until it answers")
		for k := range c.starving {
			for _, l := range c.starving[k] {
				l.queues[k].starved = false
			}
			c.starving[k] = nil
		}
		for _, l := range c.lanes {
			c.schedule(l, now)
		}
	}
}
