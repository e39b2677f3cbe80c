package watch

import (
	"context"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
)

// Options say which events are read.
type Options struct {
	// Topics are read side by side.
	Topics []string
	// Since: from the events published at that time on; zero: all that are there.
	Since time.Time
	// Follow goes on at the present end, until the context ends.
	Follow bool
	Filter Filter
}

// Filter selects events; what is empty selects all.
type Filter struct {
	Types, Corps []string
}

func (f Filter) match(e *Event) bool {
	return (len(f.Types) == 0 || slices.Contains(f.Types, e.Type)) && (len(f.Corps) == 0 || slices.Contains(f.Corps, e.CorpID))
}

// Run hands the events to take, one at a time: those of a partition in order. It returns at the present end, and with Follow
// when ctx or take says so. A record that is no event is logged and passed over.
func Run(ctx context.Context, cluster *broker.Cluster, o Options, log zerolog.Logger, take func(*Event) error) error {
	tps, err := partitions(ctx, cluster, o.Topics)
	if err != nil {
		return err
	}
	var from, to map[broker.TopicPartition]int64
	if o.Since.UnixMilli() <= 0 { // the protocol means something else by a time before 1970
		from, err = cluster.Earliest(ctx, tps)
	} else {
		from, err = cluster.OffsetsAt(ctx, tps, o.Since)
	}
	if err != nil {
		return err
	}
	if !o.Follow {
		if to, err = cluster.HighWatermarks(ctx, tps); err != nil {
			return err
		}
	}
	return Read(ctx, cluster, from, to, o.Filter, log, take)
}

// Ends returns where the topics end now.
func Ends(ctx context.Context, cluster *broker.Cluster, topics ...string) (map[broker.TopicPartition]int64, error) {
	tps, err := partitions(ctx, cluster, topics)
	if err != nil {
		return nil, err
	}
	return cluster.HighWatermarks(ctx, tps)
}

// Read hands the events between two offsets of each partition to take; see broker.Cluster.ReadRange.
func Read(ctx context.Context, cluster *broker.Cluster, from, to map[broker.TopicPartition]int64, f Filter, log zerolog.Logger, take func(*Event) error) error {
	return cluster.ReadRange(ctx, from, to, log, func(tp broker.TopicPartition, r *broker.Record) error {
		e, err := decode(r.Headers, r.Value)
		if err != nil {
			log.Warn().Err(err).Stringer("partition", tp).Int64("offset", r.Offset).
				Str("hint", "find out who else writes to this topic").Msg("a record is no event: passed over")
			return nil
		}
		if !f.match(&e) {
			return nil
		}
		return take(&e)
	})
}

func partitions(ctx context.Context, cluster *broker.Cluster, topics []string) ([]broker.TopicPartition, error) {
	var all []broker.TopicPartition
	for _, topic := range topics {
		tps, err := cluster.AllPartitions(ctx, topic)
		if err != nil {
			return nil, err
		}
		all = append(all, tps...)
	}
	return all, nil
}
