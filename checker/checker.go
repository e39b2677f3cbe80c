package checker

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"consentd/schemas"
)

// Config says how calls are made up and how long they are tried.
type Config struct {
	// BatchSize is the most pairs of a call, Linger how long a batch that is not full waits for more.
	BatchSize int
	Linger    time.Duration
	// Concurrency is the most calls of a corp at once.
	Concurrency int
	Retry       Retry
}

// Checker holds the lanes of all corps. Its methods are for one goroutine, which also receives from Replies and hands
// each to Settled; the calls run on goroutines of their own.
type Checker struct {
	api     API
	policy  *policy
	linger  time.Duration
	retry   Retry
	log     zerolog.Logger
	replies chan *Reply
	calls   sync.WaitGroup

	lanes     map[string]*lane
	lingering lingering
	// asked has the questions that wait or are in a call: asked for again they get one more waiter.
	asked map[schemas.Hash]*Question
}

// New returns a checker without work.
func New(api API, cfg Config, log zerolog.Logger) *Checker {
	p := &policy{size: cfg.BatchSize, linger: cfg.Linger, concurrency: cfg.Concurrency}
	return &Checker{
		api: api, policy: p, linger: cfg.Linger, retry: cfg.Retry, log: log,
		replies:   make(chan *Reply, 64),
		lanes:     make(map[string]*lane),
		lingering: lingering{policy: p},
		asked:     make(map[schemas.Hash]*Question),
	}
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
	return l != nil && len(l.singles)+c.policy.size*len(l.rooms) >= c.policy.size*c.policy.concurrency
}

// Ask queues the question about an item of a request. A full batch is called at once, any other when Flush finds it due.
func (c *Checker) Ask(ctx context.Context, conversation schemas.Conversation, h schemas.Hash, w Waiter, now time.Time) {
	if q := c.asked[h]; q != nil {
		q.Waiters = append(q.Waiters, w)
		return
	}
	q := &Question{Conversation: conversation, Hash: h, since: now, first: [1]Waiter{w}}
	q.Waiters = q.first[:]
	c.asked[h] = q
	l := c.lanes[conversation.CorpID]
	if l == nil {
		l = &lane{corpID: conversation.CorpID, place: -1}
		c.lanes[conversation.CorpID] = l
	}
	l.add(q)
	if len(l.singles) >= c.policy.size || len(l.rooms) > 0 {
		c.dispatch(ctx, l, now)
	} else if l.place < 0 {
		c.wait(l)
	}
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

// Flush calls the batches that are due.
func (c *Checker) Flush(ctx context.Context, now time.Time) {
	for len(c.lingering.lanes) > 0 && !now.Before(c.lingering.lanes[0].due(c.policy)) {
		c.dispatch(ctx, c.lingering.lanes[0], now)
	}
}

// Due returns when Flush has to be called next; ok is false while nothing lingers.
func (c *Checker) Due() (at time.Time, ok bool) {
	if len(c.lingering.lanes) == 0 {
		return time.Time{}, false
	}
	return c.lingering.lanes[0].due(c.policy), true
}

// dispatch starts the calls that a lane may make now.
func (c *Checker) dispatch(ctx context.Context, l *lane, now time.Time) {
	for {
		questions := l.next(c.policy, now)
		if questions == nil {
			break
		}
		c.call(ctx, l, questions)
	}
	c.wait(l)
}

// wait keeps the lane's place among those that wait for their batch to fill. A lane whose calls are all in use waits
// for one of them instead.
func (c *Checker) wait(l *lane) {
	waits := len(l.singles) > 0 && l.calls < c.policy.concurrency
	switch {
	case waits && l.place < 0:
		heap.Push(&c.lingering, l)
	case waits:
		heap.Fix(&c.lingering, l.place)
	case l.place >= 0:
		c.remove(l)
	}
	if l.idle() {
		delete(c.lanes, l.corpID)
	}
}

// remove takes a lane out of the heap. Its queue may be empty, so that it can't be compared: it goes by its place.
func (c *Checker) remove(l *lane) {
	lanes, place := c.lingering.lanes, l.place
	last := lanes[len(lanes)-1]
	lanes[place], last.place = last, place
	c.lingering.lanes = lanes[:len(lanes)-1]
	l.place = -1
	if last != l {
		heap.Fix(&c.lingering, place)
	}
}

// Settled takes a reply back, makes room for the lane's next calls, and hands each question that has its outcome to
// resolve. A pair that the reply left out is asked once more before that is its outcome; a batch that failed for one of its
// items is asked for in halves, until whoever is at fault stands alone.
func (c *Checker) Settled(ctx context.Context, r *Reply, now time.Time, resolve func(*Question, Outcome)) {
	l := r.lane
	l.calls--
	if r.perItem && len(r.questions) > 1 {
		c.split(r)
		c.dispatch(ctx, l, now)
		return
	}
	for i, q := range r.questions {
		q.attempts += r.attempts
		o := r.outcome(i)
		if o.Failure != nil {
			if o.Failure.Class == schemas.NoAnswer && q.asked == 0 {
				q.asked++
				l.again(q)
				continue
			}
			failure := *o.Failure
			failure.Attempts = q.attempts
			o.Failure = &failure
		}
		delete(c.asked, q.Hash)
		resolve(q, o)
	}
	c.dispatch(ctx, l, now)
}

// split asks for the two halves of a batch apart. When it was too large for the API, no batch will be so large again.
func (c *Checker) split(r *Reply) {
	for _, q := range r.questions {
		q.attempts += r.attempts
	}
	if half := len(r.questions) / 2; r.tooMany && half < c.policy.size {
		c.policy.size = half
		c.log.Error().Int("pairs", len(r.questions)).Int("batch_size", half).
			Msg("the API takes fewer pairs in a call than batch.size: going on with smaller batches, set batch.size to what it takes")
	}
	r.lane.split(r.questions)
}
