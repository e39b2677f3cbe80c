package checker

import "time"

// Inherit takes over what an earlier checker learnt of corps in trouble: who is stopped, paused or slowed down, and since when.
// Else each assignment would try anew what WeCom has just refused. It is for a checker without work, and an earlier one that
// has ended: see Wait. own tells whether a corp is still this checker's.
func (c *Checker) Inherit(earlier *Checker, own func(corpID string) bool, now time.Time) {
	c.halts = earlier.halts
	for _, h := range c.halts {
		h.probing = false
	}
	for id, was := range earlier.lanes {
		if !was.inTrouble(c.policy, now) || !own(id) {
			continue
		}
		l := c.lane(id)
		l.concurrency, l.size, l.halt = was.concurrency, was.size, was.halt
		if l.halt != nil {
			l.halt.probing = false
		}
		for k := range l.queues {
			q, had := &l.queues[k], &was.queues[k]
			q.pausedUntil, q.paused, q.quotaPause = had.pausedUntil, had.paused, had.quotaPause
		}
		c.schedule(l, now)
	}
}

// inTrouble tells whether there is something about a lane that a new one would have to find out.
func (l *lane) inTrouble(p *policy, now time.Time) bool {
	return l.halt != nil || l.pausedAt(now) != nil || l.concurrency < p.concurrency || l.size < p.size
}
