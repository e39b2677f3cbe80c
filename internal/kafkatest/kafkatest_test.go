package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// values makes n records without a key, named after what.
func values(topic, what string, n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%s-%d", what, i)}
	}
	return records
}

// shown is the records as partition/offset=value.
func shown(records []*kgo.Record) string {
	var s []string
	for _, r := range records {
		s = append(s, fmt.Sprintf("%d/%d=%s", r.Partition, r.Offset, r.Value))
	}
	return strings.Join(s, " ")
}

func TestReadAll_GivesBackWhatWasProduced(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "plain")
		CreateTopic(t, b.Addr(), topic, 2, nil)
		if got := ReadAll(t, b.Addr(), topic); len(got) != 0 {
			t.Errorf("an empty topic gave %s", shown(got))
		}
		ProduceTo(t, b.Addr(),
			&kgo.Record{Topic: topic, Partition: 1, Key: []byte("k"), Value: []byte("a"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}},
			&kgo.Record{Topic: topic, Partition: 0, Value: []byte("b")},
			&kgo.Record{Topic: topic, Partition: 1, Value: []byte("c")},
		)
		got := ReadAll(t, b.Addr(), topic)
		if want := "0/0=b 1/0=a 1/1=c"; shown(got) != want {
			t.Fatalf("got %s, want %s", shown(got), want)
		}
		if r := got[1]; string(r.Key) != "k" || len(r.Headers) != 1 || r.Headers[0].Key != "h" {
			t.Errorf("key or headers are lost: %q %v", r.Key, r.Headers)
		}
	})
}

func TestProduce_PartitionsKeysAsJavaDoes(t *testing.T) {
	t.Parallel()
	b := Embedded(t)
	CreateTopic(t, b.Addr(), "keyed", 16, nil)
	// murmur2 of "21" is -973932308, after Kafka's own test of it: 0x7fffffff & that, modulo 16, is 12.
	r := &kgo.Record{Topic: "keyed", Key: []byte("21")}
	Produce(t, b.Addr(), r)
	if r.Partition != 12 {
		t.Errorf("the record is in partition %d, want 12", r.Partition)
	}
}

func TestProduce_TakesARecordOverOneMebibyte(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "large")
		CreateTopic(t, b.Addr(), topic, 1, map[string]string{"max.message.bytes": "4194304"})
		large := make([]byte, 3<<20)
		Produce(t, b.Addr(), &kgo.Record{Topic: topic, Value: large})
		if got := ReadAll(t, b.Addr(), topic); len(got) != 1 || !bytes.Equal(got[0].Value, large) {
			t.Errorf("read %d records, want the one of %d bytes", len(got), len(large))
		}
	})
}

func TestReadAll_SeesWhatWasJustCommitted(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		const partitions = 20
		topic := b.Topic(t, "transactions")
		CreateTopic(t, b.Addr(), topic, partitions, nil)
		ctx, cl := client(t, b.Addr(), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for round := 1; round <= 20; round++ {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for p := range int32(partitions) {
				if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				t.Fatal(err)
			}
			if n := len(ReadAll(t, b.Addr(), topic)); n != round*partitions {
				t.Fatalf("%d records after transaction %d of %d", n, round, partitions)
			}
		}
	})
}

