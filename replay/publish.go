package replay

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
)

// publisher publishes batches with the offsets that they bring the group to.
type publisher struct {
	cluster    *broker.Cluster
	transactor *broker.Transactor // nil: at least once
	member     broker.Member
	log        zerolog.Logger
}

func newPublisher(c Config, cluster *broker.Cluster, group string) *publisher {
	// Nobody is ever a member of the group: it only holds offsets.
	p := &publisher{cluster: cluster, member: broker.Member{Group: group, Generation: -1}, log: c.Log}
	if c.ExactlyOnce {
		p.transactor = cluster.NewTransactor(group, c.TransactionTimeout, c.Log)
	}
	return p
}

// begin ends what an earlier run left open, and keeps it from going on.
func (p *publisher) begin(ctx context.Context) error {
	if p.transactor == nil {
		return nil
	}
	return p.transactor.Init(ctx)
}

// publish puts records and offsets into one transaction or, at least once, commits the offsets when the records are there.
// It tries until ctx ends, except where that can't help.
func (p *publisher) publish(ctx context.Context, b *batch) error {
	if p.transactor != nil {
		return p.transactor.Publish(ctx, p.member, b.offsets, &b.records)
	}
	if err := p.cluster.Produce(ctx, &b.records, p.log); err != nil {
		return err
	}
	commit := func() error {
		err := p.cluster.Commit(ctx, p.member, b.offsets)
		if code := kafka.Error(0); errors.As(err, &code) && !code.Temporary() {
			return backoff.Permanent(err)
		}
		return err
	}
	return backoff.Retry(commit, backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0)), ctx))
}
