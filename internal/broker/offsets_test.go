package broker

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"consentd/internal/kafkatest"
)

// noMember commits for a group that nobody is in.
func noMember(group string) Member { return Member{Group: group, Generation: -1} }

// passing repeats what a broker answers with an error that passes: a coordinator or leader that is not ready yet.
func passing[T any](ctx context.Context, t *testing.T, ask func() (T, error)) T {
	t.Helper()
	for {
		answer, err := ask()
		if err == nil {
			return answer
		}
		var code kafka.Error
		if ctx.Err() != nil || !errors.As(err, &code) || !code.Temporary() {
			t.Fatal(err)
		}
	}
}

func TestCommit_IsWhatCommittedReturns(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		one, two := makeTopic(t, b, 3, nil), makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, one, two)
		group := b.Topic(t, "group")
		everything := []TopicPartition{{one, 0}, {one, 1}, {one, 2}, {two, 0}}
		commit := func(offsets map[TopicPartition]Offset) {
			t.Helper()
			passing(ctx, t, func() (any, error) { return nil, c.Commit(ctx, noMember(group), offsets) })
		}

		commit(map[TopicPartition]Offset{{one, 0}: {At: 0}, {one, 2}: {At: 42}, {two, 0}: {7, "a text"}})
		commit(map[TopicPartition]Offset{{one, 2}: {41, strings.Repeat("x", 4096)}}) // back, too

		got := passing(ctx, t, func() (map[TopicPartition]Offset, error) { return c.Committed(ctx, group, everything) })
		if want := map[TopicPartition]Offset{{one, 0}: {At: 0}, {one, 2}: {41, strings.Repeat("x", 4096)}, {two, 0}: {7, "a text"}}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got, want := kafkatest.CommittedOffsets(t, b.Addr(), group, one), map[int32]int64{0: 0, 2: 41}; !maps.Equal(got, want) {
			t.Errorf("franz-go reads %v, want %v", got, want)
		}
		if got, want := kafkatest.CommittedMetadata(t, b.Addr(), group, two), map[int32]string{0: "a text"}; !maps.Equal(got, want) {
			t.Errorf("with metadata %q, want %q", got, want)
		}
		got = passing(ctx, t, func() (map[TopicPartition]Offset, error) { return c.Committed(ctx, group, everything[1:2]) })
		if len(got) != 0 {
			t.Errorf("of a partition that was not committed: %v", got)
		}
	})
}

func TestCommitted_ReadsOffsetsThatOthersCommittedWithMetadata(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		group := b.Topic(t, "group")
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = 9, kmsg.StringPtr("done: 11")
		asked := kmsg.NewOffsetCommitRequestTopic()
		asked.Topic, asked.Partitions = topic, append(asked.Partitions, p)
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Topics = group, append(req.Topics, asked)
		// Newer versions name topics by their ids.
		res, err := req.RequestWith(ctx, franz(t, b, kgo.MaxVersions(kversion.V3_0_0())))
		if err == nil {
			err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
		}
		if err != nil {
			t.Fatal(err)
		}
		tp := TopicPartition{topic, 0}
		got := passing(ctx, t, func() (map[TopicPartition]Offset, error) { return c.Committed(ctx, group, []TopicPartition{tp}) })
		if want := (Offset{9, "done: 11"}); got[tp] != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestCommitted_OfAGroupThatNeverWasIsNothing(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		got := passing(ctx, t, func() (map[TopicPartition]Offset, error) {
			got, err := c.Committed(ctx, b.Topic(t, "group"), []TopicPartition{{topic, 0}})
			if b.Kind() == "embedded" && errors.Is(err, kafka.GroupIdNotFound) {
				return nil, nil // its own way to say so
			}
			return got, err
		})
		if len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

func TestCommit_OfAGenerationThatIsOverIsRefused(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		group := b.Topic(t, "group")
		passing(ctx, t, func() (any, error) {
			return nil, c.Commit(ctx, noMember(group), map[TopicPartition]Offset{{topic, 0}: {At: 5}})
		})
		err := c.Commit(ctx, Member{Group: group, Generation: 3, ID: "gone"}, map[TopicPartition]Offset{{topic, 0}: {At: 1}})
		if !errors.Is(err, kafka.UnknownMemberId) && !errors.Is(err, kafka.IllegalGeneration) {
			t.Errorf("got %v, want %v or %v", err, kafka.UnknownMemberId, kafka.IllegalGeneration)
		}
		if got := kafkatest.CommittedOffsets(t, b.Addr(), group, topic); got[0] != 5 {
			t.Errorf("the offset is %v now, want 5", got)
		}
	})
}

func TestCommitted_OffsetsThatATransactionIsAboutToMoveAreAnErrorThatPasses(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		group, tp := b.Topic(t, "group"), TopicPartition{topic, 0}
		passing(ctx, t, func() (any, error) {
			return nil, c.Commit(ctx, noMember(group), map[TopicPartition]Offset{tp: {At: 1}})
		})
		end := commitInTransaction(ctx, t, b, group, topic, 2)

		_, err := c.Committed(ctx, group, []TopicPartition{tp})
		if !errors.Is(err, kafka.UnstableOffsetCommit) || Permanent(err) {
			t.Errorf("while it is open: got %v, want %v", err, kafka.UnstableOffsetCommit)
		}
		end()
		got, err := c.Committed(ctx, group, []TopicPartition{tp})
		for errors.Is(err, kafka.UnstableOffsetCommit) { // its markers are being written
			got, err = c.Committed(ctx, group, []TopicPartition{tp})
		}
		if err != nil || got[tp].At != 2 {
			t.Errorf("after it: got %v, %v, want 2", got, err)
		}
	})
}

