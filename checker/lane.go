package checker

import (
	"slices"
	"time"

	"golang.org/x/time/rate"

	"consentd/schemas"
)

// policy says when a call is made, for all lanes alike.
type policy struct {
	// size is how many pairs make a full batch, of a lane whose calls the API takes so; linger how long one that is not full
	// waits for more: longer than patience during a backlog, which ends soon after the backlog does.
	size             int
	linger, patience time.Duration
	// concurrency is the most calls of a corp at once, perMinute of each kind in a minute.
	concurrency int
	perMinute   float64
	maxElapsed  time.Duration
	// began is when budgets began to fill.
	began time.Time
}

// kind is an API of its own: calls of each kind are counted apart.
type kind int

const (
	single kind = iota
	room
	kinds
)

func kindOf(k schemas.Kind) kind {
	if k == schemas.Room {
		return room
	}
	return single
}

// lane is a corp's own way to the API: its queues, its calls and its state. It is a plain value without a clock or a
// goroutine.
type lane struct {
	corpID string
	queues [kinds]queue
	turn   kind // pairs and rooms take turns
	size   int  // pairs in a full batch; the API may lower it

	// calls in flight; never more than concurrency, which the API may lower. calm counts calls since that was changed.
	calls, concurrency, calm int
	// failing is when the first call was made that failed in a way that passes, with no success since; trouble is how the
	// last one did. Zero: the lane is well.
	failing time.Time
	trouble *schemas.Failure
	// reported: the log says that it fails.
	reported bool
	// halt: the corp is stopped; nil: it is not.
	halt *halt

	idleSince time.Time
	// wakeAt is when the lane has something to do, place where it stands among the lanes that are to be woken; -1: nowhere.
	wakeAt time.Time
	place  int
}

// queue is what a lane has to ask with one kind of call.
type queue struct {
	waiting []*Question
	// again are batches to be called once more, before what waits: halves of a batch that was split, and what failed.
	again  []*batch
	budget *rate.Limiter
	// Until pausedUntil the API refuses calls of this kind; paused says how it did. quotaPause is how long it does since a
	// quota was used up; zero: there were answers since.
	pausedUntil time.Time
	paused      *schemas.Failure
	quotaPause  time.Duration
	// starved: it stands in line for a call of the budget that all lanes share.
	starved bool
}

func newLane(corpID string, p *policy) *lane {
	l := &lane{corpID: corpID, size: p.size, concurrency: p.concurrency, place: -1}
	for k := range l.queues {
		l.queues[k].budget = newBudget(p.perMinute, p.began)
	}
	return l
}

// first puts questions before the others of their queue: they have waited already.
func (q *queue) first(questions []*Question) { q.waiting = slices.Insert(q.waiting, 0, questions...) }

// batchSize is how many questions make a full batch.
func (l *lane) batchSize(k kind) int {
	if k == room {
		return 1
	}
	return l.size
}

func (l *lane) idle() bool {
	for k := range l.queues {
		if q := &l.queues[k]; len(q.waiting)+len(q.again) > 0 {
			return false
		}
	}
	return l.calls == 0
}

// supplied tells whether enough waits to keep the lane's calls busy for one more round.
func (l *lane) supplied() bool {
	batches := 0
	for k := range l.queues {
		q := &l.queues[k]
		batches += len(q.again) + len(q.waiting)/l.batchSize(kind(k))
	}
	return batches >= l.concurrency
}

// mayCall tells whether another call may be made, whatever it asks.
func (l *lane) mayCall(now time.Time) bool {
	if l.halt != nil {
		return !l.halt.probing && !now.Before(l.halt.probeAt)
	}
	return l.calls < l.concurrency
}

// when returns the time from which on the queue has a call to make; ok is false when there is nothing to ask.
func (q *queue) when(p *policy, size int, now time.Time) (at time.Time, ok bool) {
	switch {
	case len(q.waiting) >= size:
		at, ok = now, true
	case len(q.waiting) > 0:
		at, ok = q.waiting[0].since.Add(p.linger), true
		if at.After(now) {
			at = earlier(at, now.Add(p.patience))
		}
	}
	for _, b := range q.again {
		if !ok || b.notBefore.Before(at) {
			at, ok = b.notBefore, true
		}
	}
	if ok {
		at = later(later(at, q.pausedUntil), allowedAt(q.budget, now))
	}
	return at, ok
}

// take returns the questions of the next call; when has told that there is one.
func (q *queue) take(size int, now time.Time) *batch {
	q.budget.AllowN(now, 1)
	for i, b := range q.again {
		if !now.Before(b.notBefore) {
			q.again = slices.Delete(q.again, i, i+1)
			return b
		}
	}
	n := min(size, len(q.waiting))
	b := &batch{questions: q.waiting[:n:n]}
	q.waiting = q.waiting[n:]
	return b
}

// ready tells whether a call of the kind may be made now, but for the budget that all lanes share.
func (l *lane) ready(k kind, p *policy, now time.Time) bool {
	if !l.mayCall(now) {
		return false
	}
	at, ok := l.queues[k].when(p, l.batchSize(k), now)
	return ok && !at.After(now)
}

// maxQuotaPause bounds how long a lane rests that was over a quota: it is how late the end of an hour's window may be noticed.
const maxQuotaPause = 10 * time.Minute

// overQuota returns how long to rest after a call was over a quota. The API does not say whether a minute's or an hour's: one
// that is still over it when the pause is over rests for twice as long.
func (q *queue) overQuota(began time.Time, wait time.Duration) time.Duration {
	switch {
	case q.quotaPause == 0:
		q.quotaPause = wait
	case !began.Before(q.pausedUntil):
		q.quotaPause = min(2*q.quotaPause, max(wait, maxQuotaPause))
	}
	return q.quotaPause
}

// laneLife is how long an idle lane is kept: by then its budgets are full, as those of a new one are.
const laneLife = time.Minute

// wake returns when there is something to do for the lane by itself: a call, parking what waited in vain, or ending an
// idle lane. In an outage nothing is parked.
func (l *lane) wake(p *policy, now time.Time, outage bool) (at time.Time, ok bool) {
	soonest := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if l.idle() {
		soonest(l.idleSince.Add(laneLife))
		return at, ok
	}
	for k := range l.queues {
		q := &l.queues[k]
		if t, any := q.when(p, l.batchSize(kind(k)), now); any && !q.starved {
			switch {
			case l.halt != nil && !l.halt.probing:
				soonest(later(t, l.halt.probeAt))
			case l.halt == nil && l.calls < l.concurrency:
				soonest(t)
			}
		}
		if len(q.waiting) > 0 && !l.failing.IsZero() && !outage {
			soonest(later(q.waiting[0].since, l.failing).Add(p.maxElapsed))
		}
	}
	return at, ok
}

// overdue takes out the questions that waited in vain for longer than is allowed, since the lane began to fail.
func (l *lane) overdue(p *policy, now time.Time) []*Question {
	var over []*Question
	if l.failing.IsZero() {
		return nil
	}
	for k := range l.queues {
		q := &l.queues[k]
		n := 0
		for n < len(q.waiting) && now.Sub(later(q.waiting[n].since, l.failing)) >= p.maxElapsed {
			n++
		}
		over = append(over, q.waiting[:n]...)
		q.waiting = q.waiting[n:]
	}
	return over
}

// drain takes out all that the queue holds.
func (q *queue) drain() []*Question {
	all := q.waiting
	for _, b := range q.again {
		all = append(all, b.questions...)
	}
	q.waiting, q.again = nil, nil
	return all
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
