package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"consentd/checker"
	"consentd/config"
	"consentd/consumer"
	"consentd/internal/broker"
	"consentd/internal/logging"
	"consentd/internal/metrics"
	"consentd/internal/ops"
	"consentd/internal/pipeline"
	"consentd/internal/topics"
	"consentd/internal/tracing"
	"consentd/producer"
	"consentd/schemas"
	"consentd/status"
	"consentd/wechat"
)

// Run is the daemon. It works until ctx ends, then drains, commits, leaves the group and returns nil. An error says what a
// person has to mend: trying for as long as it helps is done before. reload is asked when the corps have changed. version is
// for the metrics. tracer is nil when nothing is to be traced.
func Run(ctx context.Context, cfg config.Config, version string, reload Reload, tracer *tracing.Tracer, logs *logging.Log) error {
	log := logs.Logger
	m, health := metrics.New(version), ops.NewHealth()
	stopOps, err := ops.Serve(ctx, cfg.Ops.Listen, health, m.Handler(), logs.Level, log)
	if err != nil {
		return err
	}
	defer stopOps()
	options, err := clusterOptions(cfg)
	if err != nil {
		return err
	}
	corps := newCorps(cfg, m)
	api, err := corps.newAPI(cfg)
	if err != nil {
		return err
	}
	defer api.Close()
	m.TokensHeld(api.TokensHeld)
	before := broker.Open(options)
	oldRetry, err := checkTopics(ctx, before, cfg, log)
	before.Close()
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before there was anything to drain
		}
		return err
	}
	options.Topics = append(options.Topics, names(oldRetry)...)
	cluster := broker.Open(options)
	defer cluster.Close()
	log.Info().Str("group", cfg.Consumer.Group).Str("requests", cfg.Topics.Requests).Int("corps", len(cfg.AllCorps())).
		Msg("ready to join the group")
	d := &daemon{config: cfg, cluster: cluster, oldRetry: oldRetry, api: api, metrics: m, tracer: tracer, health: health, log: log}
	health.NotReady("joining the group")
	if cfg.Delivery == "exactly_once" {
		d.transactor = cluster.NewTransactor(cfg.Consumer.Group+"-"+cfg.Instance, cfg.Producer.TransactionTimeout, log)
		d.transactor.Aborted = m.Aborted
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { watchCorps(watching, cfg, reload, corps, api, log) })
	defer watch.Wait()
	defer stop()
	return consumer.Run(ctx, cluster, consumerConfig(cfg, oldRetry), log, d.work)
}

type daemon struct {
	config   config.Config
	cluster  *broker.Cluster
	oldRetry []config.RetryTopic
	api      *wechat.Client
	metrics  *metrics.Metrics
	tracer   *tracing.Tracer
	health   *ops.Health
	log      zerolog.Logger
	// transactor is nil when events may be repeated. fencedAt is when another process last took its place.
	transactor *broker.Transactor
	fencedAt   time.Time
	// checker is that of the last generation; nil: this is the first.
	checker *checker.Checker
}

// fencedTwice is within what time a second fencing tells that it was no process that stalled and woke up.
const fencedTwice = time.Minute

// workPause keeps a generation that fails at once from joining again in a tight loop.
const workPause = time.Second

// work does one generation's share.
func (d *daemon) work(ctx context.Context, g *consumer.Generation) error {
	stopping, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-g.Revoked():
			cancel()
		case <-ctx.Done():
		case <-finished:
			return
		}
		d.health.NotReady("draining")
	})
	err := d.serve(stopping, g)
	close(finished)
	watch.Wait()
	d.metrics.Assigned(metrics.Assignment{})
	d.metrics.Observe(metrics.State{})
	d.health.NotReady("between two assignments")
	switch {
	case err == nil || stopping.Err() != nil && errors.Is(err, stopping.Err()):
		return nil
	case broker.Permanent(err) || errors.As(err, new(*topicsError)):
		return err
	case errors.Is(err, broker.ErrFenced):
		if time.Since(d.fencedAt) < fencedTwice {
			return fmt.Errorf("another process publishes as instance %s of group %s: give each its own `instance` (or, on one host, end the other): %w",
				d.config.Instance, d.config.Consumer.Group, err)
		}
		d.fencedAt = time.Now()
	}
	d.log.Warn().Err(err).Str("hint", "nothing is lost; if it lasts, look at the brokers").
		Msg("this generation's work was interrupted, joining the group again")
	select {
	case <-time.After(workPause):
	case <-stopping.Done():
	}
	return nil
}

// assignment is what a generation begins with.
type assignment struct {
	positions map[broker.TopicPartition]broker.Offset
	own       pipeline.Homes
	statuses  []broker.TopicPartition
	table     *status.Table
	producer  *producer.Producer
}

