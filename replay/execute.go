package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Summary says what was done.
type Summary struct {
	ID    string `json:"id"`
	Topic string `json:"topic"`
	To    string `json:"to"`
	// Done: nothing is left. Else the replay can be resumed.
	Done bool `json:"done"`
	// Records were to be published, Published were; PublishedBefore were by earlier runs.
	Records         int64 `json:"records"`
	Published       int64 `json:"published"`
	PublishedBefore int64 `json:"published_before"`
	// TooOften were left out because they were replayed so often already, by this run and by earlier ones; Unfit, by this run,
	// because they can't be replayed.
	TooOften       Places `json:"replayed_too_often"`
	Unfit          Places `json:"unfit"`
	TooOftenBefore int64  `json:"replayed_too_often_before,omitempty"`
	// Lost counts the offsets that were deleted before they were read.
	Lost             int64   `json:"lost"`
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
}

// ErrInterrupted says that a replay was told to stop: it can be resumed.
var ErrInterrupted = errors.New("interrupted")

// grace is how long what is being published may take once the replay was told to stop.
const grace = 10 * time.Second

// Execute publishes the records, and says how far it came, whether or not there is an error. When ctx ends it completes the
// batch that is being published and returns ErrInterrupted. It is called once.
func (r *Replay) Execute(ctx context.Context) (Summary, error) {
	x := &execution{Replay: r, began: time.Now(), touched: make(map[broker.TopicPartition]bool)}
	x.summary = Summary{ID: r.id, Topic: r.selection.Topic, To: r.selection.To, Records: r.plan.Records, TooOften: newPlaces(), Unfit: newPlaces()}
	err := x.run(ctx)
	s := &x.summary
	s.Done, s.Seconds = err == nil, time.Since(x.began).Seconds()
	s.RecordsPerSecond = float64(s.Published) / s.Seconds
	switch {
	case err != nil && ctx.Err() != nil:
		err = ErrInterrupted
	case errors.Is(err, broker.ErrFenced):
		err = fmt.Errorf("another process goes on with replay %s, or the brokers lost sight of this one: %w", r.id, err)
	}
	return *s, err
}

// execution is one run of a replay: records are read and gathered into batches while the batch before is published.
type execution struct {
	*Replay
	began     time.Time
	summary   Summary
	publisher *publisher
	target    broker.Partitioner

	// Of the reader: the batch that is filled, the partitions that moved since the last one, and what headers are made of.
	batch   *batch
	touched map[broker.TopicPartition]bool
	headers []schemas.Header
	full    chan *batch
	spare   chan *batch
}

// batch is what is published at once.
type batch struct {
	records broker.Records
	bytes   int
	offsets map[broker.TopicPartition]broker.Offset
}

const (
	// A batch is published when it has so many records or bytes.
	batchRecords = 5000
	batchBytes   = 4 << 20
	// batchTime is how long a batch is gathered for where a rate is set, so that it is kept evenly.
	batchTime = 200 * time.Millisecond
	// One batch is filled, one waits, one is published.
	batches = 3
)

func (x *execution) run(ctx context.Context) error {
	// What is being published outlasts ctx a little.
	publishing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			giveUp()
		case <-publishing.Done():
		}
	})()
	if err := x.begin(ctx, publishing); err != nil {
		return err
	}
	x.full, x.spare = make(chan *batch), make(chan *batch, batches)
	for range batches {
		x.spare <- &batch{offsets: make(map[broker.TopicPartition]broker.Offset)}
	}
	reading, stop := context.WithCancel(ctx)
	read := make(chan error, 1)
	go func() {
		defer close(x.full)
		read <- x.read(reading)
	}()
	err := x.publishAll(ctx, publishing)
	stop()
	for range x.full { // until the reader has ended
	}
	if err != nil {
		return err
	}
	return <-read
}

// begin takes the replay over from whoever had it, and commits what it takes to resume it.
func (x *execution) begin(ctx, publishing context.Context) error {
	x.publisher = newPublisher(x.config, x.cluster, groupPrefix+x.id)
	if err := x.publisher.begin(ctx); err != nil {
		return err
	}
	count, err := x.cluster.PartitionCount(ctx, x.selection.To)
	if err != nil {
		return err
	}
	x.target = broker.NewPartitioner(count)
	if x.resumed {
		// Now that the last run can't publish any more, it has come as far as it will.
		spans, _, err := committed(ctx, x.config, x.id)
		if err != nil {
			return err
		}
		x.spans = spans
	}
	for _, s := range x.spans {
		x.summary.PublishedBefore += s.published
		x.summary.TooOftenBefore += s.tooOften
	}
	if x.resumed || len(x.spans) == 0 {
		return nil
	}
	first := &batch{offsets: make(map[broker.TopicPartition]broker.Offset, len(x.spans))}
	for tp, s := range x.spans {
		if first.offsets[tp], err = s.offset(&x.selection); err != nil {
			return err
		}
	}
	return x.publisher.publish(publishing, first)
}

