package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
)

// span is what a replay concerns of a partition: from begin up to end, which is no longer in it, and how far it has come. Up to
// whole it looks for later records of the same conversations: end lies before that when the number of records is bounded.
type span struct {
	begin, next, end, whole int64
	// published and tooOften count the records before next.
	published, tooOften int64
}

const (
	// What one fetch brings: all of it is held at once.
	readBytes          = 16 << 20
	readPartitionBytes = 4 << 20
	// How long a broker may wait for records: what is read is there already.
	readWait = 100 * time.Millisecond
)

// reading reads parts of partitions.
type reading struct {
	cluster *broker.Cluster
	log     zerolog.Logger
	// take is handed the records of a partition in order, and where it is read up to; one call at a time. They are valid
	// until it returns.
	take func(ctx context.Context, tp broker.TopicPartition, records []broker.Record, next int64) error

	// ends are those of the partitions that were not read to their end yet. Brokers are read side by side.
	mu   sync.Mutex
	ends map[broker.TopicPartition]int64
	// lost counts the offsets that were deleted before they were read.
	lost int64
}

var errAllRead = errors.New("all was read")

// run reads from each position up to the end. Records of open transactions are not among them: an end is a last stable
// offset.
func (r *reading) run(ctx context.Context, from, ends map[broker.TopicPartition]int64) error {
	open := make(map[broker.TopicPartition]int64)
	r.ends = make(map[broker.TopicPartition]int64)
	for tp, position := range from {
		if position < ends[tp] {
			open[tp], r.ends[tp] = position, ends[tp]
		}
	}
	if len(open) == 0 {
		return nil
	}
	err := r.cluster.Fetch(ctx, open, broker.FetchOptions{
		MaxBytes: readBytes, PartitionMaxBytes: readPartitionBytes, Wanted: r.wanted, OutOfRange: r.outOfRange, Log: r.log,
	}, r.handle)
	if errors.Is(err, errAllRead) {
		return nil
	}
	return err
}

// wanted leaves out what was read to its end.
func (r *reading) wanted(ctx context.Context, tps []broker.TopicPartition) ([]broker.TopicPartition, time.Duration, error) {
	r.mu.Lock()
	all := len(r.ends) == 0
	tps = slices.DeleteFunc(tps, func(tp broker.TopicPartition) bool { _, open := r.ends[tp]; return !open })
	r.mu.Unlock()
	switch {
	case all:
		return nil, 0, errAllRead
	case len(tps) == 0: // of this broker's: another's are still to be read
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	return tps, readWait, nil
}

func (r *reading) handle(ctx context.Context, f *broker.Fetched) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, open := r.ends[f.TopicPartition]
	if !open {
		return nil
	}
	records := f.Records
	for len(records) > 0 && records[len(records)-1].Offset >= end {
		records = records[:len(records)-1]
	}
	if err := r.take(ctx, f.TopicPartition, records, min(f.Next, end)); err != nil {
		return err
	}
	return r.passed(f.TopicPartition, f.Next)
}

// passed notes how far a partition was read. It is called with the lock held.
func (r *reading) passed(tp broker.TopicPartition, next int64) error {
	if next < r.ends[tp] {
		return nil
	}
	delete(r.ends, tp)
	if len(r.ends) == 0 {
		return errAllRead
	}
	return nil
}

// outOfRange goes on at the log's start when what stood before it was deleted.
func (r *reading) outOfRange(ctx context.Context, tp broker.TopicPartition, position int64) (int64, error) {
	starts, err := r.cluster.Earliest(ctx, []broker.TopicPartition{tp})
	if err != nil {
		return 0, err
	}
	start := starts[tp]
	r.mu.Lock()
	defer r.mu.Unlock()
	end, open := r.ends[tp]
	switch {
	case !open:
		return position, nil
	case start <= position:
		return 0, fmt.Errorf("%w: %s ends before offset %d", broker.ErrLogReplaced, tp, position)
	}
	next := min(start, end)
	r.lost += next - position
	r.log.Warn().Stringer("partition", tp).Int64("position", position).Int64("log_start", start).
		Str("hint", "retention deleted what was to be replayed: it is left out").
		Msg("records were deleted before they were read: going on at the log's start")
	if err := r.take(ctx, tp, nil, next); err != nil {
		return 0, err
	}
	if err := r.passed(tp, next); err != nil {
		return start, nil // the next look at what is wanted finds that all was read
	}
	return start, nil
}
