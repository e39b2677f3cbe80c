package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/kafkatest"
)

func TestPartitions_LeavesOutAbsentTopicsAndDoesNotCreateThem(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		one, three, absent := makeTopic(t, b, 1, nil), makeTopic(t, b, 3, nil), b.Topic(t, "absent")
		ctx, c := setup(t, b, one, three, absent)
		for range 2 {
			got, err := c.Partitions(ctx, one, absent, three)
			if want := map[string]int32{one: 1, three: 3}; err != nil || !maps.Equal(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
			if kafkatest.TopicExists(t, b.Addr(), absent) {
				t.Fatal("the absent topic was created")
			}
		}
	})
}

func TestPartitions_AreAskedOfTheClusterNow(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	if n, err := c.PartitionCount(ctx, topic); err != nil || n != 1 { // this is what fills the cache
		t.Fatalf("got %d, %v, want 1", n, err)
	}
	grow(t, b, topic, 4)
	got, err := c.Partitions(ctx, topic)
	if err != nil || got[topic] != 4 {
		t.Errorf("got %v, %v, want 4", got, err)
	}
}

func grow(t *testing.T, b *kafkatest.Broker, topic string, to int32) {
	t.Helper()
	asked := kmsg.NewCreatePartitionsRequestTopic()
	asked.Topic, asked.Count = topic, to
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, asked), int32(patience.Milliseconds())
	res, err := req.RequestWith(bounded(t), franz(t, b))
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPartitionCount_OfAnAbsentTopicIsAnErrorAndDoesNotCreateIt(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, absent := makeTopic(t, b, 5, nil), b.Topic(t, "absent")
		ctx, c := setup(t, b, topic, absent)
		if n, err := c.PartitionCount(ctx, topic); err != nil || n != 5 {
			t.Errorf("got %d, %v, want 5", n, err)
		}
		if n, err := c.PartitionCount(ctx, absent); n != 0 || !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("of the absent topic: got %d, %v", n, err)
		}
		if kafkatest.TopicExists(t, b.Addr(), absent) {
			t.Error("the absent topic was created")
		}
	})
}

func TestCreate_MakesAbsentTopicsAndLeavesOthersAsTheyAre(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		there, absent := makeTopic(t, b, 2, nil), b.Topic(t, "absent")
		ctx, c := setup(t, b, there, absent)
		specs := []TopicSpec{
			{Name: there, Partitions: 7, Configs: map[string]string{"cleanup.policy": "compact"}},
			{Name: absent, Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact", "max.message.bytes": "2097152"}},
		}
		for range 2 {
			if err := c.Create(ctx, specs...); err != nil {
				t.Fatal(err)
			}
		}
		got, err := c.Partitions(ctx, there, absent)
		for err == nil && len(got) < 2 { // a broker makes topics first and tells of them then
			got, err = c.Partitions(ctx, there, absent)
		}
		if want := map[string]int32{there: 2, absent: 3}; err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		for _, want := range []struct{ topic, name, value string }{
			{there, "cleanup.policy", "delete"},
			{absent, "cleanup.policy", "compact"},
			{absent, "max.message.bytes", "2097152"},
		} {
			if got, err := c.Config(ctx, want.topic, want.name); err != nil || got != want.value {
				t.Errorf("%s of %s: got %q, %v, want %q", want.name, want.topic, got, err, want.value)
			}
		}
	})
}

func TestCreate_NamesTheTopicThatCouldNotBeMade(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, other := b.Topic(t, "refused"), b.Topic(t, "made")
		ctx, c := setup(t, b, topic, other)
		if embedded := b.Cluster(); embedded != nil { // it makes a topic of any number of partitions
			embedded.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Topic: topic, Err: kerr.InvalidPartitions})
		}
		err := c.Create(ctx, TopicSpec{Name: other, Partitions: 1}, TopicSpec{Name: topic, Partitions: -7})
		if !errors.Is(err, kafka.InvalidPartitionNumber) || !strings.Contains(err.Error(), topic) {
			t.Errorf("got %v, want %v and the name", err, kafka.InvalidPartitionNumber)
		}
	})
}

func TestConfig_OfATopicOrSettingThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, absent := makeTopic(t, b, 1, nil), b.Topic(t, "absent")
		ctx, c := setup(t, b, topic)
		if v, err := c.Config(ctx, topic, "no.such.setting"); err == nil || !strings.Contains(err.Error(), "no.such.setting") {
			t.Errorf("a setting: got %q, %v", v, err)
		}
		if v, err := c.Config(ctx, absent, "cleanup.policy"); !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("a topic: got %q, %v", v, err)
		}
		if kafkatest.TopicExists(t, b.Addr(), absent) {
			t.Error("the absent topic was created")
		}
	})
}

