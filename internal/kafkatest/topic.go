package kafkatest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience is how long the helpers here wait for a broker before they fail the test. It is generous: it only costs
// time where something is broken.
const patience = 3 * time.Minute

// client returns a franz-go client for the length of the test, and the context its requests are bounded by.
func client(t testing.TB, addr string, opts ...kgo.Opt) (context.Context, *kgo.Client) {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	if err != nil {
		t.Fatalf("making a Kafka client: %v", err)
	}
	t.Cleanup(cl.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx, cl
}

// ctxEndsProducing has a context that ends fail what was sent and not acknowledged too: without it a producer waits for a
// cluster that is lost for as long as the test binary may run.
var ctxEndsProducing = kgo.AllowIdempotentProduceCancellation()

// AddPartitions has a topic grow to so many partitions, and returns when they can be written and read.
func AddPartitions(t testing.TB, addr, name string, partitions int) {
	t.Helper()
	ctx, cl := client(t, addr)
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = name, int32(partitions)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), int32(patience.Milliseconds())
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("adding partitions to topic %s: %v", name, err)
	}
	for {
		metadata, err := describe(ctx, cl, name)
		if err == nil && len(metadata.Partitions) == partitions {
			return
		}
		if err := pause(ctx, err); err != nil {
			t.Fatalf("topic %s with %d partitions: %v", name, partitions, err)
		}
	}
}

// CreateTopic creates a topic with these settings (nil: the broker's) and returns when it can be written and read.
func CreateTopic(t testing.TB, addr, name string, partitions int, configs map[string]string) {
	t.Helper()
	ctx, cl := client(t, addr)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, int32(partitions), 1
	for k, v := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		topic.Configs = append(topic.Configs, c)
	}
	createTopic(ctx, t, cl, topic)
	for {
		_, err := describe(ctx, cl, name)
		if err == nil {
			return
		}
		if err := pause(ctx, err); err != nil {
			t.Fatalf("topic %s was created and can't be used: %v", name, err)
		}
	}
}

// createTopic asks for the topic until the broker says yes: a cluster's node that has just started may refuse what it
// has to forward to its controller, and closes the connection then.
func createTopic(ctx context.Context, t testing.TB, cl *kgo.Client, topic kmsg.CreateTopicsRequestTopic) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), int32(patience.Milliseconds())
	for again := false; ; again = true {
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
			if err == nil || again && errors.Is(err, kerr.TopicAlreadyExists) {
				return
			}
		}
		if refused := new(kerr.Error); errors.As(err, &refused) && !refused.Retriable || pause(ctx, err) != nil {
			t.Fatalf("creating topic %s: %v", topic.Topic, err)
		}
	}
}

// TopicExists says whether the broker has the topic. Asking doesn't create it.
func TopicExists(t testing.TB, addr, name string) bool {
	t.Helper()
	ctx, cl := client(t, addr)
	_, err := describe(ctx, cl, name)
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("describing topic %s: %v", name, err)
	}
	return err == nil
}

// describe returns a topic's metadata, or the first error that it or one of its partitions has.
func describe(ctx context.Context, cl *kgo.Client, name string) (kmsg.MetadataResponseTopic, error) {
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	req := kmsg.NewPtrMetadataRequest()
	req.Topics, req.AllowAutoTopicCreation = append(req.Topics, topic), false
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return kmsg.MetadataResponseTopic{}, err
	}
	got := resp.Topics[0]
	err = kerr.ErrorForCode(got.ErrorCode)
	for _, p := range got.Partitions {
		if err == nil {
			err = kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return got, err
}

// Produce writes records, acknowledged by all replicas, and sets their Partition, Offset and Timestamp. Those with a key
// go where Java's default partitioner puts them.
func Produce(t testing.TB, addr string, records ...*kgo.Record) {
	t.Helper()
	produce(t, addr, kgo.StickyKeyPartitioner(nil), records)
}

// ProduceTo is [Produce] to the partition that each record names.
func ProduceTo(t testing.TB, addr string, records ...*kgo.Record) {
	t.Helper()
	produce(t, addr, kgo.ManualPartitioner(), records)
}

func produce(t testing.TB, addr string, partitioner kgo.Partitioner, records []*kgo.Record) {
	t.Helper()
	// A batch may be larger than the client's limit only for a single record's sake: a broker refuses it above 1 MiB
	// where the topic doesn't allow more.
	batch := 1_000_000
	for _, r := range records {
		size := len(r.Key) + len(r.Value) + 1024
		for _, h := range r.Headers {
			size += len(h.Key) + len(h.Value) + 16
		}
		batch = max(batch, size)
	}
	ctx, cl := client(t, addr, kgo.RecordPartitioner(partitioner), kgo.ProducerBatchMaxBytes(int32(batch)), ctxEndsProducing)
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("producing %d records: %v", len(records), err)
	}
}

// CommittedOffsets returns the offsets that a group has committed for a topic, by partition; without those it hasn't.
// It waits for pending transactions that carry offsets.
func CommittedOffsets(t testing.TB, addr, group, topic string) map[int32]int64 {
	t.Helper()
	offsets := map[int32]int64{}
	for p, o := range committed(t, addr, group, topic) {
		offsets[p] = o.Offset
	}
	return offsets
}

// AwaitEmptyGroup returns when the group has no members.
func AwaitEmptyGroup(t testing.TB, addr, group string) {
	t.Helper()
	ctx, cl := client(t, addr)
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	for {
		res, err := req.RequestWith(ctx, cl)
		if ctx.Err() != nil {
			t.Fatalf("group %s still has members (%v)", group, err)
		}
		if err == nil && len(res.Groups) == 1 && res.Groups[0].State == "Empty" {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond): // the brokers tell nobody
		case <-ctx.Done():
		}
	}
}

// CommittedMetadata returns the text that was committed with each offset of [CommittedOffsets].
func CommittedMetadata(t testing.TB, addr, group, topic string) map[int32]string {
	t.Helper()
	metadata := map[int32]string{}
	for p, o := range committed(t, addr, group, topic) {
		if o.Metadata != nil {
			metadata[p] = *o.Metadata
		}
	}
	return metadata
}

type committedOffset = kmsg.OffsetFetchResponseTopicPartition

func committed(t testing.TB, addr, group, topic string) map[int32]committedOffset {
	t.Helper()
	ctx, cl := client(t, addr)
	meta, err := describe(ctx, cl, topic)
	if err != nil {
		t.Fatalf("describing topic %s: %v", topic, err)
	}
	asked := kmsg.NewOffsetFetchRequestTopic()
	asked.Topic = topic
	for _, p := range meta.Partitions {
		asked.Partitions = append(asked.Partitions, p.Partition)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable, req.Topics = group, true, append(req.Topics, asked)

	for {
		found, err := fetchOffsets(ctx, cl, req)
		if err == nil {
			return found
		}
		if kerr.IsRetriable(err) {
			err = pause(ctx, err)
		}
		if err != nil {
			t.Fatalf("fetching the offsets of group %s: %v", group, err)
		}
	}
}

func fetchOffsets(ctx context.Context, cl *kgo.Client, req *kmsg.OffsetFetchRequest) (map[int32]committedOffset, error) {
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if errors.Is(err, kerr.GroupIDNotFound) { // kfake says so of a group that never was; Apache Kafka shows no offsets
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[int32]committedOffset{}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, err
			}
			if p.Offset >= 0 {
				found[p.Partition] = p
			}
		}
	}
	return found, nil
}
