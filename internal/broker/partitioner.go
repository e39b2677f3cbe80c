package broker

import "github.com/segmentio/kafka-go"

// Partitioner places keys on a topic's partitions as the Java client's default partitioner does: by the murmur2 of the
// key; a record without a key goes anywhere. The zero value is for a topic without partitions and must not be asked.
type Partitioner struct {
	partitions []int
}

// NewPartitioner returns the partitioner of a topic with n partitions.
func NewPartitioner(n int32) Partitioner {
	p := Partitioner{partitions: make([]int, n)}
	for i := range p.partitions {
		p.partitions[i] = i
	}
	return p
}

// Count returns the number of partitions.
func (p Partitioner) Count() int32 { return int32(len(p.partitions)) }

// Partition returns the partition of a key.
func (p Partitioner) Partition(key []byte) int32 {
	var murmur2 kafka.Murmur2Balancer
	return int32(murmur2.Balance(kafka.Message{Key: key}, p.partitions...))
}
