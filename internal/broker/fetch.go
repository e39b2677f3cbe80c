package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// FetchOptions bound a fetch.
type FetchOptions struct {
	// MaxBytes bounds a response, PartitionMaxBytes each partition's share; a first batch larger than that comes whole.
	MaxBytes, PartitionMaxBytes int32
	// Wanted blocks until records of at least one of the partitions are wanted, and returns those that are, and how long
	// the broker may wait for records of them: until others may be wanted too. An error ends the fetch. nil: all of them,
	// always.
	Wanted func(ctx context.Context, tps []TopicPartition) (wanted []TopicPartition, wait time.Duration, err error)
	// OutOfRange says where to go on when a partition's log does not hold the position. ErrLogReplaced ends the fetch; other
	// errors pass.
	OutOfRange func(ctx context.Context, tp TopicPartition, position int64) (int64, error)
	Log        zerolog.Logger
}

const (
	// A broker answers a fetch at once when there is a record, else after so long. It bounds how long a stop takes too.
	fetchMaxWait = 500 * time.Millisecond
	// How long partitions without a leader are left alone.
	leaderlessPause = metadataTTL
)

// Fetched is what one fetch brought of one partition. Its records are valid until the handler returns.
type Fetched struct {
	TopicPartition
	Records []Record
	// Next is the offset behind all that was read, whether or not there were records in it. The handler may set it back: it
	// is where the next fetch begins.
	Next int64
	// More tells that the partition has more to read, Followed that the same response brought records of other partitions,
	// which are handed on next.
	More, Followed bool
}

