package pipeline

import (
	"fmt"
	"slices"
	"time"

	"consentd/checker"
	"consentd/internal/broker"
	"consentd/internal/tracing"
	"consentd/schemas"
)

// resolve gives a waiting item its outcome; with the last one the whole request is answered.
func (p *Pipeline) resolve(w checker.Waiter, o checker.Outcome, now time.Time) {
	if len(w.Request.Items) == 1 {
		p.single[0] = o
		p.answer(w.Request, p.single[:], now)
	} else if w.Request.Resolve(w.Item, o) {
		p.answer(w.Request, w.Request.Outcomes(), now)
	}
}

// answer publishes the outcome of every item of a request together, with its offset: an event for each that is answered or
// has failed for good, a dead letter for the failures of a kind, and a parked request for those that are asked again.
func (p *Pipeline) answer(r *checker.Request, outcomes []checker.Outcome, now time.Time) {
	var failures, parked []failedItems
	expired := now.Sub(r.FirstAttemptAt) >= p.config.MaxAge
	for i := range outcomes {
		o := &outcomes[i]
		cause := p.cause(r, i)
		c := r.Conversation(i)
		if o.Failure == nil && r.Forget {
			continue
		}
		if o.Failure == nil {
			p.key = c.AppendKey(p.key[:0])
			p.filling.Checked(c, p.key, &o.Answer, o.Source, &cause)
			p.metrics.Checked(o.Source)
			continue
		}
		f := *o.Failure
		f.Attempts += r.Attempts
		if f.Class.Passes() {
			if !expired {
				parked = appendFailure(parked, i, f)
				continue
			}
			f.Class, f.Message = schemas.Expired, fmt.Sprintf("no answer within %s; the last try: %s", p.config.MaxAge, f)
		}
		failures = appendFailure(failures, i, f)
		p.metrics.Failed(f.Class)
		if r.Items[i].Problem != "" {
			p.filling.Failed(c.ValidIDs(), eventKey(r), nil, &f, now, &cause)
			continue
		}
		p.key = c.AppendKey(p.key[:0])
		p.filling.Failed(c, p.key, p.key, &f, now, &cause)
	}
	for _, f := range failures {
		if f.failure.Class == schemas.Expired {
			checker.Why(p.log.Warn(), r.CorpID, &f.failure).Int("items", len(f.items)).Stringer("origin", r.Origin).
				Msg("a request expired: it was not answered within retry.max_age")
		}
		trail, value := p.trail(r, f)
		p.filling.DeadLetter(r.Key, value, r.Headers, &trail)
		p.metrics.DeadLetter(f.failure.Class)
	}
	for _, f := range parked {
		p.park(r, f, now)
		p.metrics.Parked(f.failure.Class)
	}
	if len(parked) == 0 {
		p.answered = append(p.answered, r.At)
	}
	switch {
	case len(failures) > 0:
		p.finished(r, tracing.DeadLettered, &failures[0].failure)
	case len(parked) > 0:
		p.finished(r, tracing.Parked, &parked[0].failure)
	default:
		p.finished(r, tracing.Answered, nil)
	}
}

