package kafkatest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ReadAll returns what a read_committed consumer sees of a topic from its start to the last stable offsets at the time
// of the call, by partition and offset. Transactions that ended before the call have been decided there.
func ReadAll(t testing.TB, addr, topic string) []*kgo.Record {
	t.Helper()
	ctx, cl := client(t, addr)
	if err := awaitMarkers(ctx, cl); err != nil {
		t.Fatalf("waiting for the markers of transactions: %v", err)
	}
	all, err := readAll(ctx, cl, topic)
	if err != nil {
		t.Fatalf("reading topic %s: %v", topic, err)
	}
	return all
}

func readAll(ctx context.Context, cl *kgo.Client, topic string) ([]*kgo.Record, error) {
	r, err := openReader(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	ends, err := listOffsets(ctx, cl, r.topic, latest)
	if err != nil {
		return nil, err
	}
	for {
		for p, next := range r.next {
			if next >= ends[p] {
				delete(r.next, p) // read to its end: not fetched again
			}
		}
		if len(r.next) == 0 {
			break
		}
		if err := r.fetch(ctx); err != nil {
			return nil, err
		}
	}
	all := slices.DeleteFunc(r.records, func(rec *kgo.Record) bool { return rec.Offset >= ends[rec.Partition] })
	slices.SortFunc(all, func(a, b *kgo.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return all, nil
}

// awaitMarkers waits until the last stable offsets are behind the transactions that have ended: Apache Kafka says that one has
// ended before it has written the markers to the partitions.
func awaitMarkers(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrListTransactionsRequest()
	req.StateFilters = []string{"PrepareCommit", "PrepareAbort"}
	for {
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		switch err = kerr.ErrorForCode(resp.ErrorCode); {
		case err == nil && len(resp.TransactionStates) == 0:
			return nil
		case err == nil:
			req.ProducerIDFilters = nil // those that end from now on are not waited for
			for _, ending := range resp.TransactionStates {
				req.ProducerIDFilters = append(req.ProducerIDFilters, ending.ProducerID)
			}
			err = errors.New("markers are being written")
		case !kerr.IsRetriable(err):
			return err
		}
		if err := pause(ctx, err); err != nil {
			return err
		}
	}
}

// Follow reads a topic from its start as a read_committed consumer until the predicate holds for all that came so far,
// each partition's records in order, and returns them. It fails the test with what was seen when ctx ends, or after a
// minute if ctx has no deadline. It goes on through a restart of the broker.
func Follow(ctx context.Context, t testing.TB, addr, topic string, until func(all []*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	_, cl := client(t, addr)
	r, err := openReader(ctx, cl, topic)
	if err != nil {
		t.Fatalf("following topic %s: %v", topic, err)
	}
	for !until(r.records) {
		if err := r.fetch(ctx); err != nil {
			t.Fatalf("following topic %s: %v\n%s", topic, err, describeRecords(r.records))
		}
	}
	return r.records
}

// AwaitCompacted waits until the broker's cleaner has left of a topic what the predicate asks for, and returns it. The
// topic should be made with [CompactedTopic]'s settings. Apache Kafka never cleans the segment that is being written: a
// record counts once another was written to its partition 50 ms or more later.
func AwaitCompacted(t testing.TB, b *Broker, topic string, until func(left []*kgo.Record) bool) []*kgo.Record {
	t.Helper()
	ctx, cl := client(t, b.Addr())
	var seen []*kgo.Record
	for {
		if c := b.Cluster(); c != nil {
			c.Compact()
		}
		left, err := readAll(ctx, cl, topic)
		if err == nil {
			if until(left) {
				return left
			}
			seen = left
			err = pause(ctx, errors.New("it is not what is waited for"))
		}
		if err != nil {
			t.Fatalf("waiting for topic %s to be compacted: %v\n%s", topic, err, describeRecords(seen))
		}
	}
}

// CompactedTopic returns the settings of a topic that the broker compacts as soon and as thoroughly as it can.
func CompactedTopic() map[string]string {
	return map[string]string{
		"cleanup.policy":            "compact",
		"segment.ms":                "50",
		"min.cleanable.dirty.ratio": "0.001",
		"min.compaction.lag.ms":     "0",
		"delete.retention.ms":       "0",
	}
}

// describeRecords lists the last records, short enough for a test's log.
func describeRecords(records []*kgo.Record) string {
	const most = 20
	var b strings.Builder
	fmt.Fprintf(&b, "%d records were seen", len(records))
	if len(records) > most {
		fmt.Fprintf(&b, ", the last %d", most)
		records = records[len(records)-most:]
	}
	for _, r := range records {
		fmt.Fprintf(&b, "\n  %d/%d %.80q: %.200q", r.Partition, r.Offset, r.Key, r.Value)
	}
	return b.String()
}

// reader reads a topic of a cluster of one node with fetches of its own, so that it knows where it is even behind
// records that it isn't shown: markers, aborted ones and what compaction left of them.
type reader struct {
	cl      *kgo.Client
	topic   kmsg.MetadataResponseTopic
	next    map[int32]int64 // by partition: the offset to fetch
	records []*kgo.Record   // as they came
}

func openReader(ctx context.Context, cl *kgo.Client, topic string) (*reader, error) {
	meta, err := describe(ctx, cl, topic)
	if err != nil {
		return nil, err
	}
	r := &reader{cl: cl, topic: meta}
	r.next, err = listOffsets(ctx, cl, meta, earliest)
	return r, err
}

// fetch asks for more of every partition in r.next and waits for it, 250 ms at most. A broker that is away, or says that
// a repeat may help, is waited for until ctx ends.
func (r *reader) fetch(ctx context.Context) error {
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = *r.topic.Topic, r.topic.TopicID
	for _, p := range slices.Sorted(maps.Keys(r.next)) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = p, r.next[p], 8<<20
		topic.Partitions = append(topic.Partitions, part)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 250, 1, 64<<20, 1
	req.Topics = append(req.Topics, topic)

	resp, err := req.RequestWith(ctx, r.cl)
	if err != nil {
		return pause(ctx, err)
	}
	err = kerr.ErrorForCode(resp.ErrorCode)
	for _, topic := range resp.Topics {
		for i := range topic.Partitions {
			err = cmp.Or(err, r.take(&topic.Partitions[i]))
		}
	}
	if kerr.IsRetriable(err) {
		return pause(ctx, err)
	}
	return err
}

func (r *reader) take(p *kmsg.FetchResponseTopicPartition) error {
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return err
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: r.next[p.Partition], IsolationLevel: kgo.ReadCommitted(),
		Topic: *r.topic.Topic, Partition: p.Partition,
	}, p, kgo.DefaultDecompressor(), nil)
	if got.Err != nil {
		return got.Err
	}
	r.records = append(r.records, got.Records...)
	r.next[p.Partition] = next
	return nil
}

// pause lets a moment pass before a repeat; when ctx has ended it returns that, with why there was to be a repeat.
func pause(ctx context.Context, why error) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w; last answer: %w", ctx.Err(), why)
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

// What listOffsets is asked for: the protocol's special timestamps.
const (
	latest   = -1
	earliest = -2
)

// listOffsets returns where each partition starts or, for a read_committed consumer, ends.
func listOffsets(
	ctx context.Context, cl *kgo.Client, topic kmsg.MetadataResponseTopic, which int64,
) (map[int32]int64, error) {
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = *topic.Topic
	for _, p := range topic.Partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = p.Partition, which
		asked.Partitions = append(asked.Partitions, part)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel, req.Topics = 1, append(req.Topics, asked)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	offsets := map[int32]int64{}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			offsets[p.Partition] = p.Offset
		}
	}
	return offsets, nil
}