// read fills batches. It ends when all was read or ctx ends.
func (x *execution) read(ctx context.Context) error {
	positions, ends := make(map[broker.TopicPartition]int64), make(map[broker.TopicPartition]int64)
	for tp, s := range x.spans {
		positions[tp], ends[tp] = s.next, s.end
	}
	var err error
	if x.batch, err = x.nextBatch(ctx); err != nil {
		return err
	}
	reading := reading{cluster: x.cluster, log: x.config.Log, take: x.take}
	if err := reading.run(ctx, positions, ends); err != nil {
		return err
	}
	x.summary.Lost = reading.lost
	return x.flush(ctx)
}

// take gathers a partition's records.
func (x *execution) take(ctx context.Context, tp broker.TopicPartition, records []broker.Record, next int64) error {
	s := x.spans[tp]
	for i := range records {
		r := &records[i]
		f, v := x.picker.pick(tp.Partition, r, false)
		switch v {
		case tooOften:
			s.tooOften++
			x.summary.TooOften.add(tp.Partition, r.Offset)
		case unfit:
			x.summary.Unfit.add(tp.Partition, r.Offset)
		case picked:
			s.published++
			x.append(tp, r, f.replays)
		}
		s.next, x.touched[tp] = r.Offset+1, true
		if x.isFull() {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
	}
	s.next, x.touched[tp] = next, true
	return nil
}

func (x *execution) append(tp broker.TopicPartition, r *broker.Record, replays int) {
	from := schemas.Origin{Topic: tp.Topic, Partition: tp.Partition, Offset: r.Offset}
	x.headers = appendHeaders(x.headers[:0], r.Headers, []byte(x.id), replays+1, from)
	to := broker.TopicPartition{Topic: x.selection.To, Partition: x.target.Partition(r.Key)}
	x.batch.records.Append(to, r.Key, r.Value, x.headers, time.Now())
	x.batch.bytes += schemas.RecordBytes(r.Key, r.Value, x.headers)
}

func (x *execution) isFull() bool {
	return x.batch.records.Len() >= x.batchSize() || x.batch.bytes >= batchBytes
}

// batchSize is how many records a batch has.
func (x *execution) batchSize() int {
	if x.selection.Rate == 0 {
		return batchRecords
	}
	return int(min(batchRecords, max(1, x.selection.Rate*batchTime.Seconds())))
}

// flush hands the batch over, with how far each partition has come by it.
func (x *execution) flush(ctx context.Context) error {
	if len(x.touched) == 0 {
		return nil
	}
	for tp := range x.touched {
		o, err := x.spans[tp].offset(&x.selection)
		if err != nil {
			return err
		}
		x.batch.offsets[tp] = o
	}
	clear(x.touched)
	select {
	case x.full <- x.batch:
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	x.batch, err = x.nextBatch(ctx)
	return err
}

func (x *execution) nextBatch(ctx context.Context) (*batch, error) {
	select {
	case b := <-x.spare:
		b.records.Reset()
		b.bytes = 0
		clear(b.offsets)
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// publishAll publishes batches until the reader has no more, or ctx ends: then it returns its error.
func (x *execution) publishAll(ctx, publishing context.Context) error {
	limit := x.limiter()
	for {
		var b *batch
		select {
		case next, ok := <-x.full:
			if !ok {
				return nil
			}
			b = next
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := limit.WaitN(ctx, b.records.Len()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := x.publisher.publish(publishing, b); err != nil {
			return err
		}
		x.summary.Published += int64(b.records.Len())
		x.config.Progress(Publishing, x.summary.Published, x.summary.Records)
		x.spare <- b
	}
}

// limiter keeps the rate. It begins empty, and lets nothing but a short delay be made up for.
func (x *execution) limiter() *rate.Limiter {
	if x.selection.Rate == 0 {
		return rate.NewLimiter(rate.Inf, math.MaxInt)
	}
	burst := 2 * x.batchSize()
	limit := rate.NewLimiter(rate.Limit(x.selection.Rate), burst)
	limit.AllowN(time.Now(), burst)
	return limit
}
