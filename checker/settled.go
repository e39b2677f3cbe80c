package checker

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"

	"consentd/schemas"
	"consentd/wechat"
)

// unknownErrcodeTries is how often an errcode that nobody documented is tried before it counts as rejected.
const unknownErrcodeTries = 3

// Settled takes a reply back and makes room for the lane's next calls. What it answered has ended; what failed in a way
// that passes is asked again, in the same batch, until its time is up; a batch that failed for one of its items is asked
// for in halves, until whoever is at fault stands alone; a pair that the reply left out is asked once more.
func (c *Checker) Settled(ctx context.Context, r *Reply, now time.Time) {
	l := r.lane
	l.calls--
	c.heard(r, now)
	if !c.outage.down {
		for _, q := range r.batch.questions {
			q.attempts++
		}
	}
	switch {
	case r.err == nil:
		c.laneAnswered(r, now)
		c.answered(r)
	case r.err.Class == schemas.CorpStopped:
		c.stopped(r, now)
	case r.err.Temporary():
		c.failed(r, now)
	default:
		if r.err.PerItem {
			c.laneAnswered(r, now)
		} else {
			c.undecided(r, now)
		}
		c.refused(r)
	}
	c.dispatch(ctx, l, now)
}

// laneAnswered notes that the corp's calls work.
func (c *Checker) laneAnswered(r *Reply, now time.Time) {
	l := r.lane
	l.failing, l.trouble = time.Time{}, nil
	if l.reported {
		l.reported = false
		c.log.Info().Str("corp_id", l.corpID).Msg("the corp's calls work again")
	}
	l.queues[r.kind].quotaPause = 0
	if r.probesHalt() {
		c.resume(l, now)
	}
	if l.concurrency < c.policy.concurrency {
		if l.calm++; l.calm >= calmCalls*l.concurrency {
			l.concurrency++
			l.calm = 0
		}
	}
}

// answered ends the questions that the reply answers.
func (c *Checker) answered(r *Reply) {
	var absent []*Question
	for i, q := range r.batch.questions {
		o := r.outcome(i)
		if o.Failure != nil && q.asked == 0 {
			q.asked++
			absent = append(absent, q)
			continue
		}
		c.end(q, o, r.At)
	}
	r.lane.queues[r.kind].first(absent)
}

// refused is about a failure that asking the same again won't change.
func (c *Checker) refused(r *Reply) {
	questions := r.batch.questions
	half := len(questions) / 2
	if !r.err.PerItem || half == 0 {
		f := failureOf(r.err)
		c.reportLost(r.lane, f)
		c.endAll(questions, f, r.At)
		return
	}
	if r.err.TooManyPairs && half < r.lane.size {
		r.lane.size = half
		Why(c.log.Error(), r.lane.corpID, failureOf(r.err)).Int("pairs", len(questions)).Int("batch_size", half).
			Msg("the API takes fewer pairs in a call than batch.size: going on with smaller batches of this corp, set batch.size to what it takes")
	}
	queue := &r.lane.queues[r.kind]
	queue.again = append(queue.again, &batch{questions: questions[:half:half]}, &batch{questions: questions[half:]})
}

// stopped is about a corp that needs a person.
func (c *Checker) stopped(r *Reply, now time.Time) {
	switch {
	case r.probesHalt() && r.halt.provider != "" && !r.err.AllCorps:
		// It is this corp's own trouble; one that was told so by the API is let in with the others.
		if r.err.Replied {
			c.resume(r.lane, now)
		} else {
			c.undecided(r, now)
		}
		c.stop(r.lane, r.err, now)
	case r.probesHalt():
		c.probeFailed(r.lane, r.err, now)
	case r.lane.halt == nil:
		c.stop(r.lane, r.err, now)
	}
	c.endAll(r.batch.questions, failureOf(r.err), r.At)
}

// calmCalls times the concurrency is how many calls must be answered before the concurrency is raised by one again.
const calmCalls = 20

