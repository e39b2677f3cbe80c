package history

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stuckAfter is for how long reading may bring nothing before it is given up.
const stuckAfter = 30 * time.Second

// Read reads everything from the beginning. Nothing may be written meanwhile.
func Read(ctx context.Context, brokers []string, group string, topics Topics) (*History, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	ends, err := listEnds(ctx, cl, topics.All(), committed)
	if err != nil {
		return nil, err
	}
	h := &History{Partitions: map[string]int{}}
	starts := map[string]map[int32]int64{}
	for topic, partitions := range ends {
		h.Partitions[topic] = len(partitions)
		starts[topic] = map[int32]int64{}
		for p := range partitions {
			starts[topic][p] = 0
		}
	}
	all, err := readBetween(ctx, brokers, starts, ends)
	if err != nil {
		return nil, err
	}
	h.Requests, h.Results, h.Status = all.records[topics.Requests], all.records[topics.Results], all.records[topics.Status]
	h.Forward, h.DeadLetters = all.records[topics.Forward], all.records[topics.DeadLetters]
	for _, topic := range topics.Retry {
		h.Retry = append(h.Retry, all.records[topic]...)
	}
	delete(all.aborted, topics.Requests) // upstream's
	h.AbortedTransactions = all.abortedTransactions()
	h.Commits, err = Commits(ctx, brokers, group, topics)
	return h, err
}

// Commits reads what the group has committed for the topics that the daemon reads, and what lies beyond.
func Commits(ctx context.Context, brokers []string, group string, topics Topics) ([]Commit, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	highs, err := listEnds(ctx, cl, topics.In(), uncommitted)
	if err != nil {
		return nil, err
	}
	ends, err := listEnds(ctx, cl, topics.In(), committed)
	if err != nil {
		return nil, err
	}
	commits, err := fetchCommits(ctx, cl, group, ends)
	if err != nil {
		return nil, err
	}
	beyond := map[string]map[int32]int64{}
	for i, c := range commits {
		commits[i].Open = highs[c.Topic][c.Partition] > c.End
		if c.Offset < c.End {
			if beyond[c.Topic] == nil {
				beyond[c.Topic] = map[int32]int64{}
			}
			beyond[c.Topic][c.Partition] = max(0, c.Offset)
		}
	}
	if len(beyond) == 0 {
		return commits, nil
	}
	rest, err := readBetween(ctx, brokers, beyond, ends)
	if err != nil {
		return nil, err
	}
	for i := range commits {
		for _, r := range rest.records[commits[i].Topic] {
			if r.Partition == commits[i].Partition {
				commits[i].Beyond = append(commits[i].Beyond, r)
			}
		}
	}
	return commits, nil
}

// reading is what was read of some topics.
type reading struct {
	records map[string][]Record
	aborted map[string]map[transaction]bool
}

// transaction names one well enough: a producer that aborted goes on with another epoch.
type transaction struct {
	producer int64
	epoch    int16
}

func (g *reading) abortedTransactions() int {
	all := map[transaction]bool{}
	for _, transactions := range g.aborted {
		maps.Copy(all, transactions)
	}
	return len(all)
}

// readBetween reads the partitions of starts, from there up to the ends.
func readBetween(ctx context.Context, brokers []string, starts, ends map[string]map[int32]int64) (*reading, error) {
	from := map[string]map[int32]kgo.Offset{}
	left := map[string]map[int32]bool{} // what is not read to its end
	for topic, partitions := range starts {
		for p, start := range partitions {
			if start >= ends[topic][p] {
				continue
			}
			if from[topic] == nil {
				from[topic], left[topic] = map[int32]kgo.Offset{}, map[int32]bool{}
			}
			from[topic][p] = kgo.NewOffset().At(start)
			left[topic][p] = true
		}
	}
	got := &reading{records: map[string][]Record{}, aborted: map[string]map[transaction]bool{}}
	if len(from) == 0 {
		return got, nil
	}
	// Markers are shown too: the last record of a partition may be one.
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	for len(left) > 0 {
		fetches := poll(ctx, cl)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("reading the history, with %v not read to the end: %w", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got.take(r, ends[r.Topic][r.Partition])
			if r.Offset+1 >= ends[r.Topic][r.Partition] {
				delete(left[r.Topic], r.Partition)
				if len(left[r.Topic]) == 0 {
					delete(left, r.Topic)
				}
			}
		})
	}
	for _, records := range got.records {
		slices.SortFunc(records, func(a, b Record) int {
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
		})
	}
	return got, nil
}

