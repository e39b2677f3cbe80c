package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Topics are the names of the topics written to.
type Topics struct {
	Results     string
	Changes     string // empty: Results
	DeadLetters string
	// Those that are partitioned by corp; Retry has one a delay.
	Status, Forward string
	Retry           []string
}

// Producer publishes batches. Publish and NewBatch may be called from two goroutines.
type Producer struct {
	cluster    *broker.Cluster
	transactor *broker.Transactor // nil: at least once
	source     string
	log        zerolog.Logger

	// These may grow.
	results, changes, deadLetters topic
	// byCorp places corps in all topics that are partitioned by corp, for as long as the producer lasts.
	byCorp          broker.Partitioner
	status, forward string
	retry           []string
	spare           chan *Batch
}

// topic is where records go, and how keys are placed there.
type topic struct {
	name        string
	partitioner broker.Partitioner
}

func (t *topic) partition(key []byte) broker.TopicPartition {
	return broker.TopicPartition{Topic: t.name, Partition: t.partitioner.Partition(key)}
}

// New looks the topics up and returns a producer for the events of a consumer group, which places corps by byCorp. With a
// transactor each batch is a transaction; nil: parts of a batch may be repeated.
func New(ctx context.Context, cluster *broker.Cluster, transactor *broker.Transactor, group string, t Topics, byCorp broker.Partitioner, log zerolog.Logger) (*Producer, error) {
	if t.Changes == "" {
		t.Changes = t.Results
	}
	p := &Producer{
		cluster: cluster, transactor: transactor, source: schemas.SourceOf(group), log: log,
		results: topic{name: t.Results}, changes: topic{name: t.Changes}, deadLetters: topic{name: t.DeadLetters},
		byCorp: byCorp, status: t.Status, forward: t.Forward, retry: t.Retry,
		spare: make(chan *Batch, 2),
	}
	for _, t := range p.topics() {
		if err := t.refresh(ctx, cluster); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Producer) topics() []*topic { return []*topic{&p.results, &p.changes, &p.deadLetters} }

// refresh follows a topic's growth.
func (t *topic) refresh(ctx context.Context, cluster *broker.Cluster) error {
	n, err := cluster.PartitionCount(ctx, t.name)
	if err == nil && n != t.partitioner.Count() {
		t.partitioner = broker.NewPartitioner(n)
	}
	return err
}

// NewBatch returns an empty batch, one that was Reused where there is one.
func (p *Producer) NewBatch(ctx context.Context) *Batch {
	for _, t := range p.topics() {
		if err := t.refresh(ctx, p.cluster); err != nil {
			p.log.Debug().Err(err).Str("topic", t.name).Msg("partition count not refreshed")
		}
	}
	var b *Batch
	select {
	case b = <-p.spare:
	default:
		b = newBatch(p)
	}
	b.now = time.Now()
	return b
}

// Reuse takes back a batch that is done with.
func (p *Producer) Reuse(b *Batch) {
	for _, records := range b.parts {
		records.Reset()
	}
	clear(b.offsets)
	select {
	case p.spare <- b:
	default:
	}
}

// Publish sends the batch as member m of its group. With a transactor all of it is there afterwards or, when the process ends
// before, nothing. Without, events, status records, forwarded and parked requests, dead letters and offsets are sent in this order, each
// acknowledged by all in-sync replicas before the next: after an error none, some or all of it may have been published;
// published again it carries the same event ids. It tries until ctx ends, except where trying again can't help.
func (p *Producer) Publish(ctx context.Context, m broker.Member, b *Batch) error {
	if p.transactor != nil {
		if err := p.transactor.Publish(ctx, m, b.offsets, b.parts[0]); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		return nil
	}
	for _, records := range b.parts {
		if err := p.cluster.Produce(ctx, records, p.log); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return p.commit(ctx, m, b.offsets)
}

// commit tries again while the coordinator moves; that the generation is over is final.
func (p *Producer) commit(ctx context.Context, m broker.Member, offsets map[broker.TopicPartition]broker.Offset) error {
	attempt := func() error {
		err := p.cluster.Commit(ctx, m, offsets)
		if code := kafka.Error(0); err != nil && errors.As(err, &code) && !code.Temporary() {
			return backoff.Permanent(err)
		}
		return err
	}
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	if err := backoff.Retry(attempt, backoff.WithContext(pause, ctx)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
