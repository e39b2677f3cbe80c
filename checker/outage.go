package checker

import "time"

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

	down    bool
	since   time.Time
	pause   time.Duration
	probeAt time.Time
	probing bool
}

// Outage tells whether the API is down for all corps. While it is, questions wait and have no outcome.
func (c *Checker) Outage() bool { return c.outage.down }

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

// apiFailed notes that the API could not be reached, or was busy.
func (c *Checker) apiFailed(r *Reply, now time.Time) {
	o := &c.outage
	o.failures++
	switch {
	case o.down && r.probesOutage:
		o.probing = false
		o.probeAt = now.Add(o.pause)
		o.pause = min(2*o.pause, maxOutagePause)
	case !o.down && o.failures >= outageFailures && now.Sub(o.answered) >= outageAfter:
		o.down, o.since = true, now
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
