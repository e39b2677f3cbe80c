package broker

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// decoded is what the reader makes of a partition's bytes.
type decoded struct {
	records []string
	next    int64
	err     error
}

func decode(src []byte, from int64, aborted ...abortedTransaction) decoded {
	var r batchReader
	r.reset(src, from, aborted)
	d := decoded{err: r.read(), next: r.next}
	for i := range r.records {
		d.records = append(d.records, shown(&r.records[i]))
	}
	return d
}

// offsetsAndValues is what most tests look at: "3=c".
func offsetsAndValues(src []byte, from int64, aborted ...abortedTransaction) (string, int64, error) {
	var r batchReader
	r.reset(src, from, aborted)
	err := r.read()
	var s []string
	for _, record := range r.records {
		s = append(s, fmt.Sprintf("%d=%s", record.Offset, record.Value))
	}
	return strings.Join(s, " "), r.next, err
}

func wantKinds(base int64) []string {
	var want []string
	for _, r := range everyKind() {
		r.Offset += base
		r.Timestamp += batchTime
		want = append(want, shown(&r))
	}
	return want
}

func TestBatchReader_ReadsWhatFranzGoEncodesWithEveryCodec(t *testing.T) {
	t.Parallel()
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := batch{base: 100, producer: -1, records: everyKind(), codec: codec}
			got := decode(append(b.encode(t), batchOf(105, "next").encode(t)...), 100)
			want := append(wantKinds(100), shown(&Record{Offset: 105, Timestamp: batchTime, Value: []byte("next")}))
			if got.err != nil || got.next != 106 || !slices.Equal(got.records, want) {
				t.Errorf("got %+v\nwant %q up to 106", got, want)
			}
		})
	}
}

// kafka-go frames snappy as the Java clients do; franz-go does not.
func TestBatchReader_ReadsWhatKafkaGoEncodesWithEveryCodec(t *testing.T) {
	t.Parallel()
	for _, codec := range []compress.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			got := decode(encodeWithKafkaGo(t, codec, everyKind()), 0)
			if want := wantKinds(0); got.err != nil || got.next != 5 || !slices.Equal(got.records, want) {
				t.Errorf("got %+v\nwant %q up to 5", got, want)
			}
		})
	}
}

func encodeWithKafkaGo(t testing.TB, codec compress.Compression, all []Record) []byte {
	t.Helper()
	var records []protocol.Record
	for _, r := range all {
		record := protocol.Record{Time: time.UnixMilli(batchTime + r.Timestamp), Key: protocol.NewBytes(r.Key), Value: protocol.NewBytes(r.Value)}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, protocol.Header{Key: h.Key, Value: h.Value})
		}
		records = append(records, record)
	}
	set := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(codec), Records: protocol.NewRecordReader(records...)}
	var b bytes.Buffer
	if _, err := set.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[4:] // it begins with its size
}

func TestBatchReader_BeginsWithinABatch(t *testing.T) {
	t.Parallel()
	src := encodeAll(t, batchOf(10, "a", "b", "c"), batchOf(13, "d"))
	for from, want := range map[int64]string{
		10: "10=a 11=b 12=c 13=d", 11: "11=b 12=c 13=d", 12: "12=c 13=d", 13: "13=d", 14: "",
	} {
		if got, next, err := offsetsAndValues(src, from); err != nil || got != want || next != 14 {
			t.Errorf("from %d: got %q, next %d, %v; want %q, next 14", from, got, next, err, want)
		}
	}
}

