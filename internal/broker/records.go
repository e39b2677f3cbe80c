package broker

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/segmentio/kafka-go/compress"

	"consentd/schemas"
)

// Record is a record as it was read. Its bytes belong to the fetch that brought it.
type Record struct {
	Offset    int64
	Timestamp int64 // unix ms
	Key       []byte
	Value     []byte // nil: a tombstone
	Headers   []schemas.Header
}

// The layout of a record batch, format 2 (Apache Kafka's documentation, "Message Format").
const (
	atBaseOffset      = 0
	atLength          = 8 // of all that follows the length itself
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21 // the CRC covers the batch from here
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atRecordCount     = 57
	atRecords         = 61

	codecMask     = 0x07
	logAppendTime = 0x08
	transactional = 0x10
	control       = 0x20

	// maxInflatedBytes bounds what a compressed batch may unfold to.
	maxInflatedBytes = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errMalformed is what a batch or record is that does not keep to the format.
var errMalformed = errors.New("malformed record batch")

// abortedTransaction is a producer's transaction that was aborted, and where it began.
type abortedTransaction struct {
	producerID  int64
	firstOffset int64
}

// batchReader walks the record batches of one partition's fetch, in place.
type batchReader struct {
	src []byte
	// aborted are the transactions to leave out, by first offset; active those that began and did not end yet.
	aborted []abortedTransaction
	active  map[int64]bool
	// next is the offset to go on at. It moves over control, aborted and emptied batches too: behind the last record
	// of a compacted batch there may be offsets that are gone.
	next int64
	// records has what was read: committed, at or after the first next, in order. Their headers lie in one slice.
	records []Record
	headers []schemas.Header
}

// reset begins with the bytes of another partition, keeping the room for records.
func (b *batchReader) reset(src []byte, next int64, aborted []abortedTransaction) {
	// A broker lists them in the order in which they ended.
	slices.SortFunc(aborted, func(a, b abortedTransaction) int { return cmp.Compare(a.firstOffset, b.firstOffset) })
	*b = batchReader{src: src, next: next, aborted: aborted, records: b.records[:0], headers: b.headers[:0]}
}

// read takes in all batches. A last one that was cut off by the fetch's size is left for the next fetch.
func (b *batchReader) read() error {
	for len(b.src) > atMagic { // which is at the same place in all formats, and the older ones may be shorter
		if magic := b.src[atMagic]; magic != 2 {
			return fmt.Errorf("message format %d is not supported: it is older than Apache Kafka 0.11", magic)
		}
		length := int(int32(binary.BigEndian.Uint32(b.src[atLength:])))
		if length < atRecords-atMagic+4 {
			return errMalformed
		}
		end := atLength + 4 + length
		if end > len(b.src) {
			return nil
		}
		batch := b.src[:end]
		b.src = b.src[end:]
		if crc32.Checksum(batch[atAttributes:], castagnoli) != binary.BigEndian.Uint32(batch[atCRC:]) {
			return fmt.Errorf("%w: checksum mismatch", errMalformed)
		}
		base := int64(binary.BigEndian.Uint64(batch[atBaseOffset:]))
		last := base + int64(binary.BigEndian.Uint32(batch[atLastOffsetDelta:]))
		if !b.skip(batch, last) {
			if err := b.readBatch(batch, base, last); err != nil {
				return err
			}
		}
		b.next = max(b.next, last+1)
	}
	return nil
}

// skip tells whether a batch has nothing for us: a transaction's marker, or records of one that was aborted.
func (b *batchReader) skip(batch []byte, last int64) bool {
	attributes := binary.BigEndian.Uint16(batch[atAttributes:])
	if attributes&transactional == 0 {
		return attributes&control != 0
	}
	for len(b.aborted) > 0 && b.aborted[0].firstOffset <= last {
		if b.active == nil {
			b.active = make(map[int64]bool)
		}
		b.active[b.aborted[0].producerID] = true
		b.aborted = b.aborted[1:]
	}
	producer := int64(binary.BigEndian.Uint64(batch[atProducerID:]))
	if attributes&control != 0 {
		delete(b.active, producer) // either marker ends the producer's transaction
		return true
	}
	return b.active[producer]
}

func (b *batchReader) readBatch(batch []byte, base, last int64) error {
	records := batch[atRecords:]
	if codec := compress.Compression(batch[atAttributes+1] & codecMask); codec != compress.None && len(records) > 0 {
		var err error
		if records, err = inflate(codec, records); err != nil {
			return err
		}
	}
	baseTimestamp := int64(binary.BigEndian.Uint64(batch[atBaseTimestamp:]))
	brokersTime := batch[atAttributes+1]&logAppendTime != 0
	maxTimestamp := int64(binary.BigEndian.Uint64(batch[atMaxTimestamp:]))
	d := varintReader{src: records}
	lowest := base // that the next record's offset may be
	for range binary.BigEndian.Uint32(batch[atRecordCount:]) {
		size := d.varint()
		if d.bad || size < 0 || size > int64(len(d.src)) {
			return errMalformed
		}
		r := varintReader{src: d.src[:size]}
		d.src = d.src[size:]
		r.skip(1) // attributes: none are defined
		record := Record{Timestamp: baseTimestamp + r.varint(), Offset: base + r.varint(), Key: r.bytes(), Value: r.bytes()}
		if brokersTime {
			record.Timestamp = maxTimestamp // those of the records stay as they were sent
		}
		first := len(b.headers)
		b.headers = r.headers(b.headers)
		record.Headers = b.headers[first:len(b.headers):len(b.headers)]
		if r.bad || record.Offset < lowest || record.Offset > last {
			return errMalformed
		}
		lowest = record.Offset + 1
		if record.Offset >= b.next {
			b.records = append(b.records, record)
		}
	}
	return nil
}

func inflate(codec compress.Compression, src []byte) ([]byte, error) {
	c := codec.Codec()
	if c == nil {
		return nil, fmt.Errorf("%w: unknown compression %d", errMalformed, codec)
	}
	if codec == compress.Snappy {
		if err := checkSnappy(src); err != nil {
			return nil, err
		}
	}
	r := c.NewReader(&sliceReader{src})
	defer r.Close() //nolint:errcheck // it was only read from
	out, err := io.ReadAll(io.LimitReader(r, maxInflatedBytes+1))
	if err != nil {
		return nil, fmt.Errorf("decompress a record batch: %w", err)
	}
	if len(out) > maxInflatedBytes {
		return nil, errUnfolds
	}
	return out, nil
}

var errUnfolds = fmt.Errorf("a record batch unfolds to more than %d bytes", maxInflatedBytes)

// checkSnappy checks the lengths that snappy data claims, its own and, in the Java clients' framing, that of each block:
// the codec makes room for them, up to 4 GiB each, before it looks at what is there.
func checkSnappy(src []byte) error {
	const framing, framingHeader = "\x82SNAPPY\x00", 16
	if len(src) < framingHeader || string(src[:len(framing)]) != framing {
		return checkSnappyBlock(src)
	}
	for src = src[framingHeader:]; len(src) > 0; {
		if len(src) < 4 || uint64(binary.BigEndian.Uint32(src)) > uint64(len(src)-4) {
			return errMalformed
		}
		end := 4 + int(binary.BigEndian.Uint32(src))
		if err := checkSnappyBlock(src[4:end]); err != nil {
			return err
		}
		src = src[end:]
	}
	return nil
}

func checkSnappyBlock(block []byte) error {
	switch size, n := binary.Uvarint(block); {
	case n <= 0:
		return errMalformed
	case size > maxInflatedBytes:
		return errUnfolds
	}
	return nil
}

// sliceReader reads a slice and is no more than an io.Reader: codecs look at other methods to guess what they read.
type sliceReader struct{ src []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.src) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.src)
	r.src = r.src[n:]
	return n, nil
}

// varintReader reads a record's fields; once one is bad all that follow are empty.
type varintReader struct {
	src []byte
	bad bool
}

func (r *varintReader) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.bad, r.src = true, nil
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *varintReader) skip(n int) {
	if n > len(r.src) {
		r.bad, r.src = true, nil
		return
	}
	r.src = r.src[n:]
}

// bytes returns nil for null.
func (r *varintReader) bytes() []byte {
	n := r.varint()
	if n < 0 {
		return nil
	}
	if n > int64(len(r.src)) {
		r.bad, r.src = true, nil
		return nil
	}
	b := r.src[:n:n]
	r.src = r.src[n:]
	return b
}

func (r *varintReader) headers(dst []schemas.Header) []schemas.Header {
	for n := r.varint(); n > 0 && !r.bad; n-- {
		dst = append(dst, schemas.Header{Key: string(r.bytes()), Value: r.bytes()})
	}
	return dst
}
