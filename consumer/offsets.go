package consumer

// Offsets keeps account of one partition: which records were taken up, and which of them are done. Records are done out
// of order; what may be committed is the first that is not. The zero value starts at offset 0; Start sets another. Not
// safe for concurrent use.
type Offsets struct {
	// open has the records taken up from the first that is not done, in order.
	open []taken
	// dropped counts the records that left open at its front: a Ticket minus dropped is a place in open.
	dropped int64
	// next is the offset behind all that was taken up.
	next int64
}

type taken struct {
	offset int64
	done   bool
}

// Ticket stands for a record that was taken up.
type Ticket int64

// Start sets the offset at which the partition is taken up.
func (o *Offsets) Start(next int64) { *o = Offsets{next: next} }

// Take notes that the record at offset, higher than all before, is worked on.
func (o *Offsets) Take(offset int64) Ticket {
	o.open = append(o.open, taken{offset: offset})
	o.next = offset + 1
	return Ticket(o.dropped + int64(len(o.open)) - 1)
}

// Pass notes that there is nothing to do before next: markers, aborted or compacted records.
func (o *Offsets) Pass(next int64) { o.next = max(o.next, next) }

// Done notes that the record's outcome is in the batch that is published next.
func (o *Offsets) Done(t Ticket) {
	o.open[int64(t)-o.dropped].done = true
	n := 0
	for n < len(o.open) && o.open[n].done {
		n++
	}
	o.open = o.open[n:]
	o.dropped += int64(n)
}

// Committable returns the first offset that is not done.
func (o *Offsets) Committable() int64 {
	if len(o.open) > 0 {
		return o.open[0].offset
	}
	return o.next
}
