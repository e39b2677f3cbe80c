package replay

import (
	"container/heap"

	"consentd/internal/broker"
)

// oldest finds out where the oldest so many of the records end in each partition. A record counts as no older than those
// before it in its partition: so they are a beginning of each.
type oldest struct {
	most int
	// at is the time of the newest record of each partition so far.
	at map[int32]int64
	// places are the oldest so far, the newest of them on top.
	places places
}

func newOldest(most int) *oldest { return &oldest{most: most, at: make(map[int32]int64)} }

func (o *oldest) add(partition int32, r *broker.Record) {
	o.at[partition] = max(o.at[partition], r.Timestamp)
	here := place{o.at[partition], r.Offset, partition}
	switch {
	case len(o.places) < o.most:
		heap.Push(&o.places, here)
	case here.compare(o.places[0]) < 0:
		o.places[0] = here
		heap.Fix(&o.places, 0)
	}
}

// ends returns, by partition, the offset behind the last of the oldest; false: all records are among them.
func (o *oldest) ends(seen int64) (map[int32]int64, bool) {
	if seen <= int64(o.most) {
		return nil, false
	}
	ends := make(map[int32]int64)
	for _, p := range o.places {
		ends[p.partition] = max(ends[p.partition], p.offset+1)
	}
	return ends, true
}

// places is a heap with the newest on top.
type places []place

func (p places) Len() int           { return len(p) }
func (p places) Less(i, j int) bool { return p[i].compare(p[j]) > 0 }
func (p places) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *places) Push(x any)        { *p = append(*p, x.(place)) }

func (p *places) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	*p = (*p)[:last]
	return x
}
