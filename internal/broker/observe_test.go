package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/kafkatest"
)

func TestDescribe_SaysWhereTopicsAreAndCreatesNone(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, absent := makeTopic(t, b, 3, nil), b.Topic(t, "absent")
		ctx, c := setup(t, b, topic)
		d, err := c.Describe(ctx, topic, absent)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Nodes) != 1 || d.Nodes[0].Addr != b.Addr() {
			t.Errorf("nodes %v, want %s", d.Nodes, b.Addr())
		}
		got := d.Topics[topic]
		if got.Err != nil || len(got.Partitions) != 3 || !got.Operations.Known() || !got.Operations.Allow(OpRead) || !got.Operations.Allow(OpWrite) {
			t.Errorf("got %+v, want 3 partitions to read and write", got)
		}
		for _, p := range got.Partitions {
			if p.Leader != d.Nodes[0].ID || p.Replicas != 1 || p.InSync != 1 {
				t.Errorf("got %+v, want one replica, in sync, that leads", p)
			}
		}
		if err := d.Topics[absent].Err; !errors.Is(err, kafka.UnknownTopicOrPartition) || kafkatest.TopicExists(t, b.Addr(), absent) {
			t.Errorf("an absent topic: got %v, or it was made", err)
		}
		if d, err := c.Describe(ctx); err != nil || len(d.Topics) != 0 {
			t.Errorf("without topics: got %+v, %v", d.Topics, err)
		}
	})
}

func TestSettings_OfTopicsAndBrokers(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		one, two := makeTopic(t, b, 1, map[string]string{"cleanup.policy": "compact"}), b.Topic(t, "two")
		kafkatest.CreateTopic(t, b.Addr(), two, 1, map[string]string{"retention.ms": "1234567"})
		absent := b.Topic(t, "absent")
		ctx, c := setup(t, b, one, two)
		all, err := c.TopicSettings(ctx, one, two, absent)
		if err != nil || all[one].Values["cleanup.policy"] != "compact" || all[two].Values["retention.ms"] != "1234567" || all[two].Values["min.insync.replicas"] != "1" {
			t.Errorf("got %v, %v", all, err)
		}
		if !errors.Is(all[absent].Err, kafka.UnknownTopicOrPartition) {
			t.Errorf("an absent topic: got %v", all[absent].Err)
		}
		d, err := c.Describe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.BrokerSettings(ctx, d.Nodes[0].ID)
		if err != nil || s.Err != nil || s.Values["transaction.max.timeout.ms"] != "900000" {
			t.Errorf("of the broker: got %v, %v, %v", s.Values["transaction.max.timeout.ms"], s.Err, err)
		}
	})
}

func TestCreateWith_SaysOfEachTopicWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		there, absent := makeTopic(t, b, 1, nil), b.Topic(t, "absent")
		ctx, c := setup(t, b, there, absent)
		specs := []TopicSpec{{Name: there, Partitions: 2}, {Name: absent, Partitions: 2}}
		for _, validateOnly := range []bool{true, false} {
			errs, err := c.CreateWith(ctx, CreateOptions{ReplicationFactor: 1, ValidateOnly: validateOnly}, specs...)
			if err != nil || !errors.Is(errs[there], kafka.TopicAlreadyExists) || errs[absent] != nil {
				t.Errorf("got %v, %v", errs, err)
			}
			if validateOnly && kafkatest.TopicExists(t, b.Addr(), absent) {
				t.Error("it was created, though it should only be validated")
			}
		}
		d, err := c.Describe(ctx, absent)
		if err != nil || len(d.Topics[absent].Partitions) != 2 {
			t.Errorf("got %+v, %v, want 2 partitions", d.Topics[absent], err)
		}
	})
}

func TestDescribeGroup_NamesTheMembersAndWhatTheyHave(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, group := makeTopic(t, b, 3, nil), b.Topic(t, "group")
		ctx, c := setup(t, b, topic)
		d, err := c.DescribeGroup(ctx, group)
		if err != nil || d.State != "Dead" || len(d.Members) != 0 {
			t.Errorf("a group that nobody joined: got %+v, %v", d, err)
		}
		assigned := make(chan struct{})
		var once sync.Once
		member := franz(t, b, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID("somebody"), kgo.Balancers(kgo.RangeBalancer()),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, have map[string][]int32) {
				if len(have[topic]) == 3 {
					once.Do(func() { close(assigned) })
				}
			}))
		go member.PollFetches(ctx)
		select {
		case <-assigned:
		case <-ctx.Done():
			t.Fatal("the group does not come together")
		}
		d, err = c.DescribeGroup(ctx, group)
		if err != nil || d.State != "Stable" || d.Protocol != "range" || len(d.Members) != 1 || d.Members[0].ClientID != "somebody" ||
			len(d.Members[0].Partitions) != 3 || d.Members[0].Partitions[0].Topic != topic || !d.Operations.Allow(OpRead) {
			t.Errorf("got %+v, %v, want one member with 3 partitions", d, err)
		}
	})
}

