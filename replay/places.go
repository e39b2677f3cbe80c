package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Places names records by runs of offsets: there may be many of them.
type Places struct {
	Count int64 `json:"count"`
	// Runs are the records, at most 1,000 runs of them.
	Runs []Run `json:"records"`
	// last has the place in Runs of each partition's last one.
	last map[int32]int
}

func newPlaces() Places { return Places{Runs: []Run{}, last: make(map[int32]int)} }

// Run is some records of a partition, both ends included, none left out between them.
type Run struct {
	Partition int32 `json:"partition"`
	Offsets
}

const mostRuns = 1000

// add adds a record; those of a partition come in order.
func (p *Places) add(partition int32, offset int64) {
	p.Count++
	if i, ok := p.last[partition]; ok && p.Runs[i].Last == offset-1 {
		p.Runs[i].Last = offset
		return
	}
	if len(p.Runs) < mostRuns {
		p.last[partition] = len(p.Runs)
		p.Runs = append(p.Runs, Run{partition, Offsets{offset, offset}})
	}
}

// text names the records of a topic in one line, the first few of them.
func (p *Places) text(topic string) string {
	const most = 20
	runs := slices.Clone(p.Runs)
	slices.SortFunc(runs, func(a, b Run) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First))
	})
	var b strings.Builder
	named := int64(0)
	for i, r := range runs[:min(most, len(runs))] {
		switch {
		case i == 0 || r.Partition != runs[i-1].Partition:
			if i > 0 {
				b.WriteString("; ")
			}
			fmt.Fprintf(&b, "%s/%d/", topic, r.Partition)
		default:
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "%d", r.First)
		if r.Last > r.First {
			fmt.Fprintf(&b, "-%d", r.Last)
		}
		named += r.Last - r.First + 1
	}
	if named < p.Count {
		fmt.Fprintf(&b, " and %d more", p.Count-named)
	}
	return b.String()
}