func TestBatchReader_LeavesOutAbortedTransactions(t *testing.T) {
	t.Parallel()
	// Those of producers 1 and 2 are interleaved, and producer 1 commits another later.
	interleaved := encodeAll(t,
		batchOf(0, "1 aborts").in(1),
		batchOf(1, "2 aborts").in(2),
		batchOf(2, "plain"),
		batchOf(3, "1 aborts", "1 aborts").in(1),
		marker(5, 2, abortMarker),
		batchOf(6, "2 commits").in(2),
		marker(7, 1, abortMarker),
		batchOf(8, "1 commits").in(1),
		marker(9, 2, commitMarker),
		marker(10, 1, commitMarker),
	)
	twice := encodeAll(t,
		batchOf(0, "aborted").in(1), marker(1, 1, abortMarker),
		batchOf(2, "committed").in(1), marker(3, 1, commitMarker),
		batchOf(4, "aborted").in(1), marker(5, 1, abortMarker),
		batchOf(6, "plain"),
	)
	for _, tc := range []struct {
		name    string
		src     []byte
		from    int64
		aborted []abortedTransaction
		want    string
		next    int64
	}{
		{"interleaved, listed as they began", interleaved, 0, []abortedTransaction{{1, 0}, {2, 1}}, "2=plain 6=2 commits 8=1 commits", 11},
		{"interleaved, listed as they ended", interleaved, 0, []abortedTransaction{{2, 1}, {1, 0}}, "2=plain 6=2 commits 8=1 commits", 11},
		{"none aborted", interleaved[:len(batchOf(0, "1 aborts").in(1).encode(t))], 0, nil, "0=1 aborts", 1},
		{"one producer twice", twice, 0, []abortedTransaction{{1, 0}, {1, 4}}, "2=committed 6=plain", 7},
		{"begun before the fetch", encodeAll(t, batchOf(8, "aborted").in(1), marker(9, 1, abortMarker), batchOf(10, "plain")), 8, []abortedTransaction{{1, 3}}, "10=plain", 11},
		{"taken up within a batch", encodeAll(t, batchOf(0, "aborted", "aborted").in(1), marker(2, 1, abortMarker)), 1, []abortedTransaction{{1, 0}}, "", 3},
		{"marker gone with the fetch's end", encodeAll(t, batchOf(0, "aborted").in(1), batchOf(1, "plain")), 0, []abortedTransaction{{1, 0}}, "1=plain", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, next, err := offsetsAndValues(tc.src, tc.from, tc.aborted...)
			if err != nil || got != tc.want || next != tc.next {
				t.Errorf("got %q, next %d, %v; want %q, next %d", got, next, err, tc.want, tc.next)
			}
		})
	}
}

func TestBatchReader_GoesOnBehindWhatHoldsNothing(t *testing.T) {
	t.Parallel()
	compacted := batchOf(10, "x")
	compacted.records[0].Offset, compacted.last = 2, 7 // 10, 11 and 13 to 17 are gone
	for _, tc := range []struct {
		name    string
		batches []batch
		aborted []abortedTransaction
		want    string
		next    int64
	}{
		{"nothing at all", nil, nil, "", 10},
		{"a compacted batch", []batch{compacted}, nil, "12=x", 18},
		{"an emptied batch", []batch{emptied(10, 3)}, nil, "", 14},
		{"an emptied batch that says it is compressed", []batch{{base: 10, last: 3, producer: 1, attributes: int16(compress.Snappy)}}, nil, "", 14},
		{"an emptied batch between others", []batch{batchOf(10, "a"), emptied(11, 8), batchOf(20, "b")}, nil, "10=a 20=b", 21},
		{"a gap before the batch", []batch{batchOf(90, "far")}, nil, "90=far", 91},
		{"a control batch without a transaction", []batch{{base: 10, attributes: control, records: marker(0, 1, 0).records}}, nil, "", 11},
		{"a marker", []batch{marker(10, 1, commitMarker)}, nil, "", 11},
		{"an aborted batch that was compacted", []batch{{base: 10, producer: 1, attributes: transactional, last: 5, records: batchOf(0, "x").records}}, []abortedTransaction{{1, 10}}, "", 16},
		{"a batch before the offset", []batch{batchOf(3, "old")}, nil, "", 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, next, err := offsetsAndValues(encodeAll(t, tc.batches...), 10, tc.aborted...)
			if err != nil || got != tc.want || next != tc.next {
				t.Errorf("got %q, next %d, %v; want %q, next %d", got, next, err, tc.want, tc.next)
			}
		})
	}
}

