package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
)

// readToEndBytes bounds what is held of a topic that is read whole.
const readToEndBytes = 8 << 20

// errReadToEnd ends the fetch: everything was read.
var errReadToEnd = errors.New("read to the end")

// ReadToEnd hands every committed record of the partitions to take, one at a time, from each one's start to the high
// watermark that it has at the call; it returns when the last stable offset has passed them all.
func (c *Cluster) ReadToEnd(ctx context.Context, tps []TopicPartition, log zerolog.Logger, take func(TopicPartition, *Record) error) error {
	return c.ReadToEndTelling(ctx, tps, log, take, func(float64) {})
}

// ReadToEndTelling is ReadToEnd and tells, one call at a time, which share of the offsets has been read: more than 0, and 1 at
// the end.
func (c *Cluster) ReadToEndTelling(
	ctx context.Context, tps []TopicPartition, log zerolog.Logger, take func(TopicPartition, *Record) error, progress func(share float64),
) error {
	ends, err := c.HighWatermarks(ctx, tps)
	if err != nil {
		return err
	}
	positions, err := c.Earliest(ctx, tps)
	if err != nil {
		return err
	}
	total := int64(0)
	read := make(map[TopicPartition]int64)
	for tp, end := range ends {
		if positions[tp] >= end {
			delete(positions, tp)
			continue
		}
		read[tp] = positions[tp]
		total += end - positions[tp]
	}
	if len(positions) == 0 {
		return nil
	}
	var mu sync.Mutex // brokers are read side by side
	open, done := len(positions), int64(0)
	options := FetchOptions{
		MaxBytes: readToEndBytes, PartitionMaxBytes: readToEndBytes, Log: log,
		OutOfRange: func(_ context.Context, tp TopicPartition, position int64) (int64, error) {
			return 0, &handlerError{fmt.Errorf("%s: offset %d was deleted while it was read", tp, position)}
		},
	}
	passed := make(map[TopicPartition]bool)
	err = c.Fetch(ctx, positions, options, func(_ context.Context, f *Fetched) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range f.Records {
			// What came after the call is read too, should it come along: the log's last word is never wrong.
			if err := take(f.TopicPartition, &f.Records[i]); err != nil {
				return err
			}
		}
		if next := min(f.Next, ends[f.TopicPartition]); next > read[f.TopicPartition] {
			done += next - read[f.TopicPartition]
			read[f.TopicPartition] = next
			progress(float64(done) / float64(total))
		}
		if f.Next >= ends[f.TopicPartition] && !passed[f.TopicPartition] {
			passed[f.TopicPartition] = true
			if open--; open == 0 {
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
