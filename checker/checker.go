package checker

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"consentd/schemas"
)

// Config says how calls are made up, how many there may be and how long they are tried.
type Config struct {
	// BatchSize is the most pairs of a call, Linger how long a batch that is not full waits for more.
	BatchSize int
	Linger    time.Duration
	// Concurrency is the most calls of a corp at once.
	Concurrency int
	// CallsPerMinute is the most calls of each kind in any 60 s, CorpCallsPerMinute the same for a corp.
	CallsPerMinute, CorpCallsPerMinute float64
	Retry                              Retry
}

// Retry says how a call that failed in a way that passes is tried again.
type Retry struct {
	// InitialInterval is the first pause, which doubles (with jitter) up to MaxInterval.
	InitialInterval, MaxInterval time.Duration
	// MaxElapsed is for how long a question is tried before it ends with how it failed last.
	MaxElapsed time.Duration
}

// Checker holds the lanes of all corps. Its methods are for one goroutine, which also receives from Replies and hands
// each to Settled; the calls run on goroutines of their own. After Ask, Flush and Settled, Ended has the questions that
// have their outcome.
type Checker struct {
	api     API
	policy  *policy
	linger  time.Duration
	retry   Retry
	log     zerolog.Logger
	replies chan *Reply
	calls   sync.WaitGroup

	lanes   map[string]*lane
	alarms  alarms
	budgets [kinds]*rate.Limiter
	// starving are the lanes in line for a call of the budget that they share: each gets one in turn.
	starving [kinds][]*lane
	halts    map[string]*halt // by provider
	outage   outage
	// asked has the questions that wait or are in a call: asked for again they get one more waiter.
	asked map[schemas.Hash]*Question
	// ended and handedOut take turns.
	ended, handedOut []Ended
}

// New returns a checker without work, whose budgets are empty.
func New(api API, cfg Config, log zerolog.Logger) *Checker {
	now := time.Now()
	c := &Checker{
		api: api, linger: cfg.Linger, retry: cfg.Retry, log: log,
		policy: &policy{
			size: cfg.BatchSize, linger: cfg.Linger, patience: cfg.Linger, concurrency: cfg.Concurrency,
			perMinute: cfg.CorpCallsPerMinute, maxElapsed: cfg.Retry.MaxElapsed, began: now,
		},
		replies: make(chan *Reply, 64),
		lanes:   make(map[string]*lane),
		halts:   make(map[string]*halt),
		outage:  outage{answered: now},
		asked:   make(map[schemas.Hash]*Question),
	}
	for k := range c.budgets {
		c.budgets[k] = newBudget(cfg.CallsPerMinute, now)
	}
	return c
}

// Replies has the calls that ended.
func (c *Checker) Replies() <-chan *Reply { return c.replies }

// Wait returns when no call runs any more; end their context first.
func (c *Checker) Wait() { c.calls.Wait() }

// Knows tells whether the corp is configured.
func (c *Checker) Knows(corpID string) bool { return c.api.Knows(corpID) }

// Supplied tells whether a corp has enough waiting to keep its calls busy for one more round: what comes on top of that
// only waits.
func (c *Checker) Supplied(corpID string) bool {
	l := c.lanes[corpID]
	return l != nil && l.supplied()
}

// Overdue tells whether a corp is so slow, or has so many questions, that one which is asked now would wait for longer
// than calls are tried.
func (c *Checker) Overdue(corpID string, now time.Time) bool {
	l := c.lanes[corpID]
	if l == nil || c.outage.down {
		return false
	}
	for k := range l.queues {
		if w := l.queues[k].waiting; len(w) > 0 && now.Sub(w[0].since) > c.retry.MaxElapsed {
			return true
		}
	}
	return false
}

// aloneAfter is for how long others are answered after a corp began to fail before it counts as in trouble alone: when it
// is the API that goes down, calls that were in flight are still answered.
const aloneAfter = 2 * time.Second

// Spare tells whether there are calls that nobody is in line for.
func (c *Checker) Spare() bool {
	for _, line := range c.starving {
		if len(line) > 0 {
			return false
		}
	}
	return !c.outage.down
}

