package pipeline

import (
	"time"

	"consentd/checker"
	"consentd/producer"
	"consentd/schemas"
	"consentd/status"
)

// settle gives a reply back to the checker. What it answers is compared with what is known, conversation by conversation:
// changes and new status go with the batch that is being filled, whether or not the requests that asked are complete.
func (p *Pipeline) settle(reply *checker.Reply) {
	if reply.Unasked > 0 {
		p.log.Warn().Int("pairs", reply.Unasked).Str("hint", "harmless; if it lasts, see whether wechat.base_url is WeCom").
			Msg("a reply had pairs that nobody asked for: ignored")
	}
	p.metrics.Called(reply.Kind(), reply.Class(), reply.Size(), reply.Took())
	p.traces.Called(reply)
	p.checker.Settled(p.calls, reply, time.Now())
	p.settleEnded()
}

// settleEnded hands each question's outcome to all who wait for it.
func (p *Pipeline) settleEnded() {
	for _, e := range p.checker.Ended() {
		o := e.Outcome
		if o.Failure == nil {
			o = p.settleAnswer(e.Question, o)
		}
		for _, w := range e.Question.Waiters {
			if w.Request.Forget {
				p.forgetItem(w, e.At)
				continue
			}
			p.resolve(w, o, e.At)
		}
	}
}

// settleAnswer returns the answer that goes out: the reply, or what is known when the reply is stale.
func (p *Pipeline) settleAnswer(q *checker.Question, o checker.Outcome) checker.Outcome {
	entry, known := p.table.Get(q.Conversation.Kind, q.Hash)
	var before *schemas.Status
	if known {
		before = &entry.Status
	}
	s := status.Settle(before, q.Conversation.Kind, o.Answer)
	if s.Stale {
		return checker.Outcome{Answer: s.Status.Answer, Source: schemas.SourceStatus}
	}
	at := o.Answer.CheckedAt
	if known && len(s.Transitions) == 0 && at.Sub(entry.StoredAt) <= p.config.StatusRefresh {
		p.table.Touch(q.Conversation.Kind, q.Hash, at)
	} else {
		p.key = q.Conversation.AppendKey(p.key[:0])
		first := q.Waiters[0]
		cause := p.cause(first.Request, first.Item)
		for i := range s.Transitions {
			p.filling.Changed(q.Conversation, p.key, &s.Transitions[i], at, &cause)
			p.metrics.Changed(s.Transitions[i].Change)
		}
		p.filling.Status(q.Conversation, p.key, &s.Status)
		if !breakStaging {
			p.table.Stage(q.Hash, status.Entry{Kind: q.Conversation.Kind, Status: s.Status, StoredAt: at})
		}
	}
	return checker.Outcome{Answer: s.Status.Answer, Source: o.Source}
}

// maxTraceParent is far more than a traceparent has, which is 55 bytes. One that is longer is none: it would be in each event.
const maxTraceParent = 256

// cause names an item of a request to the events that come of it.
func (p *Pipeline) cause(r *checker.Request, item int) producer.Cause {
	c := producer.Cause{
		Origin: r.Origin,
		Envelope: schemas.Envelope{
			Request: schemas.RequestRef{ID: r.ID, Count: max(r.Count, 1)},
			Context: r.Context,
		},
	}
	if r.ID == "" {
		c.Envelope.Request.ID = r.Origin.String()
	}
	if item < len(r.Items) {
		c.Envelope.Request.Index = r.Items[item].Index
	}
	if parent, _ := schemas.LastHeader(r.Headers, schemas.HeaderTraceParent); len(parent) <= maxTraceParent {
		c.TraceParent = parent
	}
	return c
}