func TestReadAll_EndsBehindMarkersAndAbortedRecords(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "transactions")
		CreateTopic(t, b.Addr(), topic, 1, nil)
		ctx, cl := client(t, b.Addr(), kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))
		for _, step := range []struct {
			value string
			end   kgo.TransactionEndTry
		}{{"kept", kgo.TryCommit}, {"aborted", kgo.TryAbort}} {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := cl.ProduceSync(ctx, kgo.StringRecord(step.value)).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(ctx, step.end); err != nil {
				t.Fatal(err)
			}
		}
		// EndTransaction returns before the markers are there; this record is stable once they are.
		Produce(t, b.Addr(), &kgo.Record{Topic: topic, Value: []byte("after")})
		Follow(ctx, t, b.Addr(), topic, func(all []*kgo.Record) bool { return len(all) == 2 })

		if got, want := shown(ReadAll(t, b.Addr(), topic)), "0/0=kept 0/4=after"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}

		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(ctx, kgo.StringRecord("open")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		Produce(t, b.Addr(), &kgo.Record{Topic: topic, Value: []byte("behind the open one")})
		if got, want := shown(ReadAll(t, b.Addr(), topic)), "0/0=kept 0/4=after"; got != want {
			t.Errorf("while a transaction is open: got %s, want %s", got, want)
		}
		if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCommittedOffsets_AreThoseOfTheGroupAndTopic(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "committed")
		CreateTopic(t, b.Addr(), topic, 3, nil)
		if got := CommittedOffsets(t, b.Addr(), topic, topic); len(got) != 0 {
			t.Errorf("a group that never was has offsets %v", got)
		}
		commit(t, b.Addr(), topic, topic, 2, 7, "done: 9")
		got := CommittedOffsets(t, b.Addr(), topic, topic)
		if len(got) != 1 || got[2] != 7 {
			t.Errorf("got %v, want map[2:7]", got)
		}
		if got := CommittedMetadata(t, b.Addr(), topic, topic); got[2] != "done: 9" {
			t.Errorf("got metadata %v", got)
		}
	})
}

func commit(t *testing.T, addr, group, topic string, partition int32, offset int64, metadata string) {
	t.Helper()
	ctx, cl := client(t, addr)
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, &metadata
	meta, err := describe(ctx, cl, topic)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: meta.TopicID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("committing an offset: %v %+v", err, resp)
	}
}

func TestAwaitCompacted_LeavesTheLastOfEachKey(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "compacted")
		CreateTopic(t, b.Addr(), topic, 1, CompactedTopic())
		for i := range 5 {
			Produce(t, b.Addr(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Append(nil, i)})
		}
		left := AwaitCompacted(t, b, topic, func(left []*kgo.Record) bool {
			if left[0].Offset == 4 {
				return true
			}
			// Rolls the segment that is written, which is never cleaned.
			Produce(t, b.Addr(), &kgo.Record{Topic: topic, Key: []byte("other"), Value: []byte("x")})
			return false
		})
		if string(left[0].Key) != "k" || string(left[0].Value) != "4" {
			t.Errorf("left: %s", shown(left))
		}
	})
}

func TestTopicExists_DoesNotCreateIt(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "absent")
		for range 2 {
			if TopicExists(t, b.Addr(), topic) {
				t.Fatal("the topic exists though nobody made it")
			}
		}
		CreateTopic(t, b.Addr(), topic, 1, nil)
		if !TopicExists(t, b.Addr(), topic) {
			t.Error("the topic doesn't exist though it was made")
		}
	})
}

// What finds those out who create topics by accident must itself work.
func TestEach_BrokersCreateTopicsForWhoeverAllowsIt(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, b *Broker) {
		topic := b.Topic(t, "accident")
		ctx, cl := client(t, b.Addr())
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &topic
		req := kmsg.NewPtrMetadataRequest()
		req.Topics, req.AllowAutoTopicCreation = append(req.Topics, asked), true
		for !TopicExists(t, b.Addr(), topic) {
			if _, err := req.RequestWith(ctx, cl); err != nil {
				t.Fatal(err)
			}
		}
		if meta, err := describe(ctx, cl, topic); err == nil && len(meta.Partitions) != 1 {
			t.Errorf("it has %d partitions, want 1", len(meta.Partitions))
		}
	})
}