func TestBatchReader_LeavesABatchThatIsCutOffForTheNextFetch(t *testing.T) {
	t.Parallel()
	whole := batchOf(0, "whole").encode(t)
	src := append(slices.Clone(whole), batchOf(1, "cut", "off").encode(t)...)
	for end := range src {
		want, wantNext := "0=whole", int64(1)
		if end < len(whole) {
			want, wantNext = "", 0
		}
		if got, next, err := offsetsAndValues(src[:end], 0); err != nil || got != want || next != wantNext {
			t.Fatalf("cut off at %d of %d: got %q, next %d, %v; want %q, next %d", end, len(src), got, next, err, want, wantNext)
		}
	}
}

func TestBatchReader_RefusesOlderMessageFormats(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		src  []byte
		want string
	}{
		{"format 0", oldMessage(0, 100), "message format 0 is not supported"},
		{"format 1", oldMessage(1, 100), "message format 1 is not supported"},
		{"format 0, shorter than a batch's header", oldMessage(0, 1), "message format 0 is not supported"},
		{"format 1, shorter than a batch's header", oldMessage(1, 1), "message format 1 is not supported"},
		{"behind a batch of format 2", append(batchOf(0, "new").encode(t), oldMessage(1, 1)...), "message format 1 is not supported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := decode(tc.src, 0); got.err == nil || !strings.Contains(got.err.Error(), tc.want) {
				t.Errorf("got %+v, want an error with %q", got, tc.want)
			}
		})
	}
}

// oldMessage is a message as it was kept before Apache Kafka 0.11.
func oldMessage(format int8, valueBytes int) []byte {
	const offsetAndSize = 12
	value := make([]byte, valueBytes)
	if format == 0 {
		m := kmsg.MessageV0{Magic: 0, Value: value}
		m.MessageSize = int32(len(m.AppendTo(nil)) - offsetAndSize)
		return m.AppendTo(nil)
	}
	m := kmsg.MessageV1{Magic: 1, Value: value}
	m.MessageSize = int32(len(m.AppendTo(nil)) - offsetAndSize)
	return m.AppendTo(nil)
}

func TestBatchReader_ReportsWhatIsMalformed(t *testing.T) {
	t.Parallel()
	good := func() []byte { return batchOf(5, "aaaa", "bbbb").encode(t) }
	set := func(b []byte, at int, bytes ...byte) []byte {
		copy(b[at:], bytes)
		return b
	}
	record := func(fields ...byte) []byte { // of a batch of one, with the fields behind the length
		b := batchOf(0, "").encode(t)[:atRecords]
		b = append(append(b, byte(len(fields)<<1)), fields...)
		b[atLength+3] = byte(len(b) - atLength - 4)
		return sealed(b)
	}
	for _, tc := range []struct {
		name string
		src  []byte
	}{
		{"a byte that changed", set(good(), atRecords+6, 'X')},
		{"a checksum that changed", set(good(), atCRC, 1, 2, 3, 4)},
		{"a negative length", set(good(), atLength, 0xff, 0xff, 0xff, 0xff)},
		{"a length below the header's", set(good(), atLength, 0, 0, 0, 48)},
		{"an unknown codec", sealed(set(good(), atAttributes, 0, 7))},
		{"not what gzip makes", sealed(set(good(), atAttributes, 0, 1))},
		{"not what snappy makes", sealed(set(good(), atAttributes, 0, 2))},
		{"not what lz4 makes", sealed(set(good(), atAttributes, 0, 3))},
		{"not what zstd makes", sealed(set(good(), atAttributes, 0, 4))},
		{"more records than there are", sealed(set(good(), atRecordCount, 0, 0, 0, 3))},
		{"a record longer than the batch", sealed(set(good(), atRecords, 0x7e))},
		{"a record of a negative length", sealed(set(good(), atRecords, 0x01))},
		{"a record of no length", sealed(set(good(), atRecords, 0x00))},
		{"a length without an end", sealed(set(good(), atRecords, bytes.Repeat([]byte{0xff}, 11)...))},
		{"a key longer than its record", record(0, 0, 0, 0x7e, 'k', 1, 0)},
		{"a value longer than its record", record(0, 0, 0, 1, 0x7e, 'v', 0)},
		{"more headers than there are", record(0, 0, 0, 1, 1, 0x7e, 0, 1)},
		{"a header's value longer than its record", record(0, 0, 0, 1, 1, 2, 0, 0x7e)},
		{"a record cut off behind its key", record(0, 0, 0, 1)},
		{"an offset behind the batch's last", record(0, 0, 2, 1, 1, 0)},
		{"an offset before the batch's first", record(0, 0, 1, 1, 1, 0)},
		{"an offset that is not behind the one before", sealed(set(good(), atRecords+14, 0))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := decode(append(tc.src, good()...), 0); got.err == nil {
				t.Errorf("no error; got %+v", got)
			}
		})
	}
	if got := decode(record(0, 0, 0, 1, 1, 0), 0); got.err != nil || len(got.records) != 1 {
		t.Errorf("what these cases change does not hold by itself: %+v", got)
	}
}

