package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"consentd/schemas"
)

const (
	// A batch is closed at this size, below the 1 MiB that brokers and topics accept by default. A record that is larger
	// has a batch of its own.
	batchBytes = 768 << 10
	// About what a produce request has beside its records.
	requestOverhead = 16 << 10
	// How long the replicas may take to acknowledge.
	produceTimeout = 15 * time.Second
)

// Records gathers records to produce: a buffer for each partition, in the form in which they are sent. The zero value
// is ready; Reset makes it ready anew and keeps its memory. Not safe for concurrent use.
type Records struct {
	partitions map[TopicPartition]*partitionRecords
	count      int
	// requests has the buffers of each broker's requests.
	requests map[int32]*buffers
}

type partitionRecords struct {
	buf     []byte // batches one behind the other, the last one open
	batches []int  // where each begins
	count   uint32 // records of the open batch
	sent    int    // batches that the broker acknowledged
}

// Append adds a record to a partition.
func (r *Records) Append(tp TopicPartition, key, value []byte, headers []schemas.Header, at time.Time) {
	p := r.partitions[tp]
	if p == nil {
		if r.partitions == nil {
			r.partitions = make(map[TopicPartition]*partitionRecords)
		}
		p = &partitionRecords{}
		r.partitions[tp] = p
	}
	p.append(key, value, headers, at)
	r.count++
}

// Len returns how many records there are.
func (r *Records) Len() int { return r.count }

// Reset empties r. Memory of partitions that were not used since the last Reset is given back.
func (r *Records) Reset() {
	for tp, p := range r.partitions {
		if len(p.batches) == 0 {
			delete(r.partitions, tp)
			continue
		}
		*p = partitionRecords{buf: p.buf[:0], batches: p.batches[:0]}
	}
	r.count = 0
}

// append writes a record as format 2 has it (Apache Kafka's documentation, "Record"): every number a zigzag varint, the
// timestamp that of the batch.
func (p *partitionRecords) append(key, value []byte, headers []schemas.Header, at time.Time) {
	size := bodyLen(key, value, headers)
	if len(p.batches) == 0 || len(p.buf)-p.batches[len(p.batches)-1]+size > batchBytes {
		p.open(at)
	}
	size += varintLen(int(p.count))
	p.buf = binary.AppendVarint(p.buf, int64(size))
	p.buf = append(p.buf, 0)                           // attributes
	p.buf = binary.AppendVarint(p.buf, 0)              // timestamp delta
	p.buf = binary.AppendVarint(p.buf, int64(p.count)) // offset delta
	p.buf = appendBytes(p.buf, key)
	p.buf = appendBytes(p.buf, value)
	p.buf = binary.AppendVarint(p.buf, int64(len(headers)))
	for i := range headers {
		p.buf = binary.AppendVarint(p.buf, int64(len(headers[i].Key)))
		p.buf = append(p.buf, headers[i].Key...)
		p.buf = appendBytes(p.buf, headers[i].Value)
	}
	p.count++
	p.close()
}

// bodyLen is the length of a record but for its own length and its offset delta.
func bodyLen(key, value []byte, headers []schemas.Header) int {
	size := 1 + varintLen(0) + bytesLen(key) + bytesLen(value) + varintLen(len(headers))
	for i := range headers {
		size += varintLen(len(headers[i].Key)) + len(headers[i].Key) + bytesLen(headers[i].Value)
	}
	return size
}

// RecordSize returns how large a record is for the brokers, in a batch of its own: what a topic's max.message.bytes bounds.
func RecordSize(key, value []byte, headers []schemas.Header) int {
	body := bodyLen(key, value, headers) + varintLen(0)
	return atRecords + varintLen(body) + body
}

