package kafkatest

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopic deletes a topic, and returns when it is gone.
func DeleteTopic(t testing.TB, addr, name string) {
	t.Helper()
	ctx, cl := client(t, addr)
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, topic), []string{name}, int32(patience.Milliseconds())
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("deleting topic %s: %v", name, err)
	}
	for TopicExists(t, addr, name) {
		if err := pause(ctx, err); err != nil {
			t.Fatalf("topic %s was deleted and is still there: %v", name, err)
		}
	}
}

// DeleteRecords deletes a partition's records below an offset, as retention does.
func DeleteRecords(t testing.TB, addr, topic string, partition int32, below int64) {
	t.Helper()
	ctx, cl := client(t, addr)
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, below
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), int32(patience.Milliseconds())
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("deleting the records of %s/%d below %d: %v", topic, partition, below, err)
	}
}
