package bench

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/schemas"
)

// answers counts the terminal events as they come.
type answers struct {
	mu          sync.Mutex
	count       int
	first, last time.Time     // since mark
	moved       chan struct{} // has a value when the count moved since await looked
	ended       chan error
}

// followAnswers counts the results topic from its start until ctx ends.
func followAnswers(ctx context.Context, cluster *broker.Cluster, topic string) *answers {
	a := &answers{moved: make(chan struct{}, 1), ended: make(chan error, 1)}
	from := make(map[broker.TopicPartition]int64)
	for p := range int32(partitions) {
		from[broker.TopicPartition{Topic: topic, Partition: p}] = 0
	}
	go func() {
		a.ended <- cluster.Fetch(ctx, from, broker.FetchOptions{
			MaxBytes: 8 << 20, PartitionMaxBytes: 1 << 20, Log: zerolog.Nop(),
		}, a.take)
	}()
	return a
}

func (a *answers) take(_ context.Context, f *broker.Fetched) error {
	n := 0
	for i := range f.Records {
		eventType, _ := schemas.LastHeader(f.Records[i].Headers, schemas.HeaderType)
		if t := string(eventType); t == schemas.TypeChecked || t == schemas.TypeFailed {
			n++
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count += n
	a.last = time.Now()
	if a.first.IsZero() {
		a.first = a.last
	}
	select {
	case a.moved <- struct{}{}:
	default:
	}
	return nil
}

// mark begins to take the time at the next answer.
func (a *answers) mark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = time.Time{}
}

// took is the time from the first answer since mark to the last.
func (a *answers) took() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last.Sub(a.first)
}

// await returns when there are n answers in all.
func (a *answers) await(ctx context.Context, n int) error {
	for {
		a.mu.Lock()
		enough := a.count >= n
		a.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-a.moved:
		case err := <-a.ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
