package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
	"unsafe"

	"consentd/checker"
	"consentd/internal/broker"
	"consentd/schemas"
)

// What is kept of a request that is too large: the beginning of its value, a key that is not larger than maxKeyBytes, and those
// headers, from the first on, that fit into maxHeaderBytes. All of it fits into a dead letter. maxKeysBytes bounds what the events
// of a request's invalid items have of its key.
const (
	tooLargeBytes  = 64 << 10
	maxKeyBytes    = 512 << 10
	maxHeaderBytes = 1 << 20
	maxKeysBytes   = 8 << 20
)

// intake is what one fetch brought of a partition, decoded, on its way to be taken up.
type intake struct {
	tp       broker.TopicPartition
	requests []*checker.Request
	next     int64 // the offset behind all of them
	place    int   // of the first that is not taken up
	// more is known to come: of the partition, or of others that were fetched with it.
	more, followed bool
}

// room tells the fetching goroutines which partitions there is room for: those of which nothing fetched is waiting, and
// whose next record is not parked for longer.
type room struct {
	mu     sync.Mutex
	freed  sync.Cond
	filled map[broker.TopicPartition]bool
	parked map[broker.TopicPartition]time.Time // until when
}

func newRoom() *room {
	r := &room{filled: make(map[broker.TopicPartition]bool), parked: make(map[broker.TopicPartition]time.Time)}
	r.freed.L = &r.mu
	return r
}

// park leaves a partition alone for a time.
func (r *room) park(tp broker.TopicPartition, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parked[tp] = until
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

// roomPause is how soon a partition may be free whose records are waiting to be taken up.
const roomPause = 5 * time.Millisecond

// wanted blocks until at least one of the partitions is free, and returns those that are and when others may be.
func (r *room) wanted(ctx context.Context, tps []broker.TopicPartition) (free []broker.TopicPartition, wait time.Duration, err error) {
	wake := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.freed.Broadcast()
	}
	stop := context.AfterFunc(ctx, wake)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		now, filled := time.Now(), false
		wait = math.MaxInt64
		for _, tp := range tps {
			switch until := r.parked[tp]; {
			case r.filled[tp]:
				filled = true
			case until.After(now):
				wait = min(wait, until.Sub(now))
			default:
				free = append(free, tp)
			}
		}
		if len(free) == 0 {
			timer := time.AfterFunc(wait, wake)
			r.freed.Wait()
			timer.Stop()
			continue
		}
		if filled {
			wait = min(wait, roomPause)
		}
		return free, wait, nil
	}
}

// Wanted blocks until all that was fetched of at least one of the partitions is taken up, and returns those. It may be
// called from several goroutines.
func (p *Pipeline) Wanted(ctx context.Context, tps []broker.TopicPartition) (wanted []broker.TopicPartition, wait time.Duration, err error) {
	return p.room.wanted(ctx, tps)
}