func TestDescribeGroup_WaitsForItsCoordinator(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic, group := makeTopic(t, b, 1, nil), b.Topic(t, "group")
	ctx, c := setup(t, b, topic)
	answer := func(codes ...kafka.Error) {
		for _, code := range codes {
			b.Cluster().ControlKey(int16(kmsg.DescribeGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
				g := kmsg.NewDescribeGroupsResponseGroup()
				g.Group, g.ErrorCode = group, int16(code)
				resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
				resp.Groups = append(resp.Groups, g)
				return resp, nil, true
			})
		}
	}
	answer(kafka.GroupCoordinatorNotAvailable, kafka.GroupLoadInProgress, kafka.NotCoordinatorForGroup)
	if d, err := c.DescribeGroup(ctx, group); err != nil || d.State != "Dead" {
		t.Errorf("got %+v, %v, want the state, once there is a coordinator", d, err)
	}
	answer(kafka.GroupAuthorizationFailed)
	if _, err := c.DescribeGroup(ctx, group); !errors.Is(err, kafka.GroupAuthorizationFailed) {
		t.Errorf("got %v: what time does not mend was asked again", err)
	}
}

func TestCommittedNow_IsTheOffsetBeforeATransactionThatIsOpen(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, group := makeTopic(t, b, 2, nil), b.Topic(t, "group")
		ctx, c := setup(t, b, topic)
		tps := []TopicPartition{{topic, 0}, {topic, 1}}
		m := Member{Group: group, Generation: -1}
		if _, err := c.DescribeGroup(ctx, group); err != nil { // which waits for the coordinator
			t.Fatal(err)
		}
		if err := c.Commit(ctx, m, map[TopicPartition]Offset{tps[0]: {At: 7, Metadata: "text"}}); err != nil {
			t.Fatal(err)
		}
		got, err := c.CommittedNow(ctx, group, tps)
		if want := (Offset{At: 7, Metadata: "text"}); err != nil || len(got) != 1 || got[tps[0]] != want {
			t.Errorf("got %v, %v, want %v of the first alone", got, err, want)
		}
	})
}

func TestMayTransact_ChangesNothingForWhoeverUsesTheID(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		open := begin(t, b, "id")
		open.write(topic, 0, "in a transaction that is open")
		for _, id := range []string{b.Topic(t, "id"), b.Topic(t, "nobody")} {
			if err := c.MayTransact(ctx, id); err != nil {
				t.Errorf("%s: got %v", id, err)
			}
		}
		open.end(kgo.TryCommit)
		awaitStable(t, b, topic, "last")
		if values := valuesOf(kafkatest.ReadAll(t, b.Addr(), topic)); !slices.Equal(values, []string{"in a transaction that is open", "last"}) {
			t.Errorf("got %q: the transaction was disturbed", values)
		}
	})
	t.Run("denied", func(t *testing.T) {
		t.Parallel()
		b := kafkatest.Embedded(t, kfake.EnableACLs()) // nobody may do anything
		ctx, c := setup(t, b)
		if err := c.MayTransact(ctx, "id"); !errors.Is(err, kafka.TransactionalIDAuthorizationFailed) {
			t.Errorf("got %v, want %v", err, kafka.TransactionalIDAuthorizationFailed)
		}
	})
}

func valuesOf(records []*kgo.Record) (values []string) {
	for _, r := range records {
		values = append(values, string(r.Value))
	}
	return values
}