// Fetch reads the committed records of the partitions from the given positions on, many of them in one request, and
// hands them to handle: in order for each partition, from one goroutine for each broker. It goes on until ctx ends or
// handle returns an error, which it then returns; brokers that fail, leaders that move and topics that are absent are waited
// for, only a Permanent error is returned too. The context of handle is ctx: whatever a broker does, what was handed over is
// handed over once.
func (c *Cluster) Fetch(ctx context.Context, from map[TopicPartition]int64, o FetchOptions, handle func(context.Context, *Fetched) error) error {
	f := &fetch{cluster: c, options: o, handle: handle, next: make(map[TopicPartition]*position, len(from))}
	tps := make([]TopicPartition, 0, len(from))
	for tp, offset := range from {
		f.next[tp] = &position{offset: offset}
		tps = append(tps, tp)
	}
	if len(tps) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(metadataTTL), backoff.WithMaxElapsedTime(0))
	var failing time.Time // since when no broker has answered, but for the time that was spent on what came
	for {
		began := time.Now()
		err := f.run(ctx, tps)
		if answered := time.Unix(0, f.answered.Load()); !answered.Before(began) {
			failing = time.Now()
		} else if failing.IsZero() {
			failing = began
		}
		var stop *handlerError
		switch {
		case errors.As(err, &stop):
			return stop.err
		case ctx.Err() != nil:
			return ctx.Err()
		case Permanent(err):
			return err
		case err == nil:
			continue // partitions got a leader
		case c.patience > 0 && time.Since(failing) > c.patience:
			return fmt.Errorf("nothing could be fetched for %s: %w", c.patience, err)
		}
		if time.Since(began) > 2*metadataTTL {
			pause.Reset()
		}
		o.Log.Warn().Err(err).Str("hint", hintPasses).Msg("fetching is interrupted, trying again")
		if errors.Is(err, errStuck) {
			c.transport.CloseIdleConnections() // whatever is wrong there, new ones may not have it
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

type fetch struct {
	cluster *Cluster
	options FetchOptions
	handle  func(context.Context, *Fetched) error
	// next has each partition's position. A partition is with one broker's goroutine at a time.
	next map[TopicPartition]*position
	// answered is when a broker last answered, in unix ns.
	answered atomic.Int64
}

// position is where a partition is read.
type position struct {
	offset int64
	// stuck is since when there is more to read than is handed out; zero: there is not.
	stuck time.Time
}

var errStuck = errors.New("the broker hands out no records")

// hintPasses is the hint of what ends without a person.
const hintPasses = "it goes on by itself; if it lasts, look at the brokers"

// stuckTimeout is how long a partition may stand still although there is more to read.
const stuckTimeout = 30 * time.Second

// watch notes that a fetch did not get a partition on. It returns an error when that has been so for too long, though there
// are committed records.
func (p *position) watch(tp TopicPartition, highWatermark, lastStable int64, log *zerolog.Logger) error {
	switch {
	case highWatermark <= p.offset:
		p.moved()
		return nil
	case p.stuck.IsZero():
		p.stuck = time.Now()
		return nil
	case time.Since(p.stuck) < stuckTimeout:
		return nil
	case lastStable > p.offset:
		p.moved()
		return fmt.Errorf("%s from offset %d on: %w for %s, though there are up to %d", tp, p.offset, errStuck, stuckTimeout, lastStable)
	default:
		log.Warn().Stringer("partition", tp).Int64("position", p.offset).Int64("records", highWatermark-p.offset).Dur("open_for", time.Since(p.stuck)).
			Str("hint", "find the producer that crashed or hangs: the brokers end its transaction after its transaction.timeout.ms; one that never ends: kafka-transactions.sh abort").
			Msg("a transaction of another producer has been open for long: what is behind it waits")
	}
	return nil
}

func (p *position) moved() { p.stuck = time.Time{} }

// ErrLogReplaced says that a partition has another log than before, so that what is known of its offsets is void.
var ErrLogReplaced = errors.New("a partition's log was replaced")

// handlerError ends the fetch: it is not the cluster's.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }

// run fetches while the leaders stay where they are.
func (f *fetch) run(ctx context.Context, tps []TopicPartition) error {
	led, absent, err := f.cluster.byLeader(ctx, tps)
	if err != nil {
		return err
	}
	g, fetching := errgroup.WithContext(ctx)
	for id, tps := range led {
		g.Go(func() error { return f.runBroker(ctx, fetching, id, tps) })
	}
	if absent != nil {
		if errors.Is(absent, kafka.UnknownTopicOrPartition) {
			f.options.Log.Warn().Err(absent).Str("hint", "make it again; if it was deleted on purpose, restart when it is no longer configured").
				Msg("a topic that is read does not exist: it is waited for, the others go on")
		}
		g.Go(func() error {
			select {
			case <-time.After(leaderlessPause):
				return errLeaderless
			case <-fetching.Done():
				return nil
			}
		})
	}
	if err := g.Wait(); !errors.Is(err, errLeaderless) {
		return err
	}
	return nil
}

var errLeaderless = errors.New("partitions without a leader")

// runBroker fetches from one broker while fetching lasts. What it got is handed on even then, while ctx lasts.
func (f *fetch) runBroker(ctx, fetching context.Context, id int32, tps []TopicPartition) error {
	var b buffers
	var reader batchReader
	for turn := 0; ; turn++ {
		// Whoever comes first in a request is served first when the response is full: take turns.
		first := turn % len(tps)
		wanted, maxWait := slices.Concat(tps[first:], tps[:first]), fetchMaxWait
		if f.options.Wanted != nil {
			var err error
			if wanted, maxWait, err = f.options.Wanted(fetching, wanted); err != nil {
				return &handlerError{err}
			}
			for _, tp := range tps {
				if !slices.Contains(wanted, tp) {
					f.next[tp].moved() // it stands still for a reason
				}
			}
		}
		res, err := f.request(fetching, id, wanted, min(maxWait, fetchMaxWait), &b)
		if err != nil {
			return err
		}
		filled := 0
		for _, t := range res.Topics {
			for i := range t.Partitions {
				if len(t.Partitions[i].RecordBatches) > 0 {
					filled++
				}
			}
		}
		for _, t := range res.Topics {
			for i := range t.Partitions {
				if len(t.Partitions[i].RecordBatches) > 0 {
					filled--
				}
				tp := TopicPartition{t.Topic, t.Partitions[i].Partition}
				if err := f.take(ctx, tp, &t.Partitions[i], filled > 0, &reader); err != nil {
					return err
				}
			}
		}
	}
}

func (f *fetch) request(ctx context.Context, id int32, tps []TopicPartition, maxWait time.Duration, b *buffers) (*kmsg.FetchResponse, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(maxWait / time.Millisecond)
	req.MinBytes = 1
	req.MaxBytes = f.options.MaxBytes
	req.IsolationLevel = 1 // read_committed
	req.SessionEpoch = -1  // no fetch session: each request is whole
	for _, tp := range tps {
		place := slices.IndexFunc(req.Topics, func(t kmsg.FetchRequestTopic) bool { return t.Topic == tp.Topic })
		if place < 0 {
			place = len(req.Topics)
			t := kmsg.NewFetchRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition = tp.Partition
		p.FetchOffset = f.next[tp].offset
		p.PartitionMaxBytes = f.options.PartitionMaxBytes
		t := &req.Topics[place]
		t.Partitions = append(t.Partitions, p)
	}
	r, err := f.cluster.send(ctx, brokerID(id), req, fetchVersion, b)
	if err != nil {
		return nil, err
	}
	res := r.(*kmsg.FetchResponse)
	if res.ErrorCode != 0 {
		return nil, fmt.Errorf("fetch from broker %d: %w", id, kafka.Error(res.ErrorCode))
	}
	f.answered.Store(time.Now().UnixNano())
	return res, nil
}

// take hands one partition's records on; followed tells that others of the same response come next.
func (f *fetch) take(ctx context.Context, tp TopicPartition, p *kmsg.FetchResponseTopicPartition, followed bool, reader *batchReader) error {
	next := f.next[tp]
	if next == nil {
		return fmt.Errorf("fetch: the broker's answer has %s, which nobody asked for", tp)
	}
	switch err := kafka.Error(p.ErrorCode); {
	case err == kafka.OffsetOutOfRange:
		position, err := f.options.OutOfRange(ctx, tp, next.offset)
		switch {
		case err == nil:
			next.offset = position
		case errors.Is(err, ErrLogReplaced):
			return &handlerError{err}
		}
		return err
	case p.ErrorCode != 0:
		return fmt.Errorf("fetch %s: %w", tp, err)
	}
	aborted := make([]abortedTransaction, len(p.AbortedTransactions))
	for i, a := range p.AbortedTransactions {
		aborted[i] = abortedTransaction{a.ProducerID, a.FirstOffset}
	}
	reader.reset(p.RecordBatches, next.offset, aborted)
	if err := reader.read(); err != nil {
		return fmt.Errorf("fetch %s at offset %d: %w", tp, reader.next, err)
	}
	if reader.next == next.offset {
		return next.watch(tp, p.HighWatermark, p.LastStableOffset, &f.options.Log)
	}
	next.moved()
	fetched := Fetched{
		TopicPartition: tp, Records: reader.records, Next: reader.next,
		More: reader.next < p.LastStableOffset, Followed: followed,
	}
	if err := f.handle(ctx, &fetched); err != nil {
		return &handlerError{err}
	}
	next.offset = fetched.Next
	return nil
}