// commitInTransaction sends partition 0's offset with a transaction that stays open until it is ended.
func commitInTransaction(ctx context.Context, t *testing.T, b *kafkatest.Broker, group, topic string, offset int64) (end func()) {
	t.Helper()
	cl := franz(t, b, kgo.MaxVersions(kversion.V3_0_0()))
	id := b.Topic(t, "offsets")
	must := func(code int16, err error) {
		t.Helper()
		if err == nil {
			err = kerr.ErrorForCode(code)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	producer := kmsg.NewPtrInitProducerIDRequest()
	producer.TransactionalID, producer.TransactionTimeoutMillis = &id, int32(patience.Milliseconds())
	p, err := producer.RequestWith(ctx, cl)
	for err == nil && kerr.IsRetriable(kerr.ErrorForCode(p.ErrorCode)) { // the coordinator loads
		p, err = producer.RequestWith(ctx, cl)
	}
	if err != nil {
		t.Fatal(err)
	}
	must(p.ErrorCode, nil)

	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, p.ProducerID, p.ProducerEpoch, group
	added, err := add.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	must(added.ErrorCode, nil)

	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = offset
	asked := kmsg.NewTxnOffsetCommitRequestTopic()
	asked.Topic, asked.Partitions = topic, append(asked.Partitions, part)
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch = id, p.ProducerID, p.ProducerEpoch
	commit.Group, commit.Generation, commit.Topics = group, -1, append(commit.Topics, asked)
	committed, err := commit.RequestWith(ctx, cl)
	if err != nil {
		t.Fatal(err)
	}
	must(committed.Topics[0].Partitions[0].ErrorCode, nil)

	return func() {
		t.Helper()
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id, p.ProducerID, p.ProducerEpoch, true
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			t.Fatal(err)
		}
		must(res.ErrorCode, nil)
	}
}

func TestOffsets_OfALogAreWhereItBeginsAndWhereItEnds(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		one, two := makeTopic(t, b, 2, nil), makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, one, two)
		write(t, b, one, 0, "a", "b", "c")
		kafkatest.DeleteRecords(t, b.Addr(), one, 0, 2)
		open := begin(t, b, "open")
		open.write(two, 0, "not committed")
		everything := []TopicPartition{{one, 0}, {one, 1}, {two, 0}}

		earliest, err := c.Earliest(ctx, everything)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[TopicPartition]int64{{one, 0}: 2, {one, 1}: 0, {two, 0}: 0}; !maps.Equal(earliest, want) {
			t.Errorf("the logs begin at %v, want %v", earliest, want)
		}
		latest, err := c.HighWatermarks(ctx, everything)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[TopicPartition]int64{{one, 0}: 3, {one, 1}: 0, {two, 0}: 1}; !maps.Equal(latest, want) {
			t.Errorf("the high watermarks are %v, want %v", latest, want)
		}
		open.end(kgo.TryAbort)
	})
}

func TestOffsets_OfAPartitionThatIsNotThereAreAnError(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic, "absent")
	if got, err := c.Earliest(ctx, []TopicPartition{{topic, 0}, {topic, 1}}); !errors.Is(err, kafka.LeaderNotAvailable) {
		t.Errorf("one of two: got %v, %v", got, err)
	}
	if got, err := c.HighWatermarks(ctx, []TopicPartition{{"absent", 0}}); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("of an absent topic: got %v, %v", got, err)
	}
	if kafkatest.TopicExists(t, b.Addr(), "absent") {
		t.Error("the absent topic was created")
	}
}

func TestOffsets_ReportTheBrokersError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		key  kmsg.Key
		top  bool
		ask  func(context.Context, *Cluster, TopicPartition) error
	}{
		{"commit", kmsg.OffsetCommit, false, func(ctx context.Context, c *Cluster, tp TopicPartition) error {
			return c.Commit(ctx, noMember("group"), map[TopicPartition]Offset{tp: {At: 1}})
		}},
		{"committed, of the group", kmsg.OffsetFetch, true, func(ctx context.Context, c *Cluster, tp TopicPartition) error {
			_, err := c.Committed(ctx, "group", []TopicPartition{tp})
			return err
		}},
		{"list offsets", kmsg.ListOffsets, false, func(ctx context.Context, c *Cluster, tp TopicPartition) error {
			_, err := c.Earliest(ctx, []TopicPartition{tp})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := kafkatest.Embedded(t)
			topic := makeTopic(t, b, 1, nil)
			ctx, c := setup(t, b, topic)
			b.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{tc.key}, TopLevel: tc.top, Err: kerr.TopicAuthorizationFailed, Count: -1})
			if err := tc.ask(ctx, c, TopicPartition{topic, 0}); !errors.Is(err, kafka.TopicAuthorizationFailed) {
				t.Errorf("got %v, want %v", err, kafka.TopicAuthorizationFailed)
			}
		})
	}
}
