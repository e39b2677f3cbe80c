package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"consentd/checker"
	"consentd/internal/broker"
	"consentd/schemas"
)

// tooLargeBytes is how much of a request that is too large its dead letter keeps: of the value the beginning, key and
// headers when they are not larger than that.
const tooLargeBytes = 64 << 10

// intake is what one fetch brought of a partition, decoded, on its way to be taken up.
type intake struct {
	tp       broker.TopicPartition
	requests []*checker.Request
	offsets  []int64 // of each request's record
	next     int64   // the offset behind all of them
	place    int     // of the first that is not taken up
	// more is known to come: of the partition, or of others that were fetched with it.
	more, followed bool
}

// room tells the fetching goroutines which partitions there is room for: those of which nothing fetched is waiting.
type room struct {
	mu     sync.Mutex
	freed  sync.Cond
	filled map[broker.TopicPartition]bool
}

func newRoom() *room {
	r := &room{filled: make(map[broker.TopicPartition]bool)}
	r.freed.L = &r.mu
	return r
}

func (r *room) set(tp broker.TopicPartition, filled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if filled {
		r.filled[tp] = true
		return
	}
	delete(r.filled, tp)
	r.freed.Broadcast()
}

// wanted blocks until at least one of the partitions is free.
func (r *room) wanted(ctx context.Context, tps []broker.TopicPartition) ([]broker.TopicPartition, error) {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.freed.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var free []broker.TopicPartition
		for _, tp := range tps {
			if !r.filled[tp] {
				free = append(free, tp)
			}
		}
		if len(free) > 0 {
			return free, nil
		}
		r.freed.Wait()
	}
}

// Wanted blocks until all that was fetched of at least one of the partitions is taken up, and returns those. It may be
// called from several goroutines.
func (p *Pipeline) Wanted(ctx context.Context, tps []broker.TopicPartition) ([]broker.TopicPartition, error) {
	return p.room.wanted(ctx, tps)
}

// Take decodes what was fetched of a partition that was Wanted and hands it to Run. It may be called from several
// goroutines, and keeps nothing of f.
func (p *Pipeline) Take(ctx context.Context, f *broker.Fetched) error {
	in := &intake{
		tp: f.TopicPartition, next: f.Next, more: f.More, followed: f.Followed,
		requests: make([]*checker.Request, len(f.Records)), offsets: make([]int64, len(f.Records)),
	}
	for i := range f.Records {
		in.requests[i] = decode(f.TopicPartition, &f.Records[i])
		in.offsets[i] = f.Records[i].Offset
	}
	p.room.set(f.TopicPartition, true)
	select {
	case p.incoming <- in:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decode makes a request of a record, whatever its bytes are.
func decode(tp broker.TopicPartition, record *broker.Record) *checker.Request {
	decoded, err := schemas.DecodeRequest(record.Key, record.Value, record.Headers)
	key, value, headers := record.Key, record.Value, record.Headers
	truncated := 0
	if schemas.RecordBytes(key, value, headers) > schemas.MaxRecordBytes {
		truncated = len(value)
		value = value[:min(len(value), tooLargeBytes)]
		if len(key) > tooLargeBytes {
			key = nil
		}
		if schemas.RecordBytes(nil, nil, headers) > tooLargeBytes {
			headers = nil
		}
	}
	r := &checker.Request{
		Request:   decoded,
		Origin:    schemas.Origin{Topic: tp.Topic, Partition: tp.Partition, Offset: record.Offset},
		Key:       bytes.Clone(key),
		Truncated: truncated,
	}
	for _, h := range headers {
		r.Headers = append(r.Headers, schemas.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	r.Size = len(decoded.Raw) + schemas.RecordBytes(r.Key, nil, r.Headers)
	if errors.As(err, &r.Invalid) {
		r.Value = bytes.Clone(value)
		r.Size += len(r.Value)
	}
	return r
}

// turn is how many requests of a partition are taken up before it is the next one's turn.
const turn = 64

// takeUp starts work on what was fetched, partition by partition in turns, as much as there is room for.
func (p *Pipeline) takeUp(now time.Time) {
	for progress := true; progress; {
		progress = false
		waiting := p.waiting
		p.waiting = p.waiting[:0]
		for _, in := range waiting {
			first := in.place
			p.takeTurn(in, now)
			progress = progress || in.place > first
			if in.place < len(in.requests) {
				p.waiting = append(p.waiting, in)
				continue
			}
			p.offsets[in.tp].Pass(in.next)
			p.touched[in.tp] = true
			p.room.set(in.tp, false)
		}
	}
}

func (p *Pipeline) takeTurn(in *intake, now time.Time) {
	offsets := p.offsets[in.tp]
	for end := min(in.place+turn, len(in.requests)); in.place < end; in.place++ {
		r := in.requests[in.place]
		weight := load{items: r.Weight(), bytes: r.Size}
		if !p.fits(weight, r.CorpID) {
			return
		}
		in.requests[in.place] = nil
		p.inFlight.add(weight)
		r.TakenAt = now
		r.Ticket = int64(offsets.Take(in.offsets[in.place]))
		p.start(r, now)
	}
}

// fits tells whether there is room for a request. Half of the room is kept for corps that have little waiting, so that one
// with a long backlog leaves the others enough to fill their batches. One request alone always fits, however large.
func (p *Pipeline) fits(weight load, corpID string) bool {
	if p.inFlight.items == 0 {
		return true
	}
	limit := load{items: p.config.MaxInFlight, bytes: p.config.MaxInFlightBytes}
	if p.checker.Supplied(corpID) {
		limit.items /= 2
		limit.bytes /= 2
	}
	return p.inFlight.items+weight.items <= limit.items && p.inFlight.bytes+weight.bytes <= limit.bytes
}

// start asks for a request's items, or answers those that need no asking.
func (p *Pipeline) start(r *checker.Request, now time.Time) {
	if r.Invalid != nil {
		p.rejectRequest(r, now)
		return
	}
	for i := range r.Items {
		if problem := r.Items[i].Problem; problem != "" {
			p.resolve(checker.Waiter{Request: r, Item: i}, failed(schemas.InvalidRequest, problem), now)
			continue
		}
		if !p.checker.Knows(r.CorpID) {
			p.resolve(checker.Waiter{Request: r, Item: i},
				failed(schemas.UnknownCorp, fmt.Sprintf("corp %s is not configured: add it to corps", r.CorpID)), now)
			continue
		}
		c := r.Conversation(i)
		p.key = c.AppendKey(p.key[:0])
		h := schemas.HashKey(p.key)
		if r.MaxAge > 0 {
			if known, ok := p.table.Get(c.Kind, h); ok && now.Sub(known.CheckedAt) <= r.MaxAge {
				p.resolve(checker.Waiter{Request: r, Item: i},
					checker.Outcome{Answer: known.Answer, Source: schemas.SourceStatus}, now)
				continue
			}
		}
		p.checker.Ask(p.calls, c, h, checker.Waiter{Request: r, Item: i}, now)
	}
}

func failed(class schemas.Class, message string) checker.Outcome {
	return checker.Outcome{Failure: &schemas.Failure{Class: class, Message: message}}
}
