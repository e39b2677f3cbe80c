package consumer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
)

// Positions returns where each partition is taken up: its committed offset. A group that never committed begins at
// Start, and that is committed at once, by one member for all, so that a partition which appears later begins at its
// beginning.
func (g *Generation) Positions(ctx context.Context) (map[broker.TopicPartition]broker.Offset, error) {
	if len(g.partitions) == 0 {
		return nil, nil
	}
	for {
		positions, err := g.stable(ctx, g.partitions)
		if err != nil || len(positions) == len(g.partitions) {
			return positions, err
		}
		fresh := slices.DeleteFunc(slices.Clone(g.partitions), func(tp broker.TopicPartition) bool { _, ok := positions[tp]; return ok })
		began, err := g.begin(ctx, fresh)
		if err != nil {
			return nil, err
		}
		if began {
			continue
		}
		if err := pause(ctx, beginPause); err != nil {
			return nil, err
		}
	}
}

// beginPause is how soon to look again whether the member that begins for all has done so.
const beginPause = 100 * time.Millisecond

// begin commits where partitions that have no offset are taken up. As long as none is committed for the requests it is the
// owner of their first partition who does that, for all of them; the others have to wait: began is false.
func (g *Generation) begin(ctx context.Context, fresh []broker.TopicPartition) (began bool, err error) {
	first := []broker.TopicPartition{{Topic: g.config.Requests}}
	committed, err := g.stable(ctx, first)
	if err != nil {
		return false, err
	}
	var atEnd []broker.TopicPartition
	if len(committed) == 0 {
		fresh = slices.DeleteFunc(fresh, func(tp broker.TopicPartition) bool { return tp.Topic == g.config.Requests })
		if slices.Contains(g.partitions, first[0]) {
			requests, never, err := g.neverCommitted(ctx)
			if err != nil {
				return false, err
			}
			if never && g.config.Start == StartLatest {
				atEnd = requests
			} else {
				fresh = append(fresh, requests...)
			}
		}
	}
	if len(fresh)+len(atEnd) == 0 {
		return false, nil
	}
	begins, err := g.cluster.Earliest(ctx, fresh)
	if err != nil {
		return false, err
	}
	ends, err := g.cluster.HighWatermarks(ctx, atEnd)
	if err != nil {
		return false, err
	}
	offsets := make(map[broker.TopicPartition]broker.Offset)
	for _, found := range []map[broker.TopicPartition]int64{begins, ends} {
		for tp, at := range found {
			offsets[tp] = broker.Offset{At: at}
		}
	}
	return true, g.cluster.Commit(ctx, g.member, offsets)
}

// neverCommitted returns the partitions of the requests that have no committed offset, and whether that is all of them.
func (g *Generation) neverCommitted(ctx context.Context) (tps []broker.TopicPartition, all bool, err error) {
	tps, err = g.cluster.AllPartitions(ctx, g.config.Requests)
	if err != nil {
		return nil, false, err
	}
	committed, err := g.stable(ctx, tps)
	if err != nil {
		return nil, false, err
	}
	tps = slices.DeleteFunc(tps, func(tp broker.TopicPartition) bool { _, ok := committed[tp]; return ok })
	return tps, len(committed) == 0, nil
}

// stable returns the committed offsets once no transaction is about to move them.
func (g *Generation) stable(ctx context.Context, tps []broker.TopicPartition) (map[broker.TopicPartition]broker.Offset, error) {
	for {
		positions, err := g.cluster.Committed(ctx, g.member.Group, tps)
		if !errors.Is(err, kafka.UnstableOffsetCommit) {
			return positions, err
		}
		if err := pause(ctx, unstablePause); err != nil {
			return nil, err
		}
	}
}

// unstablePause is how soon to look again for offsets that a transaction is about to move.
const unstablePause = 20 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
