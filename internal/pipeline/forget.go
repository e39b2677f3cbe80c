package pipeline

import (
	"time"

	"consentd/checker"
	"consentd/schemas"
)

// forget has what is known of a request's conversations forgotten. One that is being asked about is forgotten when its answer
// is settled: what was asked for before must not bring it back.
func (p *Pipeline) forget(r *checker.Request, now time.Time) {
	for i := range r.Items {
		w := checker.Waiter{Request: r, Item: i}
		if problem := r.Items[i].Problem; problem != "" {
			p.resolve(w, failed(schemas.InvalidRequest, problem), now)
			continue
		}
		p.key = r.Conversation(i).AppendKey(p.key[:0])
		if !p.checker.Join(schemas.HashKey(p.key), w) {
			p.forgetItem(w, now)
		}
	}
}

// forgetItem writes the tombstone of a conversation, known or not: a status record that can't be read is none that is known.
func (p *Pipeline) forgetItem(w checker.Waiter, now time.Time) {
	c := w.Request.Conversation(w.Item)
	p.key = c.AppendKey(p.key[:0])
	p.filling.Forgotten(c, p.key)
	p.table.StageForget(schemas.HashKey(p.key))
	p.resolve(w, checker.Outcome{}, now)
}