// open begins a batch.
func (p *partitionRecords) open(at time.Time) {
	start := len(p.buf)
	p.batches = append(p.batches, start)
	p.count = 0
	p.buf = append(p.buf, make([]byte, atRecords)...)
	head := p.buf[start:]
	head[atMagic] = 2
	binary.BigEndian.PutUint32(head[atMagic-4:], ^uint32(0)) // leader epoch: the broker's to set
	binary.BigEndian.PutUint64(head[atBaseTimestamp:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(head[atMaxTimestamp:], uint64(at.UnixMilli()))
}

// close keeps the open batch's lengths and counts; its checksum is made when it is sent.
func (p *partitionRecords) close() {
	batch := p.buf[p.batches[len(p.batches)-1]:]
	binary.BigEndian.PutUint32(batch[atLength:], uint32(len(batch)-atLength-4))
	binary.BigEndian.PutUint32(batch[atLastOffsetDelta:], p.count-1)
	binary.BigEndian.PutUint32(batch[atRecordCount:], p.count)
}

// batch returns the first batch that was not acknowledged, ready to be sent with a stamp; nil when there is none.
func (p *partitionRecords) batch(s stamp) []byte {
	if p.sent == len(p.batches) {
		return nil
	}
	end := len(p.buf)
	if p.sent+1 < len(p.batches) {
		end = p.batches[p.sent+1]
	}
	b := p.buf[p.batches[p.sent]:end]
	s.put(b)
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return b
}

// countOf returns how many records the batch with that number has.
func (p *partitionRecords) countOf(batch int) uint32 {
	return binary.BigEndian.Uint32(p.buf[p.batches[batch]+atRecordCount:])
}

// stamp says who produces a batch.
type stamp struct {
	transactional bool
	producerID    int64
	epoch         int16
	sequence      int32 // of the first record
}

// unstamped is for records outside transactions.
var unstamped = stamp{producerID: -1, epoch: -1, sequence: -1}

func (s stamp) put(batch []byte) {
	attributes := uint16(0)
	if s.transactional {
		attributes = transactional
	}
	binary.BigEndian.PutUint16(batch[atAttributes:], attributes)
	binary.BigEndian.PutUint64(batch[atProducerID:], uint64(s.producerID))
	binary.BigEndian.PutUint16(batch[atProducerEpoch:], uint16(s.epoch))
	binary.BigEndian.PutUint32(batch[atBaseSequence:], uint32(s.sequence))
}

func varintLen(n int) int {
	l := 1
	for u := uint64(n) << 1; u >= 0x80; u >>= 7 {
		l++
	}
	return l
}

func bytesLen(b []byte) int {
	if b == nil {
		return 1
	}
	return varintLen(len(b)) + len(b)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

// Produce sends all records, one request a broker at a time, and returns when all in-sync replicas acknowledged every
// one of them. It tries for as long as ctx allows: only an error that trying again can't mend is returned before.
func (c *Cluster) Produce(ctx context.Context, r *Records, log zerolog.Logger) error {
	pause := backoff.WithContext(backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(metadataTTL), backoff.WithMaxElapsedTime(c.patience)), ctx)
	for {
		waiting := r.waiting()
		if len(waiting) == 0 {
			return nil
		}
		err := c.produceRound(ctx, r, waiting, "", func(TopicPartition) stamp { return unstamped })
		if err == nil {
			pause.Reset()
			continue
		}
		if Permanent(err) {
			return err
		}
		wait := pause.NextBackOff()
		switch {
		case wait == backoff.Stop && ctx.Err() != nil:
			return fmt.Errorf("%w (last tried: %w)", context.Cause(ctx), err)
		case wait == backoff.Stop:
			return err
		}
		log.Warn().Err(err).Dur("wait", wait).Str("hint", hintPasses).Msg("producing is interrupted, trying again")
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// waiting returns the partitions with a batch that was not acknowledged.
func (r *Records) waiting() []TopicPartition {
	var waiting []TopicPartition
	for tp, p := range r.partitions {
		if p.sent < len(p.batches) {
			waiting = append(waiting, tp)
		}
	}
	return waiting
}

// produceRound sends the next batch of each partition, in the transaction of that id, if any.
func (c *Cluster) produceRound(ctx context.Context, r *Records, waiting []TopicPartition, transactionalID string, stamp func(TopicPartition) stamp) error {
	led, absent, err := c.byLeader(ctx, waiting)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for id, tps := range led {
		b := r.requests[id]
		if b == nil {
			if r.requests == nil {
				r.requests = make(map[int32]*buffers)
			}
			b = &buffers{}
			r.requests[id] = b
		}
		req := kmsg.NewPtrProduceRequest()
		if transactionalID != "" {
			req.TransactionID = &transactionalID
		}
		g.Go(func() error { return c.produceTo(ctx, id, tps, r, b, req, stamp) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if absent != nil {
		return fmt.Errorf("produce: %w", absent)
	}
	return nil
}

func (c *Cluster) produceTo(ctx context.Context, id int32, tps []TopicPartition, r *Records, b *buffers, req *kmsg.ProduceRequest, stamp func(TopicPartition) stamp) error {
	req.Acks = -1 // all in-sync replicas
	req.TimeoutMillis = int32(produceTimeout / time.Millisecond)
	size := 0
	for topic, partitions := range byTopic(tps) {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = topic
		for _, partition := range partitions {
			p := kmsg.NewProduceRequestTopicPartition()
			tp := TopicPartition{topic, partition}
			p.Partition, p.Records = partition, r.partitions[tp].batch(stamp(tp))
			t.Partitions = append(t.Partitions, p)
			size += len(p.Records)
		}
		req.Topics = append(req.Topics, t)
	}
	b.out = slices.Grow(b.out[:0], size+requestOverhead) // else it is copied again and again as it grows
	res, err := c.send(ctx, brokerID(id), req, produceVersion, b)
	if err != nil {
		return err
	}
	answered := make(map[TopicPartition]kafka.Error)
	for _, t := range res.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			answered[TopicPartition{t.Topic, p.Partition}] = kafka.Error(p.ErrorCode)
		}
	}
	for _, tp := range tps {
		code, ok := answered[tp]
		switch {
		case ok && code == 0:
			r.partitions[tp].sent++
		case !ok:
			err = fmt.Errorf("produce to %s: the broker's answer does not say what became of it", tp)
		case err == nil || Permanent(code): // which must not be hidden by one that passes
			err = fmt.Errorf("produce to %s: %w", tp, code)
		}
	}
	return err
}