// serve restores the status of the homes and works on the partitions until stopping ends and what is in flight is done.
func (d *daemon) serve(stopping context.Context, g *consumer.Generation) error {
	log := d.log.With().Int32("generation", g.Member().Generation).Logger()
	a, err := d.assign(stopping, g, log)
	if err != nil {
		return err
	}
	// Work outlasts stopping, to drain. It ends by itself soon after the drain timeout.
	working, giveUp := context.WithCancelCause(context.WithoutCancel(stopping))
	defer giveUp(nil)
	c := checker.New(d.api, checkerConfig(d.config, a.own.Share()), log)
	if d.checker != nil {
		c.Inherit(d.checker, a.own.Own, time.Now())
	}
	d.checker = c
	p := pipeline.New(pipelineConfig(d.config, d.oldRetry), a.own, c, a.table, a.producer, g.Member(), a.positions, d.metrics,
		d.tracer.Generation(d.config.Consumer.Group), log)
	fetching, stopFetching := context.WithCancel(stopping)
	var beside sync.WaitGroup
	beside.Go(func() { d.watchEnds(fetching, a.positions) })
	beside.Go(func() {
		if err := g.Fetch(fetching, a.positions, p); fetching.Err() == nil {
			giveUp(err)
		}
	})
	if d.config.Recheck.Every > 0 {
		r := &rechecker{
			config: d.config.Recheck, cluster: d.cluster, statuses: a.statuses, pipeline: p, share: a.own.Share(), log: log,
		}
		beside.Go(func() { r.run(fetching) })
	}
	d.health.Ready()
	err = p.Run(working, stopping.Done())
	stopFetching()
	beside.Wait()
	return err
}

// assign reads what a generation begins with: in this order, a new epoch, by which what an earlier life left open is over; the
// offsets; the status of the homes. What passes is tried again while the generation lasts: joining anew would only have all
// members begin anew.
func (d *daemon) assign(ctx context.Context, g *consumer.Generation, log zerolog.Logger) (a assignment, err error) {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	err = backoff.RetryNotify(func() error {
		a, err = d.tryAssign(ctx, g, log)
		if broker.Permanent(err) || errors.As(err, new(*topicsError)) || errors.Is(err, broker.ErrFenced) || overWithGeneration(err) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(pause, ctx), func(err error, wait time.Duration) {
		log.Warn().Err(err).Dur("wait", wait).Str("hint", "it goes on by itself; if it lasts, look at the brokers").
			Msg("reading what is known was interrupted, trying again")
	})
	return a, err
}

// overWithGeneration tells that a commit was refused, so that only another generation goes on.
func overWithGeneration(err error) bool {
	return errors.Is(err, broker.ErrGenerationOver) || errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) ||
		errors.Is(err, kafka.RebalanceInProgress)
}

func (d *daemon) tryAssign(ctx context.Context, g *consumer.Generation, log zerolog.Logger) (a assignment, err error) {
	d.health.NotReady("restoring the status")
	if d.transactor != nil {
		if err := d.transactor.Init(ctx); err != nil {
			return a, err
		}
	}
	if a.positions, err = g.Positions(ctx); err != nil {
		return a, err
	}
	d.warnOfOldRetry(ctx, a.positions)
	began := time.Now()
	d.metrics.Restoring(0)
	byCorp, homes, err := d.homes(ctx, g)
	if err != nil {
		return a, err
	}
	a.own = pipeline.NewHomes(byCorp, homes)
	for _, home := range homes {
		a.statuses = append(a.statuses, broker.TopicPartition{Topic: d.config.Topics.Status, Partition: home})
	}
	a.table, err = status.Restore(ctx, statusLog{d.cluster, a.statuses, byCorp, d.metrics.Restoring, log}, func(key []byte, err error) {
		log.Error().Err(err).Bytes("key", key).
			Str("hint", "find out who else writes to the status topic; the next check of the conversation is first_seen").
			Msg("a status record can't be read: its conversation counts as unknown")
	})
	if err != nil {
		return a, err
	}
	a.producer, err = producer.New(ctx, d.cluster, d.transactor, d.config.Consumer.Group, producerTopics(d.config), byCorp, log)
	if err != nil {
		return a, err
	}
	d.metrics.Restored(time.Since(began))
	d.metrics.Assigned(metrics.Assignment{
		Generation: g.Member().Generation, Homes: len(homes), AllHomes: int(byCorp.Count()), Positions: a.positions,
		Requests: d.config.Topics.Requests, Forward: d.config.Topics.Forward,
	})
	log.Info().Int("partitions", len(a.positions)).Int("homes", len(homes)).Int("conversations", a.table.Len()).
		Dur("restored_in", time.Since(began)).Msg("assigned")
	return a, nil
}

