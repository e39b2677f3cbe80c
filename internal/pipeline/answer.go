package pipeline

import (
	"time"

	"consentd/checker"
	"consentd/consumer"
	"consentd/internal/broker"
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

// answer publishes the outcome of every item of a request together, with its offset.
func (p *Pipeline) answer(r *checker.Request, outcomes []checker.Outcome, now time.Time) {
	var failures []failedItems
	for i := range outcomes {
		o := &outcomes[i]
		cause := p.cause(r, i)
		c := r.Conversation(i)
		switch {
		case o.Failure == nil:
			p.key = c.AppendKey(p.key[:0])
			p.filling.Checked(c, p.key, &o.Answer, o.Source, &cause)
			continue
		case r.Items[i].Problem != "":
			p.filling.Failed(c.ValidIDs(), eventKey(r), nil, o.Failure, now, &cause)
		default:
			p.key = c.AppendKey(p.key[:0])
			p.filling.Failed(c, p.key, p.key, o.Failure, now, &cause)
		}
		failures = appendFailure(failures, i, o.Failure)
	}
	for _, f := range failures {
		p.deadLetter(r, f, now)
	}
	p.finished(r)
}

// eventKey is the request's key, for an event that has no conversation. A huge one is left out: the event must fit into
// what topics take by default.
func eventKey(r *checker.Request) []byte {
	if len(r.Key) > tooLargeBytes {
		return nil
	}
	return r.Key
}

// failedItems are the items of a request that failed alike: they share a dead letter.
type failedItems struct {
	failure *schemas.Failure
	items   []int
}

func appendFailure(failures []failedItems, item int, f *schemas.Failure) []failedItems {
	for i := range failures {
		if have := failures[i].failure; have.Class == f.Class && have.Errcode == f.Errcode {
			failures[i].items = append(failures[i].items, item)
			return failures
		}
	}
	return append(failures, failedItems{failure: f, items: []int{item}})
}

// deadLetter adds the request as it was sent, or narrowed to the items that failed.
func (p *Pipeline) deadLetter(r *checker.Request, f failedItems, now time.Time) {
	d := schemas.DeadLetter{Failure: *f.failure, Origin: r.Origin, FirstAttemptAt: r.TakenAt, RequestID: requestIDHeader(r)}
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
			p.log.Error().Err(err).Stringer("origin", r.Origin).Msg("a dead letter was not narrowed to the items that failed")
			d.Indexes, d.Count = nil, 0
		} else {
			value = narrowed
		}
	}
	p.filling.DeadLetter(r.Key, value, r.Headers, &d)
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
	d := schemas.DeadLetter{
		Failure: f, Origin: r.Origin, FirstAttemptAt: r.TakenAt, RequestID: requestIDHeader(r), Truncated: r.Truncated,
	}
	p.filling.DeadLetter(r.Key, r.Value, r.Headers, &d)
	p.finished(r)
}

// finished notes that the request's outcome is in the batch being filled.
func (p *Pipeline) finished(r *checker.Request) {
	tp := broker.TopicPartition{Topic: r.Origin.Topic, Partition: r.Origin.Partition}
	p.offsets[tp].Done(consumer.Ticket(r.Ticket))
	p.touched[tp] = true
	p.done.add(load{items: r.Weight(), bytes: r.Size})
}
