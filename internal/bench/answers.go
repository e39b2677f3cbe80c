package bench

import (
	"bytes"
	"context"
	"slices"
	"strconv"
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

	// sent has when each request was asked, took how long its answer took, by its number; they are kept when timed.
	timed bool
	sent  []time.Time
	took  []time.Duration
}

// followAnswers counts the results topic from its start until ctx ends.
func followAnswers(ctx context.Context, cluster *broker.Cluster, topic string, partitions int32) *answers {
	a := &answers{moved: make(chan struct{}, 1), ended: make(chan error, 1)}
	from := make(map[broker.TopicPartition]int64)
	for p := range partitions {
		from[broker.TopicPartition{Topic: topic, Partition: p}] = 0
	}
	go func() {
		a.ended <- cluster.Fetch(ctx, from, broker.FetchOptions{
			MaxBytes: 8 << 20, PartitionMaxBytes: 1 << 20, Log: zerolog.Nop(),
		}, a.take)
	}()
	return a
}

// asked notes that requests are about to be published.
func (a *answers) asked(first, end int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.timed {
		return
	}
	for range end - len(a.sent) {
		a.sent, a.took = append(a.sent, time.Time{}), append(a.took, 0)
	}
	now := time.Now()
	for i := first; i < end; i++ {
		a.sent[i] = now
	}
}

func (a *answers) take(_ context.Context, f *broker.Fetched) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = time.Now()
	if a.first.IsZero() {
		a.first = a.last
	}
	for i := range f.Records {
		eventType, _ := schemas.LastHeader(f.Records[i].Headers, schemas.HeaderType)
		if t := string(eventType); t != schemas.TypeChecked && t != schemas.TypeFailed {
			continue
		}
		a.count++
		if a.timed {
			if n := number(f.Records[i].Value); n < len(a.sent) {
				a.took[n] = a.last.Sub(a.sent[n])
			}
		}
	}
	select {
	case a.moved <- struct{}{}:
	default:
	}
	return nil
}

// number is that of the request that an event answers.
func number(event []byte) int {
	_, rest, _ := bytes.Cut(event, []byte(`"request":{"id":"`+requestID))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	return n
}

// p99 is what 99 of 100 of the requests that are meant took at most.
func (a *answers) p99(first, end int, meant func(n int) bool) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var took []time.Duration
	for n := first; n < end; n++ {
		if meant(n) {
			took = append(took, a.took[n])
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// longest is what the request took that took longest.
func (a *answers) longest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Max(a.took)
}

// mark begins to take the time at the next answer.
func (a *answers) mark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = time.Time{}
}

// between is the time from the first answer since mark to the last.
func (a *answers) between() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last.Sub(a.first)
}

// soFar is how many answers there are in all.
func (a *answers) soFar() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count
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