func TestBatchReader_RefusesABatchThatUnfoldsToTooMuch(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as much memory as a batch may")
	}
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	src := packed(t, compress.Gzip, bytes.Repeat(member.Bytes(), maxInflatedBytes>>20+1))
	if got := decode(src, 0); !errors.Is(got.err, errUnfolds) {
		t.Errorf("%d bytes: got %v", len(src), got.err)
	}
}

// Snappy tells its lengths before its data: no room is made for what isn't there.
func TestBatchReader_DoesNotBelieveTheLengthsThatSnappyClaims(t *testing.T) {
	t.Parallel()
	const fourGiB = "\xff\xff\xff\xff\x0f"
	framing := "\x82SNAPPY\x00" + "\x00\x00\x00\x01\x00\x00\x00\x01"
	for _, tc := range []struct {
		name, data string
		want       error
	}{
		{"a block of 4 GiB", fourGiB + "x", errUnfolds},
		{"a framed block of 4 GiB", framing + "\x00\x00\x00\x06" + fourGiB + "x", errUnfolds},
		{"a second block of 4 GiB", framing + "\x00\x00\x00\x01\x00" + "\x00\x00\x00\x06" + fourGiB + "x", errUnfolds},
		{"a frame of 4 GiB", framing + "\xff\xff\xff\xff" + "\x01x", errMalformed},
		{"a frame without its length", framing + "\x00\x00", errMalformed},
		{"a frame without a block", framing + "\x00\x00\x00\x00", errMalformed},
		{"a length without an end", strings.Repeat("\xff", 11), errMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := decode(packed(t, compress.Snappy, []byte(tc.data)), 0); !errors.Is(got.err, tc.want) {
				t.Errorf("got %v, want %v", got.err, tc.want)
			}
		})
	}
}

// packed is a batch of a codec whose records are data.
func packed(t testing.TB, codec compress.Compression, data []byte) []byte {
	t.Helper()
	b := batch{producer: -1, attributes: int16(codec)}
	src := append(b.encode(t), data...)
	binary.BigEndian.PutUint32(src[atLength:], uint32(len(src)-atLength-4))
	return sealed(src)
}

func TestBatchReader_TellsTheMalformedFromOtherErrors(t *testing.T) {
	t.Parallel()
	src := batchOf(0, "x").encode(t)
	src[len(src)-1]++
	if got := decode(src, 0); !errors.Is(got.err, errMalformed) || len(got.records) != 0 || got.next != 0 {
		t.Errorf("got %+v, want nothing but errMalformed", got)
	}
}

func TestBatchReader_ForgetsTheLastPartitionWhenItIsReset(t *testing.T) {
	t.Parallel()
	var r batchReader
	r.reset(batchOf(0, "aborted").in(7).encode(t), 0, []abortedTransaction{{7, 0}})
	if err := r.read(); err != nil || len(r.records) != 0 {
		t.Fatalf("%v, %d records", err, len(r.records))
	}
	r.reset(batchOf(20, "committed").in(7).encode(t), 20, nil)
	if err := r.read(); err != nil || len(r.records) != 1 || r.next != 21 {
		t.Errorf("%v, %d records, next %d: want one, next 21", err, len(r.records), r.next)
	}
}
