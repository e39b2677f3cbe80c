package broker

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kgo"
)

// FuzzRecords_NoBytesPanic reads any bytes as they are and again with the checksums made right, so that what is behind
// them is read too. What comes of it, an error or not, keeps to what the reader promises.
func FuzzRecords_NoBytesPanic(f *testing.F) {
	add := func(from int64, aborted int64, batches ...batch) { f.Add(encodeAll(f, batches...), from, aborted) }
	add(0, -1)
	add(10, -1, batchOf(10, "a", "b"), batchOf(12, "c"))
	add(11, 10, batchOf(10, "a", "b").in(1), marker(12, 1, abortMarker), batchOf(13, "c").in(1), marker(14, 1, commitMarker))
	add(0, -1, emptied(0, 5), batchOf(9, "after a gap"))
	for _, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		b := batchOf(0, "a value that comes twice", "a value that comes twice")
		b.codec = codec
		add(0, -1, b)
	}
	kinds := batch{producer: -1, records: everyKind()[:4]}
	add(0, -1, kinds)
	f.Add(encodeWithKafkaGo(f, compress.Snappy, everyKind()[:4]), int64(2), int64(-1))
	f.Add(oldMessage(1, 100), int64(0), int64(-1))

	f.Fuzz(func(t *testing.T, src []byte, from, aborted int64) {
		if len(src) > 1<<12 {
			t.Skip("nothing is learnt from more")
		}
		for _, src := range [][]byte{src, sealedAll(src)} {
			var r batchReader
			r.reset(slices.Clone(src), from, []abortedTransaction{{producerID: 1, firstOffset: aborted}})
			err := r.read()
			if r.next < from {
				t.Fatalf("it goes back from %d to %d", from, r.next)
			}
			least := from
			for i := range r.records {
				if r.records[i].Offset < least {
					t.Fatalf("offset %d comes where %d is the least", r.records[i].Offset, least)
				}
				least = r.records[i].Offset + 1
			}
			if err == nil && least > r.next {
				t.Fatalf("it goes on at %d, the last record's offset is %d", r.next, least-1)
			}
		}
	})
}

// sealedAll gives every whole batch in src its checksum.
func sealedAll(src []byte) []byte {
	src = slices.Clone(src)
	for rest := src; len(rest) > atRecords; {
		length := int(int32(binary.BigEndian.Uint32(rest[atLength:])))
		end := atLength + 4 + length
		if length < atRecords-atLength-4 || end > len(rest) {
			break
		}
		sealed(rest[:end])
		rest = rest[end:]
	}
	return src
}
