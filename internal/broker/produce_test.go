package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"consentd/internal/kafkatest"
	"consentd/schemas"
)

// now is when the records that go to a broker are made: it deletes old ones.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

// appended is what was appended to a partition, as it must be read.
type appended map[TopicPartition][]string

func (a appended) append(r *Records, tp TopicPartition, record Record) {
	r.Append(tp, record.Key, record.Value, record.Headers, time.UnixMilli(record.Timestamp))
	record.Offset = int64(len(a[tp]))
	a[tp] = append(a[tp], shown(&record))
}

// everyKindAndLarge are records to produce, all of one time: a batch has only one.
func everyKindAndLarge(at time.Time) []Record {
	kinds := append(everyKind(),
		Record{Key: []byte("large"), Value: bytes.Repeat([]byte("0123456789"), 150_000)},
		Record{Key: bytes.Repeat([]byte("k"), 100_000), Value: []byte("behind a large one")},
		Record{Headers: []schemas.Header{{Key: "large", Value: bytes.Repeat([]byte("h"), 800_000)}}},
	)
	for i := range kinds {
		kinds[i].Timestamp = at.UnixMilli()
	}
	return kinds
}

func TestProduce_WhatIsAppendedIsReadByOthersAndByFetch(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 3, map[string]string{"max.message.bytes": "2097152"})
		ctx, c := setup(t, b, topic)
		var r Records
		at := now()
		want := make(appended)
		from := make(map[TopicPartition]int64)
		for i := range int32(3) {
			tp := TopicPartition{topic, i}
			from[tp] = 0
			want.append(&r, tp, Record{Timestamp: at.UnixMilli(), Value: fmt.Append(nil, "partition ", i)})
			for _, record := range everyKindAndLarge(at) {
				want.append(&r, tp, record)
			}
		}
		if want := 3 * (1 + len(everyKindAndLarge(at))); r.Len() != want {
			t.Errorf("%d records were appended, want %d", r.Len(), want)
		}
		if err := c.Produce(ctx, &r, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}

		others := make(appended)
		for _, record := range kafkatest.ReadAll(t, b.Addr(), topic) {
			tp := TopicPartition{topic, record.Partition}
			others[tp] = append(others[tp], shown(ofFranz(record)))
		}
		own := fetchUntil(ctx, t, c, from, FetchOptions{}, count(r.Len())).records
		for tp, want := range want {
			if got := others[tp]; !slices.Equal(got, want) {
				t.Errorf("franz-go reads of %s\n%q\nwant\n%q", tp, got, want)
			}
			if got := own[tp]; !slices.Equal(got, want) {
				t.Errorf("a fetch brings of %s\n%q\nwant\n%q", tp, got, want)
			}
		}
	})
}

// Without a broker: each batch goes to franz-go's decoder and to ours.
func TestRecords_AnyRecordIsReadBackAsItWas(t *testing.T) {
	t.Parallel()
	maybeNull := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	header := rapid.Custom(func(t *rapid.T) schemas.Header {
		return schemas.Header{Key: rapid.StringN(0, 20, 100).Draw(t, "name"), Value: maybeNull.Draw(t, "header")}
	})
	var r Records // used again and again: what was reset must not show
	tp := TopicPartition{"topic", 0}
	rapid.Check(t, func(t *rapid.T) {
		r.Reset()
		want := make(appended)
		for range rapid.IntRange(1, 100).Draw(t, "records") {
			want.append(&r, tp, Record{
				Timestamp: batchTime, Key: maybeNull.Draw(t, "key"), Value: maybeNull.Draw(t, "value"),
				Headers: rapid.SliceOfN(header, 0, 5).Draw(t, "headers"),
			})
		}
		b := bytes.Clone(r.partitions[tp].batch(unstamped))
		got := decode(b, 0)
		if got.err != nil || !slices.Equal(got.records, want[tp]) {
			t.Fatalf("we read %+v, want %q", got, want[tp])
		}
		p := kmsg.NewFetchResponseTopicPartition()
		p.RecordBatches = b
		franz, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{}, &p, kgo.DefaultDecompressor(), nil)
		var others []string
		for _, record := range franz.Records {
			others = append(others, shown(ofFranz(record)))
		}
		if franz.Err != nil || !slices.Equal(others, want[tp]) {
			t.Fatalf("franz-go reads %v %q, want %q", franz.Err, others, want[tp])
		}
	})
}

func TestRecords_ABatchIsBelowWhatBrokersTakeByDefault(t *testing.T) {
	t.Parallel()
	var r Records
	tp := TopicPartition{"topic", 0}
	sizes := []int{1, 700 << 10, 300 << 10, 2 << 20, 1, 400 << 10, 400 << 10, 1}
	for i, size := range sizes {
		r.Append(tp, nil, bytes.Repeat([]byte{byte('a' + i)}, size), nil, now())
	}
	p := r.partitions[tp]
	var got []int // records by batch
	for batch := p.batch(unstamped); batch != nil; batch = p.batch(unstamped) {
		var reader batchReader
		reader.reset(batch, 0, nil)
		if err := reader.read(); err != nil {
			t.Fatal(err)
		}
		if n := len(reader.records); len(batch) > batchBytes && n != 1 {
			t.Errorf("a batch of %d records has %d bytes", n, len(batch))
		}
		got = append(got, len(reader.records))
		p.sent++
	}
	if want := []int{2, 1, 1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("records by batch: %v, want %v", got, want)
	}
}

