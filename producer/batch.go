package producer

import (
	"slices"
	"time"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Cause is the item of a request that an event comes of.
type Cause struct {
	Origin      schemas.Origin
	Envelope    schemas.Envelope
	TraceParent []byte // nil: none
}

// Batch is what is published together. Made by Producer.NewBatch; not safe for concurrent use.
type Batch struct {
	producer *Producer
	// parts are what is published one after the other: the first is all there is when the batch is a transaction.
	parts       []*broker.Records
	events      *broker.Records
	status      *broker.Records
	onward      *broker.Records // forwarded and parked requests
	deadLetters *broker.Records
	offsets     map[broker.TopicPartition]broker.Offset
	now         time.Time // the records' timestamp

	headers *schemas.EventHeaders
	id      []byte
	value   []byte
	extra   []schemas.Header
}

// newBatch returns an empty batch.
func newBatch(p *Producer) *Batch {
	b := &Batch{
		producer: p, headers: schemas.NewEventHeaders(p.source), offsets: make(map[broker.TopicPartition]broker.Offset),
	}
	for _, records := range []**broker.Records{&b.events, &b.status, &b.onward, &b.deadLetters} {
		if p.transactor == nil || len(b.parts) == 0 {
			b.parts = append(b.parts, &broker.Records{})
		}
		*records = b.parts[len(b.parts)-1]
	}
	return b
}

// Checked adds the answer to an item; key is the conversation's.
func (b *Batch) Checked(c schemas.Conversation, key []byte, a *schemas.Answer, source schemas.Source, cause *Cause) {
	b.value = schemas.AppendChecked(b.value[:0], c, a, source, &cause.Envelope)
	b.id = schemas.AppendAnswerID(b.id[:0], cause.Origin, cause.Envelope.Request.Index)
	b.event(&b.producer.results, schemas.TypeChecked, key, key, a.CheckedAt, cause)
}

// Failed adds the failure of an item. Where the conversation is not known whole, subject is nil, key that of the request,
// and c has what is valid of it.
func (b *Batch) Failed(c schemas.Conversation, key, subject []byte, f *schemas.Failure, at time.Time, cause *Cause) {
	b.value = schemas.AppendFailed(b.value[:0], c, f, at, &cause.Envelope)
	b.id = schemas.AppendAnswerID(b.id[:0], cause.Origin, cause.Envelope.Request.Index)
	b.event(&b.producer.results, schemas.TypeFailed, key, subject, at, cause)
}

// Changed adds one change of a conversation.
func (b *Batch) Changed(c schemas.Conversation, key []byte, t *schemas.Transition, at time.Time, cause *Cause) {
	b.value = schemas.AppendChanged(b.value[:0], c, t, at, &cause.Envelope)
	b.id = schemas.AppendChangeID(b.id[:0], key, t, cause.Origin, cause.Envelope.Request.Index)
	b.event(&b.producer.changes, schemas.TypeChanged, key, key, at, cause)
}

func (b *Batch) event(to *topic, eventType string, key, subject []byte, at time.Time, cause *Cause) {
	headers := b.headers.Of(eventType, b.id, subject, at, cause.TraceParent)
	b.events.Append(to.partition(key), key, b.value, headers, b.now)
}

// Status adds the record of what is now known of a conversation, in its corp's partition.
func (b *Batch) Status(c schemas.Conversation, key []byte, s *schemas.Status) {
	b.value = schemas.AppendStatus(b.value[:0], c.Kind, s)
	b.status.Append(b.home(b.producer.status, c.CorpID), key, b.value, nil, b.now)
}

// Forgotten adds the tombstone of a conversation, in its corp's partition.
func (b *Batch) Forgotten(c schemas.Conversation, key []byte) {
	b.status.Append(b.home(b.producer.status, c.CorpID), key, nil, nil, b.now)
}

// home returns a corp's partition of a topic that is partitioned by corp, and leaves its key in b.id.
func (b *Batch) home(topic, corpID string) broker.TopicPartition {
	b.id = append(b.id[:0], corpID...)
	return broker.TopicPartition{Topic: topic, Partition: b.producer.byCorp.Partition(b.id)}
}

// Forwarded adds a request on its way to the owner of its corp. original are the headers of the record that it came in.
func (b *Batch) Forwarded(corpID string, value []byte, original []schemas.Header, t *schemas.Trail) {
	b.sendOn(b.producer.forward, corpID, value, original, t)
}

// Parked adds a request that is asked again later, to the corp's partition of a retry topic, which is named by its place in
// Topics.Retry. original are the headers of the record that it came in.
func (b *Batch) Parked(retry int, corpID string, value []byte, original []schemas.Header, t *schemas.Trail) {
	b.sendOn(b.producer.retry[retry], corpID, value, original, t)
}

func (b *Batch) sendOn(topic, corpID string, value []byte, original []schemas.Header, t *schemas.Trail) {
	b.extra = t.AppendHeaders(b.extra[:0], original)
	tp := b.home(topic, corpID)
	b.onward.Append(tp, b.id, value, b.extra, b.now)
}

// DeadLetter adds what can't succeed without a person: key, value and headers are those of the original record.
func (b *Batch) DeadLetter(key, value []byte, original []schemas.Header, t *schemas.Trail) {
	b.extra = t.AppendHeaders(b.extra[:0], original)
	b.deadLetters.Append(b.producer.deadLetters.partition(key), key, value, b.extra, b.now)
}

// Done says how far a partition's requests are done with this batch.
func (b *Batch) Done(tp broker.TopicPartition, next broker.Offset) { b.offsets[tp] = next }

// Anchor gives a batch that moves no offset one that stays where it is: an older generation is found out by its offsets. It is
// one of the forward topic, where there is any: the others may have been deleted meanwhile.
func (b *Batch) Anchor(committed map[broker.TopicPartition]broker.Offset) {
	if len(b.offsets) > 0 {
		return
	}
	for tp, next := range committed {
		if len(b.offsets) == 0 || tp.Topic == b.producer.forward {
			clear(b.offsets)
			b.offsets[tp] = next
		}
		if tp.Topic == b.producer.forward {
			return
		}
	}
}

// Empty tells whether there is nothing to publish.
func (b *Batch) Empty() bool {
	return len(b.offsets) == 0 && !slices.ContainsFunc(b.parts, func(r *broker.Records) bool { return r.Len() > 0 })
}
