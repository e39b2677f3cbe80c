package broker

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Where ListOffsets looks.
const (
	latest   = -1 // the high watermark
	earliest = -2 // the log's start
)

// Earliest returns the first offset of each partition's log.
func (c *Cluster) Earliest(ctx context.Context, tps []TopicPartition) (map[TopicPartition]int64, error) {
	return c.listOffsets(ctx, tps, earliest)
}

// HighWatermarks returns the offset behind the last record of each partition, whether or not its transaction has
// ended.
func (c *Cluster) HighWatermarks(ctx context.Context, tps []TopicPartition) (map[TopicPartition]int64, error) {
	return c.listOffsets(ctx, tps, latest)
}

func (c *Cluster) listOffsets(ctx context.Context, tps []TopicPartition, timestamp int64) (map[TopicPartition]int64, error) {
	led, absent, err := c.byLeader(ctx, tps)
	if err == nil {
		err = absent
	}
	if err != nil {
		return nil, fmt.Errorf("offsets: %w", err)
	}
	found := make(map[TopicPartition]int64, len(tps))
	for id, tps := range led {
		req := kmsg.NewPtrListOffsetsRequest()
		for topic, partitions := range byTopic(tps) {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = topic
			for _, p := range partitions {
				rp := kmsg.NewListOffsetsRequestTopicPartition()
				rp.Partition, rp.Timestamp = p, timestamp
				t.Partitions = append(t.Partitions, rp)
			}
			req.Topics = append(req.Topics, t)
		}
		r, err := c.send(ctx, brokerID(id), req, listOffsetsVersion, &buffers{})
		if err != nil {
			return nil, err
		}
		for _, t := range r.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return nil, fmt.Errorf("offsets of %s/%d: %w", t.Topic, p.Partition, kafka.Error(p.ErrorCode))
				}
				found[TopicPartition{t.Topic, p.Partition}] = p.Offset
			}
		}
	}
	for _, tp := range tps {
		if _, ok := found[tp]; !ok {
			return nil, fmt.Errorf("offsets of %s: %w", tp, kafka.LeaderNotAvailable)
		}
	}
	return found, nil
}

func byTopic(tps []TopicPartition) map[string][]int32 {
	topics := make(map[string][]int32)
	for _, tp := range tps {
		topics[tp.Topic] = append(topics[tp.Topic], tp.Partition)
	}
	return topics
}

// Offset is what a group commits for a partition: where it goes on, and a text of its own, at most 4,096 bytes.
type Offset struct {
	At       int64
	Metadata string
}

// Committed returns a group's committed offsets; partitions that have none are left out. While a transaction is about to
// move one the error is kafka.UnstableOffsetCommit, which passes.
func (c *Cluster) Committed(ctx context.Context, group string, tps []TopicPartition) (map[TopicPartition]Offset, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = group, true
	for topic, partitions := range byTopic(tps) {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	r, err := c.send(ctx, coordinatorOf(group), req, offsetFetchVersion, &buffers{})
	if err != nil {
		return nil, err
	}
	res := r.(*kmsg.OffsetFetchResponse)
	if res.ErrorCode != 0 {
		return nil, fmt.Errorf("committed offsets of group %s: %w", group, kafka.Error(res.ErrorCode))
	}
	offsets := make(map[TopicPartition]Offset, len(tps))
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return nil, fmt.Errorf("committed offset of %s/%d: %w", t.Topic, p.Partition, kafka.Error(p.ErrorCode))
			}
			if p.Offset >= 0 {
				o := Offset{At: p.Offset}
				if p.Metadata != nil {
					o.Metadata = *p.Metadata
				}
				offsets[TopicPartition{t.Topic, p.Partition}] = o
			}
		}
	}
	return offsets, nil
}

// Member is a member of a group in one generation: what a commit is tied to.
type Member struct {
	Group      string
	Generation int32
	ID         string
}

// Commit sets the group's offsets. It is refused when the generation is over.
func (c *Cluster) Commit(ctx context.Context, m Member, offsets map[TopicPartition]Offset) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID = m.Group, m.Generation, m.ID
	at := make(map[string]int)
	for tp, offset := range offsets {
		i, ok := at[tp.Topic]
		if !ok {
			i = len(req.Topics)
			at[tp.Topic] = i
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic = tp.Topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = tp.Partition, offset.At, &offset.Metadata
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	r, err := c.send(ctx, coordinatorOf(m.Group), req, offsetCommitVersion, &buffers{})
	if err != nil {
		return err
	}
	for _, t := range r.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return fmt.Errorf("commit %s/%d: %w", t.Topic, p.Partition, kafka.Error(p.ErrorCode))
			}
		}
	}
	return nil
}
