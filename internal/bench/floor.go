package bench

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// floorBatch is how many records the floor writes at once.
const floorBatch = 1000

// Floor moves n records from one topic to another with kafka-go's own Reader and Writer, a reader a partition: no JSON, no
// API, no state. It is what any daemon in the middle pays at the least with this library. It returns how long the records
// took.
func Floor(ctx context.Context, brokers []string, from, to string, n int) (time.Duration, error) {
	conn, err := kafka.DialContext(ctx, "tcp", brokers[0])
	if err != nil {
		return 0, err
	}
	partitions, err := conn.ReadPartitions(from)
	if err := errors.Join(err, conn.Close()); err != nil {
		return 0, err
	}
	w := &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: to, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		BatchSize: floorBatch, BatchTimeout: time.Millisecond,
	}
	defer w.Close() //nolint:errcheck // every write was waited for
	ctx, done := context.WithCancel(ctx)
	defer done()
	moved := make(chan int)
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range partitions {
		g.Go(func() error { return movePartition(ctx, brokers, from, p.ID, w, moved) })
	}
	for total := 0; total < n; {
		select {
		case count := <-moved:
			total += count
		case <-ctx.Done():
			return 0, g.Wait()
		}
	}
	took := time.Since(began)
	done()
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return 0, err
	}
	return took, nil
}

func movePartition(ctx context.Context, brokers []string, topic string, partition int, w *kafka.Writer, moved chan<- int) error {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 1 << 20,
		MaxWait: 100 * time.Millisecond, QueueCapacity: floorBatch,
	})
	defer r.Close() //nolint:errcheck // it was only read from
	if err := r.SetOffset(kafka.FirstOffset); err != nil {
		return err
	}
	batch := make([]kafka.Message, 0, floorBatch)
	for {
		// What has come is written at once; a full batch is not waited for.
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(batch) > 0 {
			wait, cancel = context.WithTimeout(ctx, 5*time.Millisecond)
		}
		m, err := r.ReadMessage(wait)
		timedOut := wait.Err() != nil
		cancel()
		switch {
		case err == nil:
			batch = append(batch, kafka.Message{Key: m.Key, Value: m.Value})
		case ctx.Err() != nil: // the floor is done; the wait may have timed out just then
			return ctx.Err()
		case !timedOut:
			return err
		}
		if len(batch) == floorBatch || err != nil {
			if err := w.WriteMessages(ctx, batch...); err != nil {
				return err
			}
			select {
			case moved <- len(batch):
			case <-ctx.Done():
				return ctx.Err()
			}
			batch = batch[:0]
		}
	}
}
