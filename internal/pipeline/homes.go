package pipeline

import "consentd/internal/broker"

// Homes are the corps that this member checks and settles: each corp has its home in one partition of the topics that are
// partitioned by corp, and whoever is assigned that partition of the forward topic owns it. The zero value has none.
type Homes struct {
	byCorp broker.Partitioner
	owned  map[int32]bool
}

// NewHomes returns the homes in the given partitions.
func NewHomes(byCorp broker.Partitioner, partitions []int32) Homes {
	h := Homes{byCorp: byCorp, owned: make(map[int32]bool)}
	for _, p := range partitions {
		h.owned[p] = true
	}
	return h
}

// Own tells whether a corp has its home here.
func (h Homes) Own(corpID string) bool { return h.owned[h.byCorp.Partition([]byte(corpID))] }

// Share is the part of all homes that is here, 0 to 1.
func (h Homes) Share() float64 { return float64(len(h.owned)) / float64(h.byCorp.Count()) }