// park puts a request off, never beyond the age at which it expires. It waits for longer each time, but for one that was not
// even asked for because its corp may not make more calls now: that one waits as long as before.
func (p *Pipeline) park(r *checker.Request, f failedItems, now time.Time) {
	retry := p.parking[r.Record.Topic]
	if f.failure.Class == schemas.RateLimited && f.failure.Attempts == r.Attempts {
		if same := slices.IndexFunc(p.config.Retry, func(t RetryTopic) bool { return t.Name == r.Record.Topic }); same >= 0 {
			retry = same
		}
	}
	trail, value := p.trail(r, f)
	trail.NotBefore = earlier(now.Add(p.config.Retry[retry].Delay), r.FirstAttemptAt.Add(p.config.MaxAge))
	trail.Key, trail.HasKey = r.Key, true
	p.filling.Parked(retry, r.CorpID, value, r.Headers, &trail)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// forward sends a request whole to the owner of its corp.
func (p *Pipeline) forward(r *checker.Request) {
	all := failedItems{failure: schemas.Failure{Attempts: r.Attempts}}
	for item := range r.Items {
		all.items = append(all.items, item)
	}
	trail, value := p.trail(r, all)
	trail.Key, trail.HasKey = r.Key, true
	if r.Forget {
		trail.Command = schemas.CommandForget
	}
	p.filling.Forwarded(r.CorpID, value, r.Headers, &trail)
	p.finished(r, tracing.Forwarded, nil)
}

// eventKey is the request's key, for an event that has no conversation. A huge one is left out: the event must fit into
// what topics take by default, and each invalid item has one.
func eventKey(r *checker.Request) []byte {
	if len(r.Key) > maxKeyBytes || len(r.Key)*r.Weight() > maxKeysBytes {
		return nil
	}
	return r.Key
}

// failedItems are the items of a request that failed alike: they stay together.
type failedItems struct {
	failure schemas.Failure
	items   []int
}

func appendFailure(failures []failedItems, item int, f schemas.Failure) []failedItems {
	for i := range failures {
		if have := &failures[i]; have.failure.Class == f.Class && have.failure.Errcode == f.Errcode {
			have.items = append(have.items, item)
			have.failure.Attempts = max(have.failure.Attempts, f.Attempts)
			return failures
		}
	}
	return append(failures, failedItems{failure: f, items: []int{item}})
}

// trail returns the request as it was sent, or narrowed to the items that failed, and what is to be said of it.
func (p *Pipeline) trail(r *checker.Request, f failedItems) (schemas.Trail, []byte) {
	d := schemas.Trail{Failure: f.failure, Origin: r.Origin, FirstAttemptAt: r.FirstAttemptAt, RequestID: requestIDHeader(r)}
	value := []byte(r.Raw)
	if len(f.items) < r.Count {
		for _, item := range f.items {
			d.Indexes = append(d.Indexes, r.Items[item].Index)
		}
		d.Count = r.Count
	}
	if len(f.items) < len(r.Items) {
		narrowed, err := schemas.Narrow(value, f.items)
		if err != nil {
			// It was decoded, so it can be cut; were it not so, the whole request is better than none of it.
			p.log.Error().Err(err).Stringer("origin", r.Origin).Str("hint", "report it: the program's mistake; the whole request was kept").
				Msg("a request was not narrowed to the items that failed")
			d.Indexes, d.Count = nil, 0
		} else {
			value = narrowed
		}
	}
	return d, value
}

// requestIDHeader is the request's id where its value does not say it.
func requestIDHeader(r *checker.Request) string {
	switch {
	case r.IDInValue:
		return ""
	case r.ID != "":
		return r.ID
	}
	return r.Origin.String()
}

// rejectRequest answers a request that can't be decoded: one failure, one dead letter.
func (p *Pipeline) rejectRequest(r *checker.Request, now time.Time) {
	f := schemas.Failure{Class: schemas.InvalidRequest, Message: r.Invalid.Error()}
	cause := p.cause(r, 0)
	p.filling.Failed(schemas.Conversation{}, eventKey(r), nil, &f, now, &cause)
	d := schemas.Trail{
		Failure: f, Origin: r.Origin, FirstAttemptAt: r.FirstAttemptAt, RequestID: requestIDHeader(r), Truncated: r.Truncated,
	}
	p.filling.DeadLetter(r.Key, r.Value, r.Headers, &d)
	p.metrics.Failed(schemas.InvalidRequest)
	p.metrics.DeadLetter(schemas.InvalidRequest)
	p.finished(r, tracing.DeadLettered, &f)
}

// finished notes that the request's outcome is in the batch being filled.
func (p *Pipeline) finished(r *checker.Request, outcome string, failure *schemas.Failure) {
	tp := broker.TopicPartition{Topic: r.Record.Topic, Partition: r.Record.Partition}
	p.offsets[tp].Done(r.Record.Offset)
	p.touched[tp] = true
	p.done.add(load{items: r.Weight(), bytes: r.Size})
	p.traces.Finished(r, outcome, failure)
}