// Refusal returns why a question would not be answered within the time that calls are tried, so that it is best not
// asked; nil: ask it. A corp that fails while others don't is given no more than keeps its calls busy.
func (c *Checker) Refusal(corpID string, k schemas.Kind, now time.Time) *schemas.Failure {
	l := c.lanes[corpID]
	if l == nil {
		if h := c.providersHalt(corpID); h != nil && now.Before(h.probeAt) {
			return h.failure
		}
		return nil
	}
	if l.halt != nil && (now.Before(l.halt.probeAt) || l.supplied()) {
		return l.halt.failure
	}
	if q := &l.queues[kindOf(k)]; q.pausedUntil.Sub(now) > c.retry.MaxElapsed {
		return q.paused
	}
	if !l.failing.IsZero() && c.outage.answered.Sub(l.failing) > aloneAfter && l.supplied() {
		return l.trouble
	}
	return nil
}

// Ask queues the question about an item of a request. A full batch is called at once, any other when Flush finds it due.
func (c *Checker) Ask(ctx context.Context, conversation schemas.Conversation, h schemas.Hash, w Waiter, now time.Time) {
	if c.Join(h, w) {
		return
	}
	q := &Question{Conversation: conversation, Hash: h, since: now, first: [1]Waiter{w}}
	q.Waiters = q.first[:]
	c.asked[h] = q
	l := c.lane(conversation.CorpID)
	k := kindOf(conversation.Kind)
	queue := &l.queues[k]
	queue.waiting = append(queue.waiting, q)
	c.probeSoon(l)
	switch {
	case len(queue.waiting) >= l.batchSize(k) && l.mayCall(now):
		c.dispatch(ctx, l, now)
	case len(queue.waiting) == 1:
		c.schedule(l, now)
	}
}

// Join has somebody wait for the outcome of a question that waits or is in a call; false: there is none.
func (c *Checker) Join(h schemas.Hash, w Waiter) bool {
	q := c.asked[h]
	if q != nil {
		q.Waiters = append(q.Waiters, w)
	}
	return q != nil
}

func (c *Checker) lane(corpID string) *lane {
	l := c.lanes[corpID]
	if l == nil {
		l = newLane(corpID, c.policy)
		l.halt = c.providersHalt(corpID)
		c.lanes[corpID] = l
	}
	return l
}

// backlogLinger is how many times longer batches linger during a backlog.
const backlogLinger = 5

// Backlog says whether more requests are known to wait than were taken up. Then batches are given time to fill: calls are
// what is scarce, and whoever waits in a backlog waits for those before.
func (c *Checker) Backlog(is bool) {
	c.policy.linger = c.linger
	if is {
		c.policy.linger *= backlogLinger
	}
}

// Due returns when Flush has to be called next; ok is false when that is not known before the next reply.
func (c *Checker) Due(now time.Time) (at time.Time, ok bool) {
	if len(c.alarms) > 0 {
		at, ok = c.alarms[0].wakeAt, true
	}
	if c.outage.down {
		return later(at, c.outage.probeAt), ok && !c.outage.probing
	}
	for k, line := range c.starving {
		if len(line) > 0 {
			if t := allowedAt(c.budgets[k], now); !ok || t.Before(at) {
				at, ok = t, true
			}
		}
	}
	return at, ok
}

// Flush makes the calls that are due, and ends the questions that waited in vain.
func (c *Checker) Flush(ctx context.Context, now time.Time) {
	if c.outage.down {
		c.probe(ctx, now)
		return
	}
	for k := range c.starving {
		c.feed(ctx, kind(k), now)
	}
	for len(c.alarms) > 0 && !now.Before(c.alarms[0].wakeAt) {
		l := c.alarms[0]
		if l.idle() {
			c.retire(l, now)
			continue
		}
		if over := l.overdue(c.policy, now); len(over) > 0 {
			c.report(l, l.trouble)
			c.endAll(over, l.trouble, now)
		}
		c.dispatch(ctx, l, now)
	}
}

// dispatch starts the calls that a lane may make now.
func (c *Checker) dispatch(ctx context.Context, l *lane, now time.Time) {
	for refused := kind(0); refused < kinds && !c.outage.down; {
		k := l.turn
		l.turn = (l.turn + 1) % kinds
		switch {
		case l.queues[k].starved || !l.ready(k, c.policy, now):
			refused++
		case len(c.starving[k]) > 0 || !c.budgets[k].AllowN(now, 1):
			l.queues[k].starved = true
			c.starving[k] = append(c.starving[k], l)
		default:
			c.call(ctx, l, k, now)
			refused = 0
		}
	}
	c.schedule(l, now)
}

