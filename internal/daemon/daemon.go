package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"consentd/checker"
	"consentd/config"
	"consentd/consumer"
	"consentd/internal/broker"
	"consentd/internal/logging"
	"consentd/internal/metrics"
	"consentd/internal/ops"
	"consentd/internal/pipeline"
	"consentd/internal/tracing"
	"consentd/producer"
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
	options.Topics = append(options.Topics, oldRetry...)
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
	oldRetry []string
	api      *wechat.Client
	metrics  *metrics.Metrics
	tracer   *tracing.Tracer
	health   *ops.Health
	log      zerolog.Logger
	// transactor is nil when events may be repeated. fencedAt is when another process last took its place.
	transactor *broker.Transactor
	fencedAt   time.Time
}

// fencedTwice is within what time a second fencing tells that it was no process that stalled and woke up.
const fencedTwice = time.Minute

// workPause keeps a generation that fails at once from joining again in a tight loop.
const workPause = time.Second

// work does one generation's share.
func (d *daemon) work(ctx context.Context, g *consumer.Generation) error {
	stop := make(chan struct{})
	stopping, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-g.Revoked():
			cancel()
		case <-stopping.Done():
		}
		d.health.NotReady("draining")
		close(stop)
	}()
	err := d.serve(stopping, g, stop)
	switch {
	case err == nil || stopping.Err() != nil && errors.Is(err, stopping.Err()):
		return nil
	case broker.Permanent(err):
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
	case <-stop:
	}
	return nil
}

// serve restores the status of the homes and works on the partitions until stop is closed. Before that stopping ends.
func (d *daemon) serve(stopping context.Context, g *consumer.Generation, stop <-chan struct{}) error {
	log := d.log.With().Int32("generation", g.Member().Generation).Logger()
	d.health.NotReady("restoring the status")
	defer func() {
		d.health.NotReady("between two assignments")
		d.metrics.Assigned(metrics.Assignment{})
	}()
	if d.transactor != nil {
		// What an earlier life left open is over before the offsets are read.
		if err := d.transactor.Init(stopping); err != nil {
			return err
		}
	}
	positions, err := g.Positions(stopping)
	if err != nil {
		return err
	}
	if err := d.warnOfOldRetry(stopping, positions); err != nil {
		return err
	}
	began := time.Now()
	d.metrics.Restoring(0)
	byCorp, homes, err := d.homes(stopping, g)
	if err != nil {
		return err
	}
	statusPartitions := make([]broker.TopicPartition, len(homes))
	for i, home := range homes {
		statusPartitions[i] = broker.TopicPartition{Topic: d.config.Topics.Status, Partition: home}
	}
	table, err := status.Restore(stopping, statusLog{d.cluster, statusPartitions, d.metrics.Restoring, log}, func(key []byte, err error) {
		log.Error().Err(err).Bytes("key", key).
			Str("hint", "find out who else writes to the status topic; the next check of the conversation is first_seen").
			Msg("a status record can't be read: its conversation counts as unknown")
	})
	if err != nil {
		return err
	}
	out, err := producer.New(stopping, d.cluster, d.transactor, d.config.Consumer.Group, producerTopics(d.config), byCorp, log)
	if err != nil {
		return err
	}
	d.metrics.Restored(time.Since(began))
	d.metrics.Assigned(metrics.Assignment{
		Generation: g.Member().Generation, Homes: len(homes), AllHomes: int(byCorp.Count()), Positions: positions,
		Requests: d.config.Topics.Requests, Forward: d.config.Topics.Forward,
	})
	log.Info().Int("partitions", len(positions)).Int("homes", len(homes)).Int("conversations", table.Len()).
		Dur("restored_in", time.Since(began)).Msg("assigned")

	// Work outlasts stopping, to drain. It ends by itself soon after the drain timeout.
	working, giveUp := context.WithCancelCause(context.WithoutCancel(stopping))
	defer giveUp(nil)
	own := pipeline.NewHomes(byCorp, homes)
	c := checker.New(d.api, checkerConfig(d.config, own.Share()), log)
	p := pipeline.New(pipelineConfig(d.config, d.oldRetry), own, c, table, out, g.Member(), positions, d.metrics,
		d.tracer.Generation(d.config.Consumer.Group), log)
	fetching, stopFetching := context.WithCancel(stopping)
	var ends sync.WaitGroup
	ends.Go(func() { d.watchEnds(fetching, positions) })
	defer ends.Wait()
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		err := g.Fetch(fetching, positions, p)
		if fetching.Err() == nil {
			giveUp(err)
		}
	}()
	if d.config.Recheck.Every > 0 {
		r := &rechecker{
			config: d.config.Recheck, cluster: d.cluster, statuses: statusPartitions, pipeline: p, share: own.Share(), log: log,
		}
		ends.Go(func() { r.run(fetching) })
	}
	d.health.Ready()
	err = p.Run(working, stop)
	stopFetching()
	<-fetched
	return err
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
	n, err := d.cluster.PartitionCount(ctx, d.config.Topics.Status)
	if err != nil {
		return broker.Partitioner{}, nil, err
	}
	var homes []int32
	for _, tp := range g.Partitions() {
		if tp.Topic == d.config.Topics.Forward {
			homes = append(homes, tp.Partition)
		}
	}
	return broker.NewPartitioner(n), homes, nil
}

// warnOfOldRetry says where requests are still parked under a delay that is no longer configured.
func (d *daemon) warnOfOldRetry(ctx context.Context, positions map[broker.TopicPartition]broker.Offset) error {
	for _, topic := range d.oldRetry {
		var tps []broker.TopicPartition
		for tp := range positions {
			if tp.Topic == topic {
				tps = append(tps, tp)
			}
		}
		ends, err := d.cluster.HighWatermarks(ctx, tps)
		if err != nil {
			return err
		}
		waiting := int64(0)
		for tp, end := range ends {
			waiting += max(0, end-positions[tp].At)
		}
		if waiting > 0 {
			d.log.Warn().Str("topic", topic).Int64("records", waiting).Str("hint", "nothing to do; delete the topic when none wait any more").
				Msg("requests are parked under a delay that is not in retry.delays any more: they are taken up when it is over")
		}
	}
	return nil
}

// statusLog is what the status topic has of the homes, for restoring.
type statusLog struct {
	cluster    *broker.Cluster
	partitions []broker.TopicPartition
	progress   func(share float64)
	log        zerolog.Logger
}

func (l statusLog) ReadToEnd(ctx context.Context, take func(key, value []byte) error) error {
	return l.cluster.ReadToEndTelling(ctx, l.partitions, l.log, func(r *broker.Record) error { return take(r.Key, r.Value) }, l.progress)
}