func TestBroker_KeepsItsDataThroughARestart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		start func(testing.TB) *Broker
		end   func(*Broker) error
	}{
		{"embedded stopped", func(t testing.TB) *Broker { return EmbeddedOnDisk(t) }, (*Broker).Stop},
		{"apache stopped", Apache, (*Broker).Stop},
		{"apache killed", Apache, (*Broker).Kill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := tc.start(t)
			CreateTopic(t, b.Addr(), "kept", 1, nil)
			Produce(t, b.Addr(), values("kept", "before", 2)...)
			commit(t, b.Addr(), "g", "kept", 0, 1, "")

			if err := tc.end(b); err != nil {
				t.Fatal(err)
			}
			if c, err := net.Dial("tcp", b.Addr()); err == nil {
				_ = c.Close()
				t.Error("it still listens")
			}
			addr := b.Addr()
			if err := b.Restart(); err != nil {
				t.Fatal(err)
			}

			if b.Addr() != addr {
				t.Errorf("its address was %s, now it is %s", addr, b.Addr())
			}
			Produce(t, b.Addr(), values("kept", "after", 1)...)
			if got, want := shown(ReadAll(t, b.Addr(), "kept")), "0/0=before-0 0/1=before-1 0/2=after-0"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := CommittedOffsets(t, b.Addr(), "g", "kept"); got[0] != 1 {
				t.Errorf("committed offsets are %v, want map[0:1]", got)
			}
		})
	}
}

func TestFollow_GoesOnThroughARestart(t *testing.T) {
	t.Parallel()
	b := Apache(t)
	CreateTopic(t, b.Addr(), "followed", 1, nil)
	Produce(t, b.Addr(), values("followed", "before", 1)...)
	var restart sync.WaitGroup
	begun := false
	got := Follow(t.Context(), t, b.Addr(), "followed", func(all []*kgo.Record) bool {
		if len(all) == 1 && !begun {
			begun = true
			restart.Go(func() {
				if err := errors.Join(b.Kill(), b.Restart()); err != nil {
					t.Error(err)
					return
				}
				Produce(t, b.Addr(), values("followed", "after", 1)...)
			})
		}
		return len(all) == 2
	})
	restart.Wait() // it may be read before whoever wrote it knows
	if want := "0/0=before-0 0/1=after-0"; shown(got) != want {
		t.Errorf("got %s, want %s", shown(got), want)
	}
}

func TestBroker_RefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	b := Embedded(t)
	if err := b.Kill(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("killing an embedded broker: %v", err)
	}
	if err := b.Restart(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("restarting an embedded broker in memory: %v", err)
	}
	lent := &Broker{node: b.node, shared: true}
	for _, end := range []func() error{lent.Kill, lent.Stop, lent.Restart} {
		if err := end(); !errors.Is(err, ErrUnsupported) {
			t.Errorf("ending the shared broker: %v", err)
		}
	}
}

func TestStartApache_SaysWhyItDidNotStart(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(Apache(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	taken, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		options ApacheOptions
		want    string
	}{
		{"setting of the wrong type", ApacheOptions{Config: map[string]string{"num.partitions": "many"}}, "num.partitions"},
		{"port of another broker", ApacheOptions{Port: taken}, "Address already in use"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, err := StartApache(t.Context(), t.TempDir(), tc.options)
			if err == nil {
				t.Fatal("it started", b.Kill())
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error doesn't tell of %q: %v", tc.want, err)
			}
		})
	}
}

func TestStartApache_ContinuesADirectory(t *testing.T) {
	t.Parallel()
	first := Apache(t)
	CreateTopic(t, first.Addr(), "kept", 1, nil)
	Produce(t, first.Addr(), values("kept", "value", 1)...)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	second, err := StartApache(t.Context(), first.node.(*apache).dir, ApacheOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := shown(ReadAll(t, second.Addr(), "kept"))
	if err := second.Kill(); err != nil {
		t.Error(err)
	}
	if want := "0/0=value-0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoteSkip_AddsALine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "skips")
	for _, note := range []string{"one", "two"} {
		if err := noteSkip(file, note); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTopic_IsUniqueAndValid(t *testing.T) {
	t.Parallel()
	b := Embedded(t)
	t.Run("with spaces/and "+strings.Repeat("long ", 50), func(t *testing.T) {
		t.Parallel()
		one, two := b.Topic(t, "name"), b.Topic(t, "name")
		if one == two || len(one) > 249 || notInTopicName.MatchString(one) {
			t.Errorf("got %q and %q", one, two)
		}
		CreateTopic(t, b.Addr(), one, 1, nil)
	})
}