// failed is about a failure that passes.
func (c *Checker) failed(r *Reply, now time.Time) {
	l, b, e := r.lane, r.batch, r.err
	f := failureOf(e)
	c.undecided(r, now)
	if e.Unknown {
		b.unknown++
	} else if e.Class != schemas.RateLimited {
		if l.failing.IsZero() {
			l.failing = r.began
		}
		l.trouble = f
	}
	queue := &l.queues[r.kind]
	wait := e.RetryAfter
	if e.Class == schemas.RateLimited && wait > 0 {
		wait = queue.overQuota(r.began, wait)
	}
	switch {
	case e.Class == schemas.Transient:
		// No pause: else a gateway could have all corps parked that is itself in trouble.
	case wait > 0:
		c.pause(l, r.kind, f, now, wait)
	case e.Class == schemas.RateLimited && l.concurrency > 1 && r.concurrency == l.concurrency:
		l.concurrency = max(1, l.concurrency/2)
		l.calm = 0
		Why(c.log.Warn(), l.corpID, f).Int("concurrency", l.concurrency).
			Msg("too many calls at once: going on with fewer, more again step by step")
	}
	if b.began.IsZero() {
		b.began = r.began
	}
	elapsed := now.Sub(b.began)
	switch {
	case c.outage.down:
		b.notBefore = now
	case e.Unknown && (b.unknown == unknownErrcodeTries || elapsed >= c.retry.MaxElapsed):
		f.Class = schemas.Rejected
		c.reportLost(l, f)
		c.endAll(b.questions, f, r.At)
		return
	case elapsed >= c.retry.MaxElapsed, e.Class != schemas.Transient && elapsed+wait > c.retry.MaxElapsed:
		c.report(l, f)
		c.endAll(b.questions, f, r.At)
		return
	default:
		// The last try is made when the time is up, and not before: an outage is to be noticed first.
		b.notBefore = earlier(now.Add(max(wait, c.nextPause(b))), b.began.Add(c.retry.MaxElapsed))
	}
	queue.again = append(queue.again, b)
}

// nextPause is how long a batch waits before it is asked for again.
func (c *Checker) nextPause(b *batch) time.Duration {
	if b.pause == nil {
		b.pause = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(c.retry.InitialInterval),
			backoff.WithMaxInterval(c.retry.MaxInterval),
			backoff.WithMaxElapsedTime(0),
			backoff.WithMultiplier(2))
	}
	return b.pause.NextBackOff()
}

// pause keeps a lane from making calls of one kind for a time. What it would keep waiting for longer than calls are tried
// ends at once, but for in an outage.
func (c *Checker) pause(l *lane, k kind, f *schemas.Failure, now time.Time, wait time.Duration) {
	queue := &l.queues[k]
	until := now.Add(wait)
	if !until.After(queue.pausedUntil) {
		return
	}
	queue.pausedUntil, queue.paused = until, f
	if wait > c.retry.MaxElapsed && !c.outage.down {
		c.report(l, f)
		c.endAll(queue.drain(), f, now)
	}
}

// report says once that a corp's requests are parked, until its calls work again.
func (c *Checker) report(l *lane, f *schemas.Failure) {
	if l.reported {
		return
	}
	l.reported = true
	Why(c.log.Warn(), l.corpID, f).Msg("the corp's calls fail: its requests are parked until they work again")
}

// reportLost says that what a call asked for fails for good when that is not the doing of those who asked: the configuration
// or the program is wrong, and more will fail alike.
func (c *Checker) reportLost(l *lane, f *schemas.Failure) {
	if f.Class == schemas.Rejected || f.Class == schemas.UnknownCorp {
		Why(c.log.Warn(), l.corpID, f).Msg("a call is refused for good: what it asked for fails")
	}
}

// Why adds to a line whose failure it is, why, and what a person can do.
func Why(line *zerolog.Event, corpID string, f *schemas.Failure) *zerolog.Event {
	line.Str("corp_id", corpID).Str("class", string(f.Class))
	if f.Errcode != 0 {
		line.Int("errcode", f.Errcode)
	}
	return line.Str("error", f.Message).Str("hint", wechat.Hint(f.Class, f.Errcode))
}

func failureOf(e *wechat.Error) *schemas.Failure {
	return &schemas.Failure{Class: e.Class, Errcode: e.Errcode, Message: e.Message}
}