// Take decodes what was fetched of a partition that was Wanted and hands it to Run. Of a retry topic it takes what need not
// wait any longer, and leaves the rest where it is. It may be called from several goroutines, and keeps nothing of f but
// what it decodes.
func (p *Pipeline) Take(ctx context.Context, f *broker.Fetched) error {
	in := &intake{
		tp: f.TopicPartition, more: f.More, followed: f.Followed, requests: make([]*checker.Request, 0, len(f.Records)),
	}
	now := time.Now()
	for i := range f.Records {
		r := p.decode(f.TopicPartition, &f.Records[i])
		if r.NotBefore.After(now) {
			p.room.park(f.TopicPartition, r.NotBefore)
			f.Next, in.more = f.Records[i].Offset, false
			break
		}
		in.requests = append(in.requests, r)
	}
	in.next = f.Next
	if n := len(in.requests); n > 0 {
		p.metrics.Taken(f.TopicPartition, time.UnixMilli(f.Records[n-1].Timestamp))
	}
	p.room.set(f.TopicPartition, true)
	select {
	case p.incoming <- in:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decode makes a request of a record, whatever its bytes are. A record of our own says where it comes from.
func (p *Pipeline) decode(tp broker.TopicPartition, record *broker.Record) *checker.Request {
	key, value, headers := record.Key, record.Value, record.Headers
	_, ours := p.parking[tp.Topic]
	if first, ok := schemas.LastHeader(headers, schemas.HeaderKey); ok && ours {
		key = first
	}
	decoded, err := schemas.DecodeRequest(key, value, headers)
	truncated := 0
	if schemas.RequestBytes(key, value, headers) > schemas.MaxRecordBytes {
		if len(value) > tooLargeBytes {
			truncated = len(value)
			value = value[:tooLargeBytes]
		}
		if len(key) > maxKeyBytes {
			key = nil
		}
		headers = fitting(headers)
	}
	r := &checker.Request{
		Request:   decoded,
		Record:    schemas.Origin{Topic: tp.Topic, Partition: tp.Partition, Offset: record.Offset},
		Key:       bytes.Clone(key),
		Truncated: truncated,
	}
	r.Origin, r.At = r.Record, time.UnixMilli(record.Timestamp)
	if ours {
		if problem := p.followTrail(r, record.Headers); problem != "" && err == nil {
			err = &schemas.InvalidError{Problems: []string{problem}}
		}
	}
	for _, h := range headers {
		r.Headers = append(r.Headers, schemas.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	r.Size = len(decoded.Raw) + schemas.RecordBytes(r.Key, nil, r.Headers) + len(r.Headers)*headerBytes
	if errors.As(err, &r.Invalid) {
		r.Value = bytes.Clone(value)
		r.Size += len(r.Value)
	}
	return r
}

// headerBytes is what a header takes in memory, but for its texts.
const headerBytes = int(unsafe.Sizeof(schemas.Header{}))

// fitting leaves out headers beyond maxHeaderBytes.
func fitting(headers []schemas.Header) []schemas.Header {
	room := maxHeaderBytes
	var kept []schemas.Header
	for _, h := range headers {
		if n := len(h.Key) + len(h.Value) + 2; n <= room { // two bytes at the least set it apart
			room -= n
			kept = append(kept, h)
		}
	}
	return kept
}

// followTrail takes over what the headers say of a request that was parked or forwarded. It is waited for no longer than it may
// grow old. The problem that is returned makes the request invalid.
func (p *Pipeline) followTrail(r *checker.Request, headers []schemas.Header) (problem string) {
	trail, err := schemas.DecodeTrail(headers)
	if err != nil {
		p.log.Error().Err(err).Stringer("record", r.Record).Str("hint", "find out who else writes to this topic").
			Msg("the headers of a parked or forwarded request can't be read: what is left of them counts")
	}
	if trail.Origin != (schemas.Origin{}) {
		r.Origin = trail.Origin
	}
	r.FirstAttemptAt, r.Attempts = trail.FirstAttemptAt, trail.Failure.Attempts
	if !trail.FirstAttemptAt.IsZero() {
		r.At = trail.FirstAttemptAt
	}
	r.NotBefore = earlier(trail.NotBefore, trail.FirstAttemptAt.Add(p.config.MaxAge))
	r.Forget = trail.Command == schemas.CommandForget
	if trail.Command != "" && !r.Forget {
		problem = fmt.Sprintf("header %s: %.40q: want %s", schemas.HeaderCommand, trail.Command, schemas.CommandForget)
	}
	return problem
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
		if offsets.Full(r.Record.Offset) {
			return
		}
		weight := load{items: r.Weight(), bytes: r.Size}
		away := r.Invalid == nil && !p.homes.Own(r.CorpID)
		asks := r.Invalid == nil && !away && !r.Forget
		var refusal *schemas.Failure
		ok := false
		if asks {
			refusal, ok = p.admit(r, weight, in.requests[in.place+1:], now)
		} else {
			ok = p.fits(weight, 1)
		}
		if !ok {
			return
		}
		in.requests[in.place] = nil
		if offsets.Take(r.Record.Offset) {
			continue // it was done before a restart
		}
		p.inFlight.add(weight)
		if r.FirstAttemptAt.IsZero() {
			r.FirstAttemptAt = now
		}
		p.traces.Took(r, now)
		switch {
		case away:
			p.metrics.Forwarded()
			p.forward(r)
		case r.Invalid != nil:
			p.metrics.Invalid()
			p.rejectRequest(r, now)
		case r.Forget:
			p.metrics.Forgetting()
			p.forget(r, now)
		default:
			p.metrics.Asked()
			p.start(r, refusal, now)
		}
	}
}

// overdue is why a request is parked whose corp has too many waiting.
var overdue = &schemas.Failure{
	Class: schemas.RateLimited, Message: "the corp's calls can't keep up with its requests: this one waits in a retry topic, so that others need not wait for it",
}

// admit tells whether a request may be taken up now, and if it is better parked than asked for, why. In an outage nothing is
// parked: whoever can't be asked for is left where it is. behind are the requests that wait for this one.
func (p *Pipeline) admit(r *checker.Request, weight load, behind []*checker.Request, now time.Time) (refusal *schemas.Failure, ok bool) {
	fits := p.fits(weight, 1)
	refusal = p.checker.Refusal(r.CorpID, r.Kind, now)
	switch {
	case refusal != nil:
		return refusal, fits && !p.checker.Outage()
	case fits && p.checker.Supplied(r.CorpID) && !p.fits(weight, 2):
		return overdue, p.checker.Overdue(r.CorpID, now) && p.holdsUp(behind)
	}
	return nil, fits
}

// holdsUp tells whether there is a request of a corp that has little waiting.
func (p *Pipeline) holdsUp(behind []*checker.Request) bool {
	return slices.ContainsFunc(behind, func(r *checker.Request) bool { return !p.checker.Supplied(r.CorpID) })
}

// fits tells whether a request fits into a share of the room. Half of it is kept for corps that have little waiting, so that
// one with a long backlog leaves the others enough to fill their batches. One request alone always fits, however large.
func (p *Pipeline) fits(weight load, share int) bool {
	return p.inFlight.items == 0 ||
		p.inFlight.items+weight.items <= p.config.MaxInFlight/share && p.inFlight.bytes+weight.bytes <= p.config.MaxInFlightBytes/share
}

// start asks for a request's items, or answers those that need no asking. What would be asked for is parked when there is a
// refusal.
func (p *Pipeline) start(r *checker.Request, refusal *schemas.Failure, now time.Time) {
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
		if refusal != nil {
			p.resolve(checker.Waiter{Request: r, Item: i}, checker.Outcome{Failure: refusal}, now)
			continue
		}
		p.checker.Ask(p.calls, c, h, checker.Waiter{Request: r, Item: i}, now)
	}
}

func failed(class schemas.Class, message string) checker.Outcome {
	return checker.Outcome{Failure: &schemas.Failure{Class: class, Message: message}}
}
