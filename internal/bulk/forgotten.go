package bulk

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Forgotten waits for the tombstones of conversations. Not safe for concurrent use.
type Forgotten struct {
	cluster *broker.Cluster
	from    map[broker.TopicPartition]int64
	waiting map[schemas.Hash]bool
	log     zerolog.Logger
}

// NewForgotten notes where the status topic ends now: what is added to it from here on is looked at.
func NewForgotten(ctx context.Context, cluster *broker.Cluster, statusTopic string, log zerolog.Logger) (*Forgotten, error) {
	tps, err := cluster.AllPartitions(ctx, statusTopic)
	if err != nil {
		return nil, err
	}
	ends, err := cluster.HighWatermarks(ctx, tps)
	if err != nil {
		return nil, err
	}
	return &Forgotten{cluster: cluster, from: ends, waiting: make(map[schemas.Hash]bool), log: log}, nil
}

// Add has a conversation waited for.
func (f *Forgotten) Add(c schemas.Conversation) { f.waiting[schemas.HashKey(c.AppendKey(nil))] = true }

// Waiting is how many are waited for.
func (f *Forgotten) Waiting() int { return len(f.waiting) }

var errAllForgotten = errors.New("all are forgotten")

// Wait returns when all of them have a tombstone, or ctx ends.
func (f *Forgotten) Wait(ctx context.Context) error {
	if len(f.waiting) == 0 {
		return nil
	}
	err := f.cluster.ReadRange(ctx, f.from, nil, f.log, func(_ broker.TopicPartition, r *broker.Record) error {
		if r.Value != nil {
			return nil
		}
		if delete(f.waiting, schemas.HashKey(r.Key)); len(f.waiting) == 0 {
			return errAllForgotten
		}
		return nil
	})
	if errors.Is(err, errAllForgotten) {
		return nil
	}
	return err
}
