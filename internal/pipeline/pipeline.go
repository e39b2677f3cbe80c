package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"consentd/checker"
	"consentd/consumer"
	"consentd/internal/broker"
	"consentd/internal/gather"
	"consentd/internal/metrics"
	"consentd/internal/tracing"
	"consentd/producer"
	"consentd/schemas"
	"consentd/status"
)

// Config bounds a pipeline.
type Config struct {
	// MaxInFlight bounds the items, MaxInFlightBytes the requests' bytes that are taken up and not yet published.
	MaxInFlight      int
	MaxInFlightBytes int
	// DrainTimeout is how long what is in flight may take to be done when the pipeline is to stop.
	DrainTimeout time.Duration
	// StatusRefresh is how old a status record may grow before an unchanged reply writes it anew.
	StatusRefresh time.Duration
	// Retry are the topics for parked requests, by how long they wait there, the last one again and again. OldRetry are read
	// besides, for what still waits in them.
	Retry    []RetryTopic
	OldRetry []RetryTopic
	// Forward is the topic for requests on their way to the owner of their corp.
	Forward string
	// MaxAge is how old a request may grow before it expires instead of being parked.
	MaxAge time.Duration
}

// RetryTopic is a topic for requests that are asked again after a delay.
type RetryTopic struct {
	Name  string
	Delay time.Duration
}

// Pipeline works on the requests of one generation.
type Pipeline struct {
	config   Config
	homes    Homes
	checker  *checker.Checker
	table    *status.Table
	producer *producer.Producer
	member   broker.Member
	metrics  *metrics.Metrics
	traces   *tracing.Generation
	log      zerolog.Logger

	incoming  chan *intake
	published chan error
	rechecks  chan rechecking
	// gathered are conversations to be checked again, on their way into requests.
	gathered *gather.Gatherer

	// calls is Run's context: the calls in flight end with it.
	calls context.Context
	// waiting is what was fetched and could not be taken up yet, at most one intake a partition.
	waiting []*intake
	room    *room
	// behind are the partitions that had more to read when they were fetched last.
	behind map[broker.TopicPartition]bool
	// followed: what was received last is followed by other partitions' records, which were fetched with it.
	followed bool
	// inFlight is what was taken up and not yet published.
	inFlight load

	offsets   map[broker.TopicPartition]*consumer.Offsets
	committed map[broker.TopicPartition]broker.Offset

	// filling is the batch that takes what is settled, sealed the one that is being published; nil when there is none.
	filling, sealed *producer.Batch
	// observed is when metrics were last told the state.
	observed time.Time
	// done and releasing are the loads that filling and sealed free once they are published.
	done, releasing load
	// answered and releasingAnswered are when the requests were written that these batches answer.
	answered, releasingAnswered []time.Time
	// touched has the partitions whose offsets may have moved since filling was begun.
	touched map[broker.TopicPartition]bool

	// parking has the place in Config.Retry of the topic where a request is parked next, by the topic of our own that it
	// came from.
	parking map[string]int

	key    []byte
	single [1]checker.Outcome
}

// finishTimeout is how long the last batch may take to be published once the drain timeout is over.
const finishTimeout = time.Second

// load is work in flight.
type load struct{ items, bytes int }

func (l *load) add(o load) { l.items += o.items; l.bytes += o.bytes }
func (l *load) sub(o load) { l.items -= o.items; l.bytes -= o.bytes }

// New returns a pipeline that takes up partitions at the given positions, with the status table of its homes restored.
func New(cfg Config, homes Homes, c *checker.Checker, table *status.Table, p *producer.Producer, member broker.Member,
	positions map[broker.TopicPartition]broker.Offset, m *metrics.Metrics, traces *tracing.Generation, log zerolog.Logger,
) *Pipeline {
	pl := &Pipeline{
		config: cfg, homes: homes, checker: c, table: table, producer: p, member: member, metrics: m, traces: traces, log: log,
		incoming:  make(chan *intake),
		room:      newRoom(),
		behind:    make(map[broker.TopicPartition]bool),
		published: make(chan error, 1),
		rechecks:  make(chan rechecking),
		gathered:  gather.New("recheck-" + time.Now().UTC().Format(recheckTime)),
		offsets:   make(map[broker.TopicPartition]*consumer.Offsets),
		committed: make(map[broker.TopicPartition]broker.Offset),
		touched:   make(map[broker.TopicPartition]bool),
		parking:   make(map[string]int),
	}
	for i, t := range cfg.Retry {
		pl.parking[t.Name] = min(i+1, len(cfg.Retry)-1)
	}
	for _, old := range cfg.OldRetry {
		longer := slices.IndexFunc(cfg.Retry, func(t RetryTopic) bool { return t.Delay > old.Delay })
		if longer < 0 {
			longer = len(cfg.Retry) - 1
		}
		pl.parking[old.Name] = longer
	}
	pl.parking[cfg.Forward] = 0
	for tp, position := range positions {
		pl.offsets[tp] = &consumer.Offsets{}
		if err := pl.offsets[tp].Start(position.At, position.Metadata); err != nil {
			log.Warn().Err(err).Stringer("partition", tp).Str("hint", "find out who else commits offsets for this group").
				Msg("what was done beyond the committed offset can't be read: it is done again")
		}
		pl.committed[tp] = position
	}
	return pl
}