func TestProduce_SendsAllPartitionsInOneRequest(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	one, two := makeTopic(t, b, 3, nil), makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, one, two)
	requests := make(chan int, 10) // how many partitions each has
	b.Cluster().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster().KeepControl()
		n := 0
		for _, topic := range req.(*kmsg.ProduceRequest).Topics {
			n += len(topic.Partitions)
		}
		requests <- n
		return nil, nil, false
	})
	var r Records
	for _, tp := range []TopicPartition{{one, 0}, {one, 1}, {one, 2}, {two, 0}} {
		r.Append(tp, nil, []byte("x"), nil, now())
	}
	if err := c.Produce(ctx, &r, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	close(requests)
	if first := <-requests; first != 4 || len(requests) != 0 {
		t.Errorf("the first request has %d partitions, want 4; %d more requests, want none", first, len(requests))
	}
}

func TestProduce_SendsAgainOnlyWhatWasRefused(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 2, nil)
	ctx, c := setup(t, b, topic)
	refused := b.Cluster().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: 2,
	})
	var r Records
	for partition := range int32(2) {
		r.Append(TopicPartition{topic, partition}, nil, []byte("once"), nil, now())
	}
	logged, log := newAlerts()
	if err := c.Produce(ctx, &r, log); err != nil {
		t.Fatal(err)
	}
	logged.wait(ctx, t)
	if err := refused.Wait(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if all := kafkatest.ReadAll(t, b.Addr(), topic); len(all) != 2 || all[0].Partition == all[1].Partition {
		t.Errorf("%d records, want one in each partition", len(all))
	}
}

func TestProduce_WaitsForAPartitionsLeader(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	logged, log := newAlerts()
	ended := make(chan error, 1)
	go func() {
		var r Records
		for partition := range int32(2) {
			r.Append(TopicPartition{topic, partition}, nil, []byte("x"), nil, now())
		}
		ended <- c.Produce(ctx, &r, log)
	}()
	logged.wait(ctx, t)
	grow(t, b, topic, 2)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if all := kafkatest.ReadAll(t, b.Addr(), topic); len(all) != 2 || all[0].Partition == all[1].Partition {
		t.Errorf("%d records, want one in each partition", len(all))
	}
}

func TestProduce_ReturnsAtOnceWhatTryingAgainCannotMend(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 8, nil)
	ctx, c := setup(t, b, topic)
	b.Cluster().Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{5}, Err: kerr.TopicAuthorizationFailed, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Partitions: []int32{0, 1, 2, 3, 4, 6, 7}, Err: kerr.LeaderNotAvailable, Count: -1},
	)
	var r Records
	for partition := range int32(8) {
		r.Append(TopicPartition{topic, partition}, nil, []byte("x"), nil, now())
	}
	logged, log := newAlerts()
	if err := c.Produce(ctx, &r, log); !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("got %v, want %v", err, kafka.TopicAuthorizationFailed)
	}
	if len(logged) != 0 {
		t.Error("it tried again")
	}
}

func TestProduce_ReportsARecordThatIsTooLargeForTheTopic(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, map[string]string{"max.message.bytes": "1000"})
		ctx, c := setup(t, b, topic)
		var r Records
		r.Append(TopicPartition{topic, 0}, nil, make([]byte, 2000), nil, now())
		err := c.Produce(ctx, &r, zerolog.Nop())
		if !errors.Is(err, kafka.MessageSizeTooLarge) || !Permanent(err) {
			t.Errorf("got %v, want %v", err, kafka.MessageSizeTooLarge)
		}
	})
}

func TestProduce_TriesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := b.Topic(t, "absent")
		outer, c := setup(t, b, topic)
		stopped := errors.New("stopped")
		ctx, stop := context.WithCancelCause(outer)
		defer stop(nil)
		logged, log := newAlerts()
		ended := make(chan error, 1)
		go func() {
			var r Records
			r.Append(TopicPartition{topic, 0}, nil, []byte("x"), nil, now())
			ended <- c.Produce(ctx, &r, log)
		}()
		logged.wait(outer, t)
		stop(stopped)
		if err := <-ended; !errors.Is(err, stopped) {
			t.Errorf("got %v, want why it was stopped", err)
		} else if !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want what was tried last in it", err)
		}
		if kafkatest.TopicExists(t, b.Addr(), topic) {
			t.Error("the absent topic was created")
		}
	})
}

func TestProduce_OfNothingSendsNothing(t *testing.T) {
	t.Parallel()
	c := Open(Options{Brokers: []string{"127.0.0.1:1"}})
	t.Cleanup(c.Close)
	var r Records
	r.Append(TopicPartition{"topic", 0}, nil, []byte("x"), nil, now())
	r.Reset()
	if r.Len() != 0 {
		t.Errorf("%d records after a reset", r.Len())
	}
	if err := c.Produce(bounded(t), &r, zerolog.Nop()); err != nil {
		t.Error(err)
	}
}

func TestRecords_AreReadyAnewAfterAReset(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 2, nil)
	ctx, c := setup(t, b, topic)
	var r Records
	for i, partition := range []int32{0, 1, 1} {
		r.Reset()
		r.Append(TopicPartition{topic, partition}, nil, fmt.Append(nil, i), nil, now())
		if err := c.Produce(ctx, &r, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, record := range kafkatest.ReadAll(t, b.Addr(), topic) {
		got = append(got, fmt.Sprintf("%d/%d=%s", record.Partition, record.Offset, record.Value))
	}
	if want := []string{"0/0=0", "1/0=1", "1/1=2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