// endsPause is how often the partitions' ends are looked up, for the lag.
const endsPause = 5 * time.Second

func (d *daemon) watchEnds(ctx context.Context, positions map[broker.TopicPartition]broker.Offset) {
	tps := slices.Collect(maps.Keys(positions))
	for {
		ends, err := d.cluster.HighWatermarks(ctx, tps)
		if err == nil {
			d.metrics.Ends(ends)
		} else {
			d.log.Debug().Err(err).Msg("the partitions' ends are not known")
		}
		select {
		case <-time.After(endsPause):
		case <-ctx.Done():
			return
		}
	}
}

// homes returns how corps are placed, and which homes a generation has.
func (d *daemon) homes(ctx context.Context, g *consumer.Generation) (broker.Partitioner, []int32, error) {
	counts, err := d.cluster.Partitions(ctx, append(topics.ByCorp(d.config), d.config.Topics.Status)...)
	if err != nil {
		return broker.Partitioner{}, nil, err
	}
	if problems := disagreeing(d.config, counts); len(problems) > 0 {
		return broker.Partitioner{}, nil, &topicsError{problems}
	}
	n := counts[d.config.Topics.Status]
	var homes []int32
	for _, tp := range g.Partitions() {
		if tp.Topic == d.config.Topics.Forward {
			homes = append(homes, tp.Partition)
		}
	}
	if n == 0 {
		return broker.Partitioner{}, nil, fmt.Errorf("topic %s: %w", d.config.Topics.Status, kafka.UnknownTopicOrPartition)
	}
	return broker.NewPartitioner(n), homes, nil
}

// warnOfOldRetry says where requests are still parked under a delay that is no longer configured.
func (d *daemon) warnOfOldRetry(ctx context.Context, positions map[broker.TopicPartition]broker.Offset) {
	for _, topic := range names(d.oldRetry) {
		var tps []broker.TopicPartition
		for tp := range positions {
			if tp.Topic == topic {
				tps = append(tps, tp)
			}
		}
		ends, err := d.cluster.HighWatermarks(ctx, tps)
		if err != nil {
			d.log.Debug().Err(err).Str("topic", topic).Msg("how many requests wait under a former delay is not known")
			continue
		}
		waiting := int64(0)
		for tp, end := range ends {
			waiting += max(0, end-positions[tp].At)
		}
		if waiting > 0 {
			d.log.Warn().Str("topic", topic).Int64("records", waiting).Str("hint", "nothing to do; when none wait any more, delete the topic and restart").
				Msg("requests are parked under a delay that is not in retry.delays any more: they are taken up when it is over")
		}
	}
}

// statusLog is what the status topic has of the homes, for restoring.
type statusLog struct {
	cluster    *broker.Cluster
	partitions []broker.TopicPartition
	byCorp     broker.Partitioner
	progress   func(share float64)
	log        zerolog.Logger
}

// fewMisplaced is how many times as many records must stand where they belong as elsewhere, for these to be somebody's mistake:
// a topic that was given more partitions has at least half of its corps' places changed.
const fewMisplaced = 4

// ReadToEnd leaves out records that stand where their corp has no place.
func (l statusLog) ReadToEnd(ctx context.Context, take func(key, value []byte) error) error {
	placed, misplaced, first := 0, 0, ""
	err := l.cluster.ReadToEndTelling(ctx, l.partitions, l.log, func(tp broker.TopicPartition, r *broker.Record) error {
		corp, _, _ := bytes.Cut(r.Key, []byte("/"))
		place := l.byCorp.Partition(corp)
		if place == tp.Partition {
			placed++
			return take(r.Key, r.Value)
		}
		if _, err := schemas.ParseKey(string(r.Key)); err != nil {
			return take(r.Key, r.Value) // it says what is wrong
		}
		if r.Value == nil {
			return nil
		}
		if misplaced++; misplaced == 1 {
			first = fmt.Sprintf("topic %s: %.200q stands in partition %d, its place among %d is %d",
				tp.Topic, r.Key, tp.Partition, l.byCorp.Count(), place)
		}
		return nil
	}, l.progress)
	switch {
	case err != nil || misplaced == 0:
		return err
	case placed < fewMisplaced*misplaced:
		// Whoever is known there would count as unknown here, and a withdrawal as first_seen.
		return &topicsError{[]string{fmt.Sprintf(
			"%s, and so do %d of %d records: if it was given more partitions, make the topics that are partitioned by corp anew with as many as they had, and copy the records; if something else wrote these, delete them with tombstones in the same partition",
			first, misplaced, placed+misplaced)}}
	}
	l.log.Error().Str("error", first).Int("records", misplaced).
		Str("hint", "something else writes to the status topic: delete them with tombstones in the same partition").
		Msg("status records stand where their corp has no place: they are passed over")
	return nil
}