// feed gives the calls that all lanes share to those that stand in line for them, one each.
func (c *Checker) feed(ctx context.Context, k kind, now time.Time) {
	for len(c.starving[k]) > 0 && !allowedAt(c.budgets[k], now).After(now) {
		l := c.starving[k][0]
		c.starving[k] = c.starving[k][1:]
		l.queues[k].starved = false
		if l.ready(k, c.policy, now) {
			c.budgets[k].AllowN(now, 1)
			c.call(ctx, l, k, now)
		}
		c.dispatch(ctx, l, now)
	}
}

// probe makes one call to find out whether the API answers again, of a lane whose calls have not failed, or else of the one
// that has waited longest for its turn.
func (c *Checker) probe(ctx context.Context, now time.Time) {
	if c.outage.probing || now.Before(c.outage.probeAt) {
		return
	}
	var next *lane
	for _, l := range c.lanes {
		switch {
		case l.place < 0 || now.Before(l.wakeAt): // it has nothing to do
		case l.idle():
			c.retire(l, now)
		case !l.ready(single, c.policy, now) && !l.ready(room, c.policy, now):
			c.schedule(l, now)
		case next == nil || l.probesBefore(next):
			next = l
		}
	}
	if next == nil {
		return
	}
	k := single
	if !next.ready(k, c.policy, now) {
		k = room
	}
	c.budgets[k].ReserveN(now, 1) // there is always enough for a probe
	c.outage.probing = true
	c.call(ctx, next, k, now)
	c.schedule(next, now)
}

// schedule sets when a lane is to be woken.
func (c *Checker) schedule(l *lane, now time.Time) {
	switch idle := l.idle(); {
	case !idle:
		l.idleSince = time.Time{}
	case l.idleSince.IsZero():
		l.idleSince = now
	}
	at, ok := l.wake(c.policy, now, c.outage.down)
	l.wakeAt = at
	switch {
	case ok && l.place < 0:
		heap.Push(&c.alarms, l)
	case ok:
		heap.Fix(&c.alarms, l.place)
	case l.place >= 0:
		heap.Remove(&c.alarms, l.place)
	}
}

// retire ends a lane that has been idle for long. That a corp is stopped is remembered for as long as there is such a corp,
// that it is paused a little longer than the pause.
func (c *Checker) retire(l *lane, now time.Time) {
	if l.halt != nil && c.api.Knows(l.corpID) || l.pausedAt(now.Add(-laneLife)) != nil {
		l.idleSince = now
		c.schedule(l, now)
		return
	}
	heap.Remove(&c.alarms, l.place)
	if c.lanes[l.corpID] == l { // it may have been in line for a call for so long that there is another
		delete(c.lanes, l.corpID)
	}
}

// Ended returns the questions that have their outcome since it was called last. They are good until it is called again.
func (c *Checker) Ended() []Ended {
	clear(c.handedOut)
	c.ended, c.handedOut = c.handedOut[:0], c.ended
	return c.handedOut
}

func (c *Checker) end(q *Question, o Outcome, at time.Time) {
	delete(c.asked, q.Hash)
	if o.Failure != nil {
		failure := *o.Failure
		failure.Attempts = q.attempts
		o.Failure = &failure
	}
	c.ended = append(c.ended, Ended{Question: q, Outcome: o, At: at})
}

func (c *Checker) endAll(questions []*Question, f *schemas.Failure, at time.Time) {
	for _, q := range questions {
		c.end(q, Outcome{Failure: f}, at)
	}
}

// alarms orders lanes by when they are to be woken.
type alarms []*lane

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].wakeAt.Before(a[j].wakeAt) }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

func (a *alarms) Push(x any) {
	l := x.(*lane)
	l.place = len(*a)
	*a = append(*a, l)
}

func (a *alarms) Pop() any {
	last := len(*a) - 1
	l := (*a)[last]
	*a = (*a)[:last]
	l.place = -1
	return l
}
