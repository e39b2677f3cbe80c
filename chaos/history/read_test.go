package history

import (
	"context"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"consentd/internal/kafkatest"
)

var topics = Topics{
	Requests: "requests", Results: "results", Status: "status", Forward: "forward", DeadLetters: "dead-letters", Retry: []string{"retry-1s"},
}

// setup is a broker with the topics, of two partitions each, and a client that writes to the partition a record names.
func setup(t *testing.T, opts ...kgo.Opt) (*kafkatest.Broker, *kgo.Client) {
	t.Helper()
	b := kafkatest.Embedded(t)
	for _, topic := range topics.All() {
		kafkatest.CreateTopic(t, b.Addr(), topic, 2, nil)
	}
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxVersions(kversion.V3_9_0()))...) // later ones name topics by their ids in a commit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return b, cl
}

// transact writes values to a partition in one transaction.
func transact(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, partition int32, end kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v)}}}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(ctx, end); err != nil {
		t.Fatal(err)
	}
}

func commit(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, partition int32, offset int64) {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = "group", -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	p.Metadata = kmsg.StringPtr("text")
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func values(records []Record) (all []string) {
	for _, r := range records {
		all = append(all, r.Position()+"="+string(r.Value))
	}
	return all
}

func TestRead_HasWhatWasCommittedAndCountsWhatWasAborted(t *testing.T) {
	t.Parallel()
	b, cl := setup(t, kgo.TransactionalID("daemon"))
	ctx := t.Context()
	transact(ctx, t, cl, "requests", 1, kgo.TryCommit, "a")
	transact(ctx, t, cl, "requests", 1, kgo.TryAbort, "never")
	transact(ctx, t, cl, "requests", 0, kgo.TryCommit, "b", "c")
	transact(ctx, t, cl, "results", 0, kgo.TryAbort, "neither")
	transact(ctx, t, cl, "retry-1s", 0, kgo.TryCommit, "d")
	commit(ctx, t, cl, "retry-1s", 0, 0) // or there were no group, which the embedded broker takes for an error

	h, err := Read(ctx, []string{b.Addr()}, "group", topics)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := values(h.Requests), []string{"requests/0/0=b", "requests/0/1=c", "requests/1/0=a"}; !slices.Equal(got, want) {
		t.Errorf("requests are %q, want %q", got, want)
	}
	if got := values(h.Retry); !slices.Equal(got, []string{"retry-1s/0/0=d"}) || h.Retry[0].Headers["h"] != "d" {
		t.Errorf("parked are %q %v", got, h.Retry)
	}
	if len(h.Results) != 0 || h.AbortedTransactions != 1 || h.Partitions["status"] != 2 {
		t.Errorf("results %q, %d aborted transactions, partitions %v", values(h.Results), h.AbortedTransactions, h.Partitions)
	}
}

func TestCommits_ShowsWhatLiesBeyond(t *testing.T) {
	t.Parallel()
	b, cl := setup(t, kgo.TransactionalID("daemon"))
	ctx := t.Context()
	transact(ctx, t, cl, "requests", 0, kgo.TryCommit, "a", "b")
	transact(ctx, t, cl, "requests", 1, kgo.TryCommit, "c")
	transact(ctx, t, cl, "forward", 0, kgo.TryCommit, "d")
	commit(ctx, t, cl, "requests", 0, 1)
	commit(ctx, t, cl, "requests", 1, 1) // there is only a marker beyond
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "requests", Partition: 1, Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	commits, err := Commits(ctx, []string{b.Addr()}, "group", topics)
	if err != nil {
		t.Fatal(err)
	}
	if len(commits) != 6 {
		t.Fatalf("%d partitions, want 6", len(commits))
	}
	for _, c := range commits {
		var beyond []string
		open, offset, metadata := false, int64(-1), ""
		switch {
		case c.Topic == "requests" && c.Partition == 0:
			beyond, offset, metadata = []string{"requests/0/1=b"}, 1, "text"
		case c.Topic == "requests":
			open, offset, metadata = true, 1, "text"
		case c.Topic == "forward" && c.Partition == 0:
			beyond = []string{"forward/0/0=d"}
		}
		if !slices.Equal(values(c.Beyond), beyond) || c.Open != open || c.Offset != offset || c.Metadata != metadata {
			t.Errorf("%s/%d: committed %d %q, beyond %q, open %t", c.Topic, c.Partition, c.Offset, c.Metadata, values(c.Beyond), c.Open)
		}
	}
	if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}