func TestByLeader_LeavesOutPartitionsThatNobodyLeads(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t, kfake.NumBrokers(2))
	topic := makeTopic(t, b, 4, nil)
	ctx, c := setup(t, b, topic)
	led := map[int32]int32{0: 1, 1: 0, 2: 1, 3: 0}
	for p, leader := range led {
		if err := b.Cluster().MoveTopicPartition(topic, p, leader); err != nil {
			t.Fatal(err)
		}
	}
	// The metadata comes in no order, and without a leader for partition 2.
	b.Cluster().ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster().KeepControl()
		asked := req.(*kmsg.MetadataRequest)
		res := asked.ResponseKind().(*kmsg.MetadataResponse)
		for node, addr := range b.Cluster().ListenAddrs() {
			broker := kmsg.NewMetadataResponseBroker()
			broker.NodeID = int32(node)
			broker.Host, broker.Port = hostPort(t, addr)
			res.Brokers = append(res.Brokers, broker)
		}
		described := kmsg.NewMetadataResponseTopic()
		described.Topic = kmsg.StringPtr(topic)
		for _, p := range []int32{3, 1, 2, 0} {
			partition := kmsg.NewMetadataResponseTopicPartition()
			partition.Partition, partition.Leader = p, led[p]
			if p == 2 {
				partition.Leader, partition.ErrorCode = -1, kerr.LeaderNotAvailable.Code
			}
			described.Partitions = append(described.Partitions, partition)
		}
		res.Topics = append(res.Topics, described)
		return res, nil, true
	})
	got, absent, err := c.byLeader(ctx, []TopicPartition{{topic, 0}, {topic, 1}, {topic, 2}, {topic, 3}, {topic, 4}})
	want := map[int32][]TopicPartition{0: {{topic, 1}, {topic, 3}}, 1: {{topic, 0}}}
	if err != nil || !errors.Is(absent, kafka.LeaderNotAvailable) || !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, %v, %v, want %v", got, absent, err, want)
	}
}

func TestCluster_ConnectsWithTLSAndSASL(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	t.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	b := kafkatest.Embedded(t,
		kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "password"), kfake.SeedTopics(2, "topic"),
	)
	open := func(password string, roots *x509.CertPool) (*Cluster, error) {
		c := Open(Options{
			Brokers: []string{b.Addr()}, Topics: []string{"topic"},
			TLS:  &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12},
			SASL: plain.Mechanism{Username: "user", Password: password},
		})
		t.Cleanup(c.Close)
		_, err := c.Partitions(bounded(t), "topic")
		return c, err
	}

	c, err := open("password", trusted)
	if err != nil {
		t.Fatal(err)
	}
	tp := TopicPartition{"topic", 1}
	var r Records
	r.Append(tp, nil, []byte("behind a lock"), nil, now())
	if err := c.Produce(bounded(t), &r, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	got := fetchUntil(bounded(t), t, c, map[TopicPartition]int64{tp: 0}, FetchOptions{}, count(1))
	if !slices.Equal(got.values[tp], []string{"behind a lock"}) {
		t.Errorf("got %v", got.values)
	}
	conn, err := c.Dialer().DialContext(bounded(t), "tcp", c.Brokers()[0])
	if err != nil {
		t.Errorf("its dialer: %v", err)
	} else {
		conn.Close()
	}

	if _, err := open("wr0ng-password", trusted); err == nil || strings.Contains(err.Error(), "wr0ng-password") {
		t.Errorf("with a wrong password: got %v, want an error without it", err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := open("password", x509.NewCertPool()); !errors.As(err, &unknown) {
		t.Errorf("without its authority: got %v, want %T", err, unknown)
	}
}

func TestCluster_ReportsThatNobodyAnswers(t *testing.T) {
	t.Parallel()
	c := Open(Options{Brokers: []string{"127.0.0.1:1"}, Topics: []string{"topic"}})
	t.Cleanup(c.Close)
	ctx, tp := bounded(t), []TopicPartition{{"topic", 0}}
	for name, ask := range map[string]func() error{
		"partitions":      func() error { _, err := c.Partitions(ctx, "topic"); return err },
		"partition count": func() error { _, err := c.PartitionCount(ctx, "topic"); return err },
		"create":          func() error { return c.Create(ctx, TopicSpec{Name: "topic", Partitions: 1}) },
		"config":          func() error { _, err := c.Config(ctx, "topic", "cleanup.policy"); return err },
		"earliest":        func() error { _, err := c.Earliest(ctx, tp); return err },
		"committed":       func() error { _, err := c.Committed(ctx, "group", tp); return err },
		"commit":          func() error { return c.Commit(ctx, noMember("group"), map[TopicPartition]Offset{tp[0]: {At: 1}}) },
		"read to the end": func() error {
			return c.ReadToEnd(ctx, tp, zerolog.Nop(), func(TopicPartition, *Record) error { return nil })
		},
	} {
		if err := ask(); err == nil || Permanent(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want an error that passes, at once", name, err)
		}
	}
}

func TestTopicPartition_IsWrittenWithASlash(t *testing.T) {
	t.Parallel()
	if got := (TopicPartition{"consent.requests", 7}).String(); got != "consent.requests/7" {
		t.Errorf("got %q", got)
	}
}