func poll(ctx context.Context, cl *kgo.Client) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, stuckAfter)
	defer cancel()
	return cl.PollFetches(ctx)
}

func (g *reading) take(r *kgo.Record, end int64) {
	if r.Offset >= end {
		return
	}
	if r.Attrs.IsControl() {
		// The key is a version and a type, 0 for an abort.
		if len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == 0 {
			if g.aborted[r.Topic] == nil {
				g.aborted[r.Topic] = map[transaction]bool{}
			}
			g.aborted[r.Topic][transaction{r.ProducerID, r.ProducerEpoch}] = true
		}
		return
	}
	record := Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp,
		Key: r.Key, Value: r.Value, Headers: make(map[string]string, len(r.Headers)),
	}
	for _, h := range r.Headers {
		record.Headers[h.Key] = string(h.Value)
	}
	g.records[r.Topic] = append(g.records[r.Topic], record)
}

// What listEnds is asked for: the protocol's isolation levels.
const (
	uncommitted = 0
	committed   = 1
)

// listEnds returns each partition's last stable offset, or with uncommitted its high watermark.
func listEnds(ctx context.Context, cl *kgo.Client, topics []string, isolation int8) (map[string]map[int32]int64, error) {
	metadata := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		metadata.Topics = append(metadata.Topics, topic)
	}
	known, err := metadata.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("looking up the topics: %w", err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = isolation
	for _, topic := range known.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return nil, fmt.Errorf("looking up topic %s: %w", *topic.Topic, err)
		}
		asked := kmsg.NewListOffsetsRequestTopic()
		asked.Topic = *topic.Topic
		for _, p := range topic.Partitions {
			part := kmsg.NewListOffsetsRequestTopicPartition()
			part.Partition, part.Timestamp = p.Partition, -1
			asked.Partitions = append(asked.Partitions, part)
		}
		req.Topics = append(req.Topics, asked)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("listing the ends: %w", err)
	}
	ends := map[string]map[int32]int64{}
	for _, topic := range resp.Topics {
		ends[topic.Topic] = map[int32]int64{}
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("listing the end of %s/%d: %w", topic.Topic, p.Partition, err)
			}
			ends[topic.Topic][p.Partition] = p.Offset
		}
	}
	return ends, nil
}

// fetchCommits asks for the offsets once no transaction is about to move them.
func fetchCommits(ctx context.Context, cl *kgo.Client, group string, ends map[string]map[int32]int64) ([]Commit, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = group, true
	for topic, partitions := range ends {
		asked := kmsg.NewOffsetFetchRequestTopic()
		asked.Topic = topic
		asked.Partitions = slices.Sorted(maps.Keys(partitions))
		req.Topics = append(req.Topics, asked)
	}
	var commits []Commit
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("fetching the committed offsets: %w", err)
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("fetching the committed offset of %s/%d: %w", topic.Topic, p.Partition, err)
			}
			c := Commit{Topic: topic.Topic, Partition: p.Partition, Offset: p.Offset, End: ends[topic.Topic][p.Partition]}
			if p.Metadata != nil {
				c.Metadata = *p.Metadata
			}
			commits = append(commits, c)
		}
	}
	slices.SortFunc(commits, func(a, b Commit) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return commits, nil
}
