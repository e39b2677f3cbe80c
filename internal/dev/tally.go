package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"consentd/internal/broker"
	"consentd/schemas"
)

// event is what the tally looks at in a result.
type event struct {
	Type           string         `json:"type"`
	CorpID         string         `json:"corp_id"`
	Change         schemas.Change `json:"change"`
	OpenUserID     string         `json:"open_userid"`
	ExternalUserID string         `json:"external_userid"`
	Error          struct {
		Class schemas.Class `json:"class"`
	} `json:"error"`
}

// counts are events by what they say. Their sums must match what was asked for.
type counts struct {
	Checked int
	Failed  map[schemas.Class]int
	Changed map[schemas.Change]int
}

func newCounts() counts {
	return counts{Failed: make(map[schemas.Class]int), Changed: make(map[schemas.Change]int)}
}

func (c *counts) terminal() int { return c.Checked + sum(c.Failed) }

func sum[K comparable](m map[K]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

// sample is a record as it was read, kept to be shown.
type sample struct {
	at      string
	key     string
	value   string
	headers []string
}

// tally counts the results topic as they come, and keeps the first record of each kind. Safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	counts  counts
	samples map[string]sample
	changed chan struct{} // has a value when the counts moved since wait looked
}

func newTally() *tally {
	return &tally{counts: newCounts(), samples: make(map[string]sample), changed: make(chan struct{}, 1)}
}

// take is a fetch's handler.
func (t *tally) take(_ context.Context, f *broker.Fetched) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range f.Records {
		r := &f.Records[i]
		var e event
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return fmt.Errorf("result %s at offset %d: %w", f.TopicPartition, r.Offset, err)
		}
		kind := e.Type
		switch e.Type {
		case schemas.TypeChecked:
			t.counts.Checked++
		case schemas.TypeFailed:
			t.counts.Failed[e.Error.Class]++
			kind += " " + string(e.Error.Class)
		case schemas.TypeChanged:
			t.counts.Changed[e.Change]++
			kind += " " + string(e.Change)
		}
		if _, ok := t.samples[kind]; !ok {
			t.samples[kind] = newSample(f.TopicPartition, r)
		}
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
	return nil
}

func newSample(tp broker.TopicPartition, r *broker.Record) sample {
	s := sample{at: fmt.Sprintf("%s offset %d", tp, r.Offset), key: string(r.Key), value: string(r.Value)}
	for _, h := range r.Headers {
		s.headers = append(s.headers, fmt.Sprintf("%s: %s", h.Key, h.Value))
	}
	return s
}

// reset returns the counts so far and begins anew.
func (t *tally) reset() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts
	t.counts = newCounts()
	return c
}

// wait returns when the counts satisfy enough, or with the error of ctx.
func (t *tally) wait(ctx context.Context, enough func(*counts) bool) error {
	for {
		t.mu.Lock()
		done := enough(&t.counts)
		t.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-t.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
