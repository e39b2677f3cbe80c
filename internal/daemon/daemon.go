package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"consentd/checker"
	"consentd/config"
	"consentd/consumer"
	"consentd/internal/broker"
	"consentd/internal/pipeline"
	"consentd/producer"
	"consentd/status"
	"consentd/wechat"
)

// Run is the daemon. It works until ctx ends, then drains, commits, leaves the group and returns nil. An error says what a
// person has to mend: trying for as long as it helps is done before.
func Run(ctx context.Context, cfg config.Config, log zerolog.Logger) error {
	options, err := clusterOptions(cfg)
	if err != nil {
		return err
	}
	cluster := broker.Open(options)
	defer cluster.Close()
	api, err := newAPI(cfg)
	if err != nil {
		return err
	}
	defer api.Close()
	if err := checkTopics(ctx, cluster, cfg, log); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before there was anything to drain
		}
		return err
	}
	log.Info().Str("group", cfg.Consumer.Group).Str("requests", cfg.Topics.Requests).Int("corps", len(cfg.Corps)).
		Msg("consentd is ready to join its group")
	d := &daemon{config: cfg, cluster: cluster, api: api, log: log}
	return consumer.Run(ctx, cluster, consumerConfig(cfg), log, d.work)
}

type daemon struct {
	config  config.Config
	cluster *broker.Cluster
	api     *wechat.Client
	log     zerolog.Logger
}

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
		close(stop)
	}()
	err := d.serve(stopping, g, stop)
	switch {
	case err == nil || stopping.Err() != nil && errors.Is(err, stopping.Err()):
		return nil
	case broker.Permanent(err):
		return err
	}
	d.log.Warn().Err(err).Msg("this generation's work was interrupted, joining the group again")
	select {
	case <-time.After(workPause):
	case <-stop:
	}
	return nil
}

// serve restores the status of the homes and works on the partitions until stop is closed. Before that stopping ends.
func (d *daemon) serve(stopping context.Context, g *consumer.Generation, stop <-chan struct{}) error {
	log := d.log.With().Int32("generation", g.Member().Generation).Logger()
	positions, err := g.Positions(stopping)
	if err != nil {
		return err
	}
	began := time.Now()
	table, err := status.Restore(stopping, statusLog{d.cluster, d.config.Topics.Status, log}, func(key []byte, err error) {
		log.Error().Err(err).Bytes("key", key).Msg("a status record can't be read: its conversation counts as unknown")
	})
	if err != nil {
		return err
	}
	out, err := producer.New(stopping, d.cluster, d.config.Consumer.Group, producerTopics(d.config), log)
	if err != nil {
		return err
	}
	log.Info().Int("partitions", len(positions)).Int("conversations", table.Len()).
		Dur("restored_in", time.Since(began)).Msg("assigned")

	// Work outlasts stopping, to drain. It ends by itself soon after the drain timeout.
	working, giveUp := context.WithCancelCause(context.WithoutCancel(stopping))
	defer giveUp(nil)
	p := pipeline.New(pipelineConfig(d.config), checker.New(d.api, checkerConfig(d.config), log), table, out, g.Member(), positions, log)
	fetching, stopFetching := context.WithCancel(stopping)
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		err := g.Fetch(fetching, positions, p)
		if fetching.Err() == nil {
			giveUp(err)
		}
	}()
	err = p.Run(working, stop)
	stopFetching()
	<-fetched
	return err
}

// statusLog is the status topic, for restoring.
type statusLog struct {
	cluster *broker.Cluster
	topic   string
	log     zerolog.Logger
}

func (l statusLog) ReadToEnd(ctx context.Context, take func(key, value []byte) error) error {
	return l.cluster.ReadToEnd(ctx, l.topic, l.log, func(r *broker.Record) error { return take(r.Key, r.Value) })
}