// Run works until stop is closed and what was in flight is published, or given up after the drain timeout. The error is
// that of a publication that failed for good, or of ctx; nil means that all that was taken up is done.
func (p *Pipeline) Run(ctx context.Context, stop <-chan struct{}) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer p.traces.Close()
	defer p.wait()
	defer giveUp()
	p.calls = ctx
	p.begin(ctx)

	timer := time.NewTimer(0)
	defer timer.Stop()
	var deadline <-chan time.Time
	for {
		now := time.Now()
		p.takeUp(now)
		p.checker.Backlog(len(p.waiting) > 0 || len(p.behind) > 0 || p.followed)
		p.checker.Flush(p.calls, now)
		p.settleEnded()
		p.publish(ctx)
		unseen := p.observe(now)
		incoming, rechecks := p.incoming, p.rechecks
		if !p.idle() {
			rechecks = nil
		}
		if deadline != nil {
			if p.inFlight == (load{}) && p.sealed == nil {
				return nil
			}
			incoming, rechecks = nil, nil
		}
		due, ok := p.checker.Due(now)
		if at := p.observed.Add(observePause); unseen && (!ok || at.Before(due)) {
			due, ok = at, true
		}
		if ok {
			timer.Reset(time.Until(due))
		} else {
			timer.Stop()
		}
		select {
		case in := <-incoming:
			p.waiting = append(p.waiting, in)
			p.followed = in.followed
			if in.more {
				p.behind[in.tp] = true
			} else {
				delete(p.behind, in.tp)
			}
		case reply := <-p.checker.Replies():
			p.settle(reply)
		case r := <-rechecks:
			p.recheck(r, now)
		case err := <-p.published:
			if err := p.release(err); err != nil {
				return err
			}
		case <-timer.C:
		case <-stop:
			stop, p.waiting = nil, nil // what was not taken up is read again by whoever comes next
			clear(p.behind)
			p.followed = false
			deadline = time.After(p.config.DrainTimeout)
		case <-deadline:
			time.AfterFunc(finishTimeout, giveUp)
			return p.finish(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// begin opens the next batch and the stage of the status table that goes with it.
func (p *Pipeline) begin(ctx context.Context) {
	p.filling = p.producer.NewBatch(ctx)
	p.table.Begin()
}

// publish sends off what was gathered, unless a batch is on its way: then it waits for that, and grows.
func (p *Pipeline) publish(ctx context.Context) {
	if p.sealed != nil {
		return
	}
	for tp := range p.touched {
		var next broker.Offset
		next.At, next.Metadata = p.offsets[tp].Committable()
		if breakOffsets && next.Metadata != "" {
			next = broker.Offset{At: next.At + 1}
		}
		if next != p.committed[tp] {
			p.filling.Done(tp, next)
			p.committed[tp] = next
		}
	}
	clear(p.touched)
	if p.filling.Empty() {
		return
	}
	p.filling.Anchor(p.committed)
	p.sealed, p.releasing = p.filling, p.done
	p.done = load{}
	p.answered, p.releasingAnswered = p.releasingAnswered[:0], p.answered
	p.traces.Publishing(time.Now())
	p.begin(ctx)
	go func(b *producer.Batch) {
		began := time.Now()
		err := p.producer.Publish(ctx, p.member, b)
		p.metrics.Published(time.Since(began), err)
		p.published <- err
	}(p.sealed)
}

// observePause is how often the state is put into metrics.
const observePause = time.Second

// observe puts the state into metrics, unless that was done a moment ago: then it is yet to be seen.
func (p *Pipeline) observe(now time.Time) (unseen bool) {
	if now.Sub(p.observed) < observePause {
		return true
	}
	p.observed = now
	s := metrics.State{
		Items: p.inFlight.items, Bytes: p.inFlight.bytes, Starving: p.checker.Starving(),
		Pairs: p.table.Count(schemas.Single), Rooms: p.table.Count(schemas.Room),
	}
	s.Lanes, s.Outage = p.checker.States(now)
	p.metrics.Observe(s)
	return false
}

// release takes note that the sealed batch is out, or failed for good.
func (p *Pipeline) release(err error) error {
	b := p.sealed
	p.sealed = nil
	p.traces.Published(time.Now(), err)
	if err != nil {
		return err
	}
	p.table.Commit()
	p.producer.Reuse(b)
	p.inFlight.sub(p.releasing)
	p.releasing = load{}
	now := time.Now()
	for _, at := range p.releasingAnswered {
		p.metrics.Answered(max(0, now.Sub(at)))
	}
	for tp, offset := range p.committed {
		p.metrics.Committed(tp, offset.At)
	}
	return nil
}

// finish publishes what is settled and gives up the rest.
func (p *Pipeline) finish(ctx context.Context) error {
	var err error
	for p.sealed != nil && err == nil {
		if err = p.release(<-p.published); err == nil {
			p.publish(ctx)
		}
	}
	if p.inFlight.items > 0 {
		p.log.Warn().Err(err).Int("items", p.inFlight.items).Dur("drain_timeout", p.config.DrainTimeout).
			Str("hint", "nothing is lost; raise consumer.drain_timeout if it happens often").
			Msg("not all requests in flight were done in time: they will be read again")
	}
	return err
}

// wait returns when nothing runs any more that Run began.
func (p *Pipeline) wait() {
	p.checker.Wait()
	if p.sealed != nil {
		p.log.Debug().Err(<-p.published).Msg("the last batch was given up")
	}
}
