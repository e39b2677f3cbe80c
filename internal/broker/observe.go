package broker

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// CommittedNow returns a group's committed offsets for those who only look: while a transaction is about to move one, it is
// where it was. Partitions that have none are left out. Who is to work from them wants Committed.
func (c *Cluster) CommittedNow(ctx context.Context, group string, tps []TopicPartition) (map[TopicPartition]Offset, error) {
	req := &kafka.OffsetFetchRequest{GroupID: group, Topics: make(map[string][]int)}
	for _, tp := range tps {
		req.Topics[tp.Topic] = append(req.Topics[tp.Topic], int(tp.Partition))
	}
	r, err := c.client.OffsetFetch(ctx, req)
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return nil, fmt.Errorf("committed offsets of group %s: %w", group, err)
	}
	offsets := make(map[TopicPartition]Offset, len(tps))
	for topic, partitions := range r.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("committed offset of %s/%d: %w", topic, p.Partition, p.Error)
			}
			if p.CommittedOffset >= 0 {
				offsets[TopicPartition{topic, int32(p.Partition)}] = Offset{At: p.CommittedOffset, Metadata: p.Metadata}
			}
		}
	}
	return offsets, nil
}
