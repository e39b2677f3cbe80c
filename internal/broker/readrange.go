package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// OffsetsAt returns, for each partition, the offset of the first record that is not older than a time, or the high
// watermark where there is none.
func (c *Cluster) OffsetsAt(ctx context.Context, tps []TopicPartition, at time.Time) (map[TopicPartition]int64, error) {
	ends, err := c.HighWatermarks(ctx, tps)
	if err != nil {
		return nil, err
	}
	found, err := c.listOffsets(ctx, tps, at.UnixMilli())
	if err != nil {
		return nil, err
	}
	for tp, offset := range found {
		if offset < 0 {
			found[tp] = ends[tp]
		}
	}
	return found, nil
}

// ReadRange hands the committed records of each partition to take, one at a time, from one offset up to another, which is
// not read any more; it returns when all have been read, or with the error of take. A partition that to does not have has no
// end. Records of transactions that are open are waited for. What was deleted before it is read is passed over, with a
// warning.
func (c *Cluster) ReadRange(
	ctx context.Context, from, to map[TopicPartition]int64, log zerolog.Logger, take func(TopicPartition, *Record) error,
) error {
	open := make(map[TopicPartition]int64, len(from))
	unread := 0
	for tp, begin := range from {
		end, bounded := to[tp]
		if !bounded || begin < end {
			open[tp] = begin
			unread++
		}
	}
	if unread == 0 {
		return nil
	}
	options := FetchOptions{
		MaxBytes: readToEndBytes, PartitionMaxBytes: readToEndBytes, Log: log,
		OutOfRange: func(ctx context.Context, tp TopicPartition, position int64) (int64, error) {
			start, err := c.Earliest(ctx, []TopicPartition{tp})
			if err != nil {
				return 0, err
			}
			log.Warn().Stringer("partition", tp).Int64("position", position).Int64("log_start", start[tp]).
				Str("hint", "retention deleted what was to be read: it is left out").
				Msg("the log does not have the offset any more: going on at its start")
			return start[tp], nil
		},
	}
	var mu sync.Mutex // brokers are read side by side
	passed := make(map[TopicPartition]bool)
	err := c.Fetch(ctx, open, options, func(_ context.Context, f *Fetched) error {
		mu.Lock()
		defer mu.Unlock()
		if passed[f.TopicPartition] {
			return nil
		}
		end, bounded := to[f.TopicPartition]
		for i := range f.Records {
			if bounded && f.Records[i].Offset >= end {
				break
			}
			if err := take(f.TopicPartition, &f.Records[i]); err != nil {
				return err
			}
		}
		if bounded && f.Next >= end {
			passed[f.TopicPartition] = true
			if unread--; unread == 0 {
				return errReadToEnd
			}
		}
		return nil
	})
	if errors.Is(err, errReadToEnd) {
		return nil
	}
	return err
}