func TestReadRange_BringsWhatIsBetweenTheOffsetsAndNothingElse(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 3, nil)
		ctx, c := setup(t, b, topic)
		for p := range int32(3) {
			write(t, b, topic, p, "0", "1", "2", "3", "4")
		}
		kafkatest.DeleteRecords(t, b.Addr(), topic, 2, 3)
		tp := func(p int32) TopicPartition { return TopicPartition{topic, p} }
		read := func(from, to map[TopicPartition]int64) (got []string) {
			err := c.ReadRange(ctx, from, to, zerolog.Nop(), func(tp TopicPartition, r *Record) error {
				got = append(got, fmt.Sprintf("%d:%s", tp.Partition, r.Value))
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			slices.Sort(got)
			return got
		}
		got := read(map[TopicPartition]int64{tp(0): 1, tp(1): 3, tp(2): 0}, map[TopicPartition]int64{tp(0): 3, tp(1): 5, tp(2): 4})
		if want := []string{"0:1", "0:2", "1:3", "1:4", "2:3"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := read(map[TopicPartition]int64{tp(0): 5, tp(1): 2}, map[TopicPartition]int64{tp(0): 5, tp(1): 1}); got != nil {
			t.Errorf("of empty ranges: got %v", got)
		}
		enough := errors.New("enough")
		err := c.ReadRange(ctx, map[TopicPartition]int64{tp(0): 4}, nil, zerolog.Nop(), func(TopicPartition, *Record) error { return enough })
		if !errors.Is(err, enough) {
			t.Errorf("got %v, want the handler's error", err)
		}
	})
}

func TestOffsetsAt_FindsTheFirstRecordThatIsNotOlder(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 2, nil)
		ctx, c := setup(t, b, topic)
		base := time.Now().Add(-time.Hour).Truncate(time.Second)
		for i := range 3 {
			kafkatest.ProduceTo(t, b.Addr(), &kgo.Record{Topic: topic, Partition: 0, Value: []byte("v"), Timestamp: base.Add(time.Duration(i) * time.Minute)})
		}
		tps := []TopicPartition{{topic, 0}, {topic, 1}}
		for _, tc := range []struct {
			at   time.Duration
			want int64
		}{{-time.Hour, 0}, {0, 0}, {time.Second, 1}, {2 * time.Minute, 2}, {time.Hour, 3}} {
			got, err := c.OffsetsAt(ctx, tps, base.Add(tc.at))
			if err != nil || got[tps[0]] != tc.want || got[tps[1]] != 0 {
				t.Errorf("%s later: got %v, %v, want %d", tc.at, got, err, tc.want)
			}
		}
	})
}

func TestRequiredVersions_AreThoseThatBrokersHave(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		res, err := kmsg.NewPtrApiVersionsRequest().RequestWith(bounded(t), franz(t, b))
		if err != nil {
			t.Fatal(err)
		}
		highest := make(map[int16]int16)
		for _, k := range res.ApiKeys {
			highest[k.ApiKey] = k.MaxVersion
		}
		if n, m := len(RequiredVersions(false)), len(RequiredVersions(true)); n == 0 || n >= m {
			t.Errorf("%d requests without transactions, %d with them", n, m)
		}
		for key, version := range RequiredVersions(true) {
			if highest[int16(key)] < version {
				t.Errorf("%s: want version %d, the broker has %d", key, version, highest[int16(key)])
			}
		}
	})
}

func TestAwait_ReturnsWhatTryingAgainCannotMend(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t, kfake.EnableSASL())
	var log strings.Builder
	c := Open(Options{Brokers: []string{b.Addr()}, SASL: unknownMechanism{}})
	defer c.Close()
	if err := c.Await(bounded(t), zerolog.New(&log)); !errors.Is(err, kafka.UnsupportedSASLMechanism) || log.Len() > 0 {
		t.Errorf("got %v and %q, want %v at once", err, log.String(), kafka.UnsupportedSASLMechanism)
	}
	ctx, good := setup(t, kafkatest.Embedded(t))
	if err := good.Await(ctx, zerolog.Nop()); err != nil {
		t.Errorf("a cluster that is there: got %v", err)
	}
	nobody := Open(Options{Brokers: []string{"127.0.0.1:1"}})
	defer nobody.Close()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := nobody.Await(stopped, zerolog.Nop()); err != context.Canceled { //nolint:errorlint // nothing is to be said of the brokers
		t.Errorf("told to stop: got %v", err)
	}
}

// unknownMechanism is a login that no broker knows.
type unknownMechanism struct{}

func (unknownMechanism) Name() string { return "NONE" }

func (unknownMechanism) Start(context.Context) (sasl.StateMachine, []byte, error) {
	return nil, nil, errors.New("not asked for")
}
