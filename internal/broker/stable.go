package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// LastStable returns, for each partition, the offset at which a read_committed consumer stops: behind the last record whose
// transaction, and all before it, have ended.
func (c *Cluster) LastStable(ctx context.Context, tps []TopicPartition) (map[TopicPartition]int64, error) {
	return c.stableOffsets(ctx, tps, kafka.LastOffset)
}

// StableSince returns, for each partition, the offset of the first record that is not older than a time: all before it are.
// Partitions without one that a read_committed consumer may read are left out.
func (c *Cluster) StableSince(ctx context.Context, tps []TopicPartition, at time.Time) (map[TopicPartition]int64, error) {
	return c.stableOffsets(ctx, tps, max(0, at.UnixMilli())) // below 0 are words, not times
}

func (c *Cluster) stableOffsets(ctx context.Context, tps []TopicPartition, timestamp int64) (map[TopicPartition]int64, error) {
	req := &kafka.ListOffsetsRequest{IsolationLevel: kafka.ReadCommitted, Topics: make(map[string][]kafka.OffsetRequest)}
	for _, tp := range tps {
		req.Topics[tp.Topic] = append(req.Topics[tp.Topic], kafka.OffsetRequest{Partition: int(tp.Partition), Timestamp: timestamp})
	}
	r, err := c.client.ListOffsets(ctx, req)
	if err != nil {
		return nil, err
	}
	found := make(map[TopicPartition]int64, len(tps))
	for topic, partitions := range r.Topics {
		for _, p := range partitions {
			tp := TopicPartition{topic, int32(p.Partition)}
			if p.Error != nil {
				return nil, fmt.Errorf("offsets of %s: %w", tp, p.Error)
			}
			if timestamp == kafka.LastOffset {
				found[tp] = p.LastOffset
			}
			for offset := range p.Offsets {
				if offset >= 0 {
					found[tp] = offset
				}
			}
		}
	}
	return found, nil
}
