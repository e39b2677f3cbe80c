package consumer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Offsets keeps account of one partition: which records were taken up, and which of them are done. Records are done out of
// order; what is committed is the first that is not, and with it, as the commit's metadata, which of those beyond it are.
// So a slow record neither holds back what is done after it nor lets it be done again after a crash. The zero value starts
// at offset 0; Start sets another. Not safe for concurrent use.
type Offsets struct {
	// end is the offset behind all that is known: below it everything is done but what open has.
	end int64
	// open has the offsets that are not done, by words of 64 in ascending order; unread those of them that stand in the
	// metadata and were not read again yet.
	open, unread words
	// held counts the words of open that are not empty.
	held int
}

// What bounds the words that are not wholly done, so that the metadata fits: the brokers take 4,096 bytes of base64. Each word
// takes its mask and the distance from the one before, which is most often one byte.
const (
	maxRaw    = 4096 / 4 * 3
	headBytes = 1 + 6 // the format, and how many offsets are told of
	wordBytes = 8
	maxHeld   = 336
	// So many words fit wherever they are, below 2^40 offsets.
	fitsAnyway = (maxRaw - headBytes) / (wordBytes + 5)
)

// Start sets where the partition is taken up, as it was committed. After an error, which says what is wrong with the
// metadata, it starts as if there were none.
func (o *Offsets) Start(next int64, metadata string) error {
	*o = Offsets{end: next}
	end, open, err := decodeMetadata(next, metadata)
	if err != nil {
		return fmt.Errorf("offset metadata %.80q: %w", metadata, err)
	}
	o.end, o.open, o.unread, o.held = end, open, slices.Clone(open), len(open)
	return nil
}

// Take notes that the record at offset, higher than all before, is worked on; done tells that it need not be, as it was
// done in an earlier life.
func (o *Offsets) Take(offset int64) (done bool) {
	if offset < o.end {
		o.Pass(offset)
		return !o.unread.clear(offset)
	}
	if o.open.set(offset) {
		o.held++
	}
	o.end = offset + 1
	return false
}

// Pass notes that there is nothing to do before next: markers, aborted, compacted or deleted records.
func (o *Offsets) Pass(next int64) {
	for o.unread.trim(); len(o.unread) > 0 && o.unread[0].first() < next; o.unread.trim() {
		offset := o.unread[0].first()
		o.unread.clear(offset)
		o.Done(offset)
	}
	o.end = max(o.end, next)
}

// Done notes that the outcome of the record at an offset that was taken is in the batch that is published next.
func (o *Offsets) Done(offset int64) {
	if o.open.clear(offset) && o.open.empty(offset) {
		o.held--
		o.open.trim()
	}
}

// Full tells that the record at offset may not be taken until some before it are done.
func (o *Offsets) Full(offset int64) bool {
	if offset < o.end || o.held < fitsAnyway {
		return false
	}
	last, size := o.open[0].index, headBytes
	add := func(index int64) {
		size += wordBytes + (bits.Len64(uint64(index-last)|1)+6)/7 // seven bits a byte
		last = index
	}
	for _, w := range o.open {
		if w.mask != 0 {
			add(w.index)
		}
	}
	add(offset / wordBits)
	return size > maxRaw || o.held >= maxHeld
}

// Committable returns the first offset that is not done, and what is to be committed with it.
func (o *Offsets) Committable() (next int64, metadata string) {
	if len(o.open) == 0 {
		return o.end, ""
	}
	next = o.open[0].first()
	if o.open.count() == o.end-next {
		return next, "" // nothing beyond it is done
	}
	return next, o.encode(next)
}

// The metadata is base64 of the bytes: a format number, how many offsets from the committed one on it tells of, and then
// each word of 64 offsets that is not wholly done, by its distance from the word before and a bit for each offset that is
// not done.
const metadataFormat = 1

func (o *Offsets) encode(next int64) string {
	b := make([]byte, 0, 3<<10)
	b = append(b, metadataFormat)
	b = binary.AppendUvarint(b, uint64(o.end-next))
	last := next / wordBits
	for _, w := range o.open {
		if w.mask != 0 {
			b = binary.AppendUvarint(b, uint64(w.index-last))
			b = binary.LittleEndian.AppendUint64(b, w.mask)
			last = w.index
		}
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

var errMetadata = errors.New("not written by consentd, or by a newer one")

func decodeMetadata(next int64, metadata string) (end int64, open words, err error) {
	if metadata == "" {
		return next, nil, nil
	}
	b, err := base64.RawStdEncoding.DecodeString(metadata)
	if err != nil || len(b) < 2 || b[0] != metadataFormat {
		return next, nil, errMetadata
	}
	b = b[1:]
	span, n := binary.Uvarint(b)
	const maxSpan = 1 << 40
	if n <= 0 || span == 0 || span > maxSpan {
		return next, nil, errMetadata
	}
	b = b[n:]
	end = next + int64(span)
	for last := next / wordBits; len(b) > 0; {
		distance, n := binary.Uvarint(b)
		if n <= 0 || len(b) < n+8 || distance > maxSpan || distance == 0 && len(open) > 0 {
			return next, nil, errMetadata
		}
		w := word{index: last + int64(distance), mask: binary.LittleEndian.Uint64(b[n:])}
		if w.mask == 0 || w.first() < next || w.last() >= end {
			return next, nil, errMetadata
		}
		open, last, b = append(open, w), w.index, b[n+8:]
	}
	if len(open) == 0 || len(open) > maxHeld || open[0].first() != next {
		return next, nil, errMetadata
	}
	return end, open, nil
}

const wordBits = 64

// word is a set of the offsets from wordBits·index on.
type word struct {
	index int64
	mask  uint64
}

func (w word) first() int64 { return w.index*wordBits + int64(bits.TrailingZeros64(w.mask)) }
func (w word) last() int64 {
	return w.index*wordBits + wordBits - 1 - int64(bits.LeadingZeros64(w.mask))
}

// words is a set of offsets, in ascending order of the index.
type words []word

func (s words) find(offset int64) (place int, ok bool) {
	return slices.BinarySearchFunc(s, offset/wordBits, func(w word, index int64) int { return int(w.index - index) })
}

// set adds an offset that is higher than all that are in it, and tells whether that made another word.
func (s *words) set(offset int64) (another bool) {
	bit := uint64(1) << (offset % wordBits)
	if n := len(*s); n > 0 && (*s)[n-1].index == offset/wordBits {
		another = (*s)[n-1].mask == 0
		(*s)[n-1].mask |= bit
		return another
	}
	*s = append(*s, word{offset / wordBits, bit})
	return true
}

// trim drops the empty words before the first offset.
func (s *words) trim() {
	for len(*s) > 0 && (*s)[0].mask == 0 {
		*s = (*s)[1:]
	}
}

// clear takes an offset out and tells whether it was in.
func (s words) clear(offset int64) bool {
	place, ok := s.find(offset)
	if !ok {
		return false
	}
	bit := uint64(1) << (offset % wordBits)
	was := s[place].mask&bit != 0
	s[place].mask &^= bit
	return was
}

// empty tells whether no offset of the word that has this one is left.
func (s words) empty(offset int64) bool {
	place, ok := s.find(offset)
	return !ok || s[place].mask == 0
}

func (s words) count() int64 {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w.mask)
	}
	return int64(n)
}
