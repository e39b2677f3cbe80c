package broker

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/schemas"
)

// batchTime is when the batches of these tests were made, in unix ms.
const batchTime = 1_700_000_000_000

// batch is a record batch as a broker keeps it. kmsg encodes it: neither our encoder nor kafka-go's.
type batch struct {
	base    int64
	records []Record // Offset and Timestamp count from the batch's own
	// last is the last offset's delta when there are more than the records': compaction took them.
	last       int
	codec      kgo.CompressionCodec
	attributes int16
	producer   int64
}

// batchOf is a batch of values.
func batchOf(base int64, values ...string) batch {
	b := batch{base: base, producer: -1}
	for i, v := range values {
		b.records = append(b.records, Record{Offset: int64(i), Value: []byte(v)})
	}
	return b
}

// in makes a batch part of a producer's transaction.
func (b batch) in(producer int64) batch {
	b.producer, b.attributes = producer, transactional
	return b
}

const (
	abortMarker  = 0
	commitMarker = 1
)

// marker ends a producer's transaction.
func marker(base, producer int64, kind byte) batch {
	return batch{
		base: base, producer: producer, attributes: transactional | control,
		records: []Record{{Key: []byte{0, 0, 0, kind}, Value: []byte{0, 0, 0, 0, 0, 0}}},
	}
}

// emptied is what the cleaner leaves of a batch whose producer it must remember.
func emptied(base int64, last int) batch { return batch{base: base, last: last, producer: 1} }

func (b batch) encode(t testing.TB) []byte {
	t.Helper()
	var records []byte
	last := b.last
	for _, r := range b.records {
		records = append(records, encodeRecord(&r)...)
		last = max(last, int(r.Offset))
	}
	encoded := kmsg.RecordBatch{
		FirstOffset: b.base, PartitionLeaderEpoch: 0, Magic: 2,
		Attributes: b.attributes, LastOffsetDelta: int32(last),
		FirstTimestamp: batchTime, MaxTimestamp: batchTime,
		ProducerID: b.producer, FirstSequence: -1,
		NumRecords: int32(len(b.records)), Records: records,
	}
	if c, err := kgo.DefaultCompressor(b.codec); err != nil {
		t.Fatal(err)
	} else if c != nil {
		out, codec := c.Compress(new(bytes.Buffer), records)
		encoded.Records = out
		encoded.Attributes |= int16(codec)
	}
	dst := encoded.AppendTo(nil)
	binary.BigEndian.PutUint32(dst[atLength:], uint32(len(dst)-atLength-4))
	return sealed(dst)
}

func encodeRecord(r *Record) []byte {
	k := kmsg.Record{
		TimestampDelta64: r.Timestamp, OffsetDelta: int32(r.Offset), Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
	}
	const noLength = 1 // that of a varint 0
	k.Length = int32(len(k.AppendTo(nil)) - noLength)
	return k.AppendTo(nil)
}

// sealed gives a batch the checksum of what it has now.
func sealed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func encodeAll(t testing.TB, batches ...batch) []byte {
	t.Helper()
	var src []byte
	for _, b := range batches {
		src = append(src, b.encode(t)...)
	}
	return src
}

// everyKind is a record of each kind that a batch can hold.
func everyKind() []Record {
	return []Record{
		{Offset: 0, Key: []byte("key"), Value: []byte("value"), Headers: []schemas.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}}},
		{Offset: 1, Timestamp: 12_345, Key: nil, Value: []byte("no key")},
		{Offset: 2, Timestamp: -1, Key: []byte("no value"), Value: nil},
		{Offset: 3, Key: []byte{}, Value: []byte{}, Headers: []schemas.Header{{Key: "", Value: nil}, {Key: "empty", Value: []byte{}}}},
		{Offset: 4, Value: bytes.Repeat([]byte("large "), 50_000)},
	}
}
