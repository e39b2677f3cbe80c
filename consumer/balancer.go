package consumer

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/segmentio/kafka-go"
)

// balancer shares out the group's topics by partition number: partition p of every topic goes to one member, so that what
// belongs together is together. The numbers are spread evenly, those that all topics have and those that only the larger
// ones have alike, and stay where they were as far as that allows: each member says when it joins which it had. Safe for
// concurrent use: the library joins from a goroutine of its own.
type balancer struct {
	mu sync.Mutex
	// had are the numbers of this member's last assignment.
	had []int
	// assigned has the number of partitions of each topic, when it was this member that assigned them.
	assigned map[string]int
}

// ProtocolName names the way that all members of the group must share.
func (*balancer) ProtocolName() string { return "consentd" }

// UserData is what this member tells the one that assigns.
func (b *balancer) UserData() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return encodeNumbers(b.had), nil
}

// AssignGroups is called on the member that the group's coordinator chose to assign.
func (b *balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	counts := make(map[string]int)
	for _, p := range partitions {
		counts[p.Topic] = max(counts[p.Topic], p.ID+1)
	}
	b.mu.Lock()
	b.assigned = counts
	b.mu.Unlock()
	owners := spread(members, slices.Collect(maps.Values(counts)))
	assignments := make(kafka.GroupMemberAssignments)
	for _, m := range members {
		assignments[m.ID] = make(map[string][]int)
	}
	for topic, count := range counts {
		// While the configuration of a group is changed, member by member, not all read the same topics.
		var readers []string
		for _, m := range members {
			if slices.Contains(m.Topics, topic) {
				readers = append(readers, m.ID)
			}
		}
		slices.Sort(readers)
		for p := range count {
			owner := owners[p]
			if !slices.Contains(readers, owner) {
				owner = readers[p%len(readers)]
			}
			assignments[owner][topic] = append(assignments[owner][topic], p)
		}
	}
	return assignments
}

// joined notes the assignment of a new generation, and tells how many partitions of each topic it was made of when this
// member made it; nil: another did.
func (b *balancer) joined(assignments map[string][]kafka.PartitionAssignment) (assigned map[string]int) {
	numbers := make(map[int]bool)
	for _, partitions := range assignments {
		for _, p := range partitions {
			numbers[p.ID] = true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.had = slices.Sorted(maps.Keys(numbers))
	assigned, b.assigned = b.assigned, nil
	return assigned
}

// share is a member's part of the partition numbers.
type share struct {
	id string
	// claims are the numbers that it had, as far as they are still there and no other member said so first.
	claims map[int]bool
	given  int
}

// spread returns the owner of each partition number below the highest count. Of the numbers below each of the counts every
// member has as many as any other, or one more.
func spread(members []kafka.GroupMember, counts []int) (owners []string) {
	shares := make([]*share, len(members))
	for i, m := range members {
		shares[i] = &share{id: m.ID, claims: make(map[int]bool)}
	}
	slices.SortFunc(shares, func(a, b *share) int { return cmp.Compare(a.id, b.id) })
	claimed := make(map[int]bool)
	for _, s := range shares {
		i := slices.IndexFunc(members, func(m kafka.GroupMember) bool { return m.ID == s.id })
		for _, p := range decodeNumbers(members[i].UserData) {
			if !claimed[p] {
				claimed[p], s.claims[p] = true, true
			}
		}
	}
	slices.Sort(counts)
	owners = make([]string, slices.Max(append(counts, 0)))
	from := 0
	for _, to := range slices.Compact(counts) {
		spreadRange(shares, owners, from, to)
		from = to
	}
	return owners
}

// spreadRange gives out the numbers of [from, to), those below from being given.
func spreadRange(shares []*share, owners []string, from, to int) {
	least, larger := to/len(shares), to%len(shares)
	claims := func(s *share) (n int) {
		for p := range s.claims {
			if from <= p && p < to {
				n++
			}
		}
		return n
	}
	// Who gets one more than the others: whoever has as many already, and then who claims most.
	byClaims := slices.Clone(shares)
	slices.SortStableFunc(byClaims, func(a, b *share) int {
		return cmp.Or(cmp.Compare(max(b.given, least), max(a.given, least)), cmp.Compare(b.given+claims(b), a.given+claims(a)))
	})
	quota := make(map[*share]int)
	for i, s := range byClaims {
		quota[s] = least
		if i < larger {
			quota[s]++
		}
	}
	give := func(p int, s *share) {
		owners[p] = s.id
		s.given++
	}
	for p := from; p < to; p++ {
		for _, s := range shares {
			if s.claims[p] && s.given < quota[s] {
				give(p, s)
			}
		}
	}
	for p := from; p < to; p++ {
		if owners[p] == "" {
			give(p, slices.MaxFunc(shares, func(a, b *share) int {
				return cmp.Compare(quota[a]-a.given, quota[b]-b.given)
			}))
		}
	}
}

// encodeNumbers makes the user data of partition numbers: each as the distance from the one before.
func encodeNumbers(ascending []int) []byte {
	var b []byte
	last := 0
	for _, p := range ascending {
		b = binary.AppendUvarint(b, uint64(p-last))
		last = p
	}
	return b
}

// maxNumber bounds the numbers that are believed: no topic has so many partitions.
const maxNumber = 1 << 24

// decodeNumbers reads user data as far as it makes sense: it is a wish, no promise.
func decodeNumbers(b []byte) (numbers []int) {
	last := 0
	for len(b) > 0 {
		distance, n := binary.Uvarint(b)
		if n <= 0 || distance > maxNumber || last+int(distance) > maxNumber {
			return numbers
		}
		last += int(distance)
		numbers, b = append(numbers, last), b[n:]
	}
	return numbers
}
