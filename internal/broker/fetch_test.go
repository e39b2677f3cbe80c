package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/kafkatest"
)

// all fetches the first n partitions of a topic from their beginning.
func all(topic string, n int32) map[TopicPartition]int64 {
	from := make(map[TopicPartition]int64)
	for p := range n {
		from[TopicPartition{topic, p}] = 0
	}
	return from
}

// oneBatchAtATime makes each response have a single batch.
var oneBatchAtATime = FetchOptions{MaxBytes: 1, PartitionMaxBytes: 1}

func TestFetch_BringsWhatOthersCompress(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		for name, codec := range map[string]kgo.CompressionCodec{
			"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
			"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				topic := makeTopic(t, b, 1, nil)
				ctx, c := setup(t, b, topic)
				var records []*kgo.Record
				var want []string
				for i, kind := range everyKind() {
					r := &kgo.Record{Topic: topic, Timestamp: now(), Key: kind.Key, Value: kind.Value}
					for _, h := range kind.Headers {
						r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
					}
					records = append(records, r)
					kind.Offset, kind.Timestamp = int64(i), r.Timestamp.UnixMilli()
					want = append(want, shown(&kind))
				}
				cl := franz(t, b, kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
				if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
					t.Fatal(err)
				}
				got := fetchUntil(ctx, t, c, all(topic, 1), FetchOptions{}, count(len(want))).records
				if tp := (TopicPartition{topic, 0}); !slices.Equal(got[tp], want) {
					t.Errorf("got\n%q\nwant\n%q", got[tp], want)
				}
			})
		}
	})
}

func TestFetch_BeginsAtTheAskedOffset(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		tp := TopicPartition{topic, 0}
		var r Records
		for i := range 4 { // one batch
			r.Append(tp, nil, fmt.Append(nil, i), nil, now())
		}
		if err := c.Produce(ctx, &r, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
		write(t, b, topic, 0, "4", "5")
		for from := range int64(6) {
			got := fetchUntil(ctx, t, c, map[TopicPartition]int64{tp: from}, FetchOptions{}, passed(tp, 6))
			if want := []string{"0", "1", "2", "3", "4", "5"}[from:]; !slices.Equal(got.values[tp], want) {
				t.Errorf("from %d: got %v, want %v", from, got.values[tp], want)
			}
		}
	})
}

func TestFetch_NeverBringsWhatWasAborted(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		tp := TopicPartition{topic, 0}
		one, two := begin(t, b, "one"), begin(t, b, "two")
		one.write(topic, 0, "aborted")
		two.write(topic, 0, "aborted")
		write(t, b, topic, 0, "plain")
		one.write(topic, 0, "aborted")
		two.end(kgo.TryAbort) // it began second
		two.again()
		two.write(topic, 0, "two") // which the broker takes when the other's marker is there
		one.end(kgo.TryAbort)
		one.again()
		one.write(topic, 0, "one")
		two.end(kgo.TryCommit)
		one.end(kgo.TryCommit)
		one.again()
		one.write(topic, 0, "aborted")
		one.end(kgo.TryAbort)
		awaitStable(t, b, topic, "last")

		// What an independent client reads says where the records are.
		offsets := make(map[int64]string)
		for _, r := range kafkatest.ReadAll(t, b.Addr(), topic) {
			offsets[r.Offset] = string(r.Value)
		}
		order := slices.Sorted(maps.Keys(offsets))
		if len(order) != 4 {
			t.Fatalf("%d records are committed, want 4: %v", len(order), offsets)
		}
		end := order[3] + 1
		// A response that MaxBytes cuts off has no list of aborted transactions on the embedded broker.
		batchByBatch := FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1}
		for name, options := range map[string]FetchOptions{"in one": {}, "batch by batch": batchByBatch} {
			for from := range end {
				var want []string
				for _, offset := range order {
					if offset >= from {
						want = append(want, offsets[offset])
					}
				}
				got := fetchUntil(ctx, t, c, map[TopicPartition]int64{tp: from}, options, passed(tp, end))
				if !slices.Equal(got.values[tp], want) {
					t.Errorf("%s, from %d: got %v, want %v", name, from, got.values[tp], want)
				}
			}
		}
	})
}

func TestFetch_AsksWhereToGoOnWhenTheLogDoesNotHoldTheOffset(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		for _, tc := range []struct {
			name         string
			position, to int64
			want         []string
		}{
			{"behind its end", 100, 3, []string{"3", "4"}},
			{"before its start", 1, 2, []string{"2", "3", "4"}},
		} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				topic := makeTopic(t, b, 2, nil)
				ctx, c := setup(t, b, topic)
				tp, other := TopicPartition{topic, 0}, TopicPartition{topic, 1}
				write(t, b, topic, 0, "0", "1", "2", "3", "4")
				write(t, b, topic, 1, "other")
				kafkatest.DeleteRecords(t, b.Addr(), tp.Topic, tp.Partition, 2)
				asked := 0
				options := FetchOptions{
					MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Log: zerolog.Nop(),
					OutOfRange: func(_ context.Context, at TopicPartition, position int64) (int64, error) {
						if asked++; at != tp || position != tc.position {
							t.Errorf("asked about offset %d of %s", position, at)
						}
						if asked == 1 { // an error that passes: asked again
							return 0, errors.New("not known yet")
						}
						return tc.to, nil
					},
				}
				got := fetchUntil(ctx, t, c, map[TopicPartition]int64{tp: tc.position, other: 0}, options, count(len(tc.want)+1))
				if !slices.Equal(got.values[tp], tc.want) || !slices.Equal(got.values[other], []string{"other"}) {
					t.Errorf("got %v, want %v", got.values, tc.want)
				}
				if asked != 2 {
					t.Errorf("asked %d times, want 2", asked)
				}
			})
		}
	})
}

func TestFetch_AsksForAllPartitionsInOneRequest(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	one, two := makeTopic(t, b, 3, nil), makeTopic(t, b, 2, nil)
	ctx, c := setup(t, b, one, two)
	var fewest atomic.Int64
	fewest.Store(100)
	b.Cluster().ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster().KeepControl()
		if r := req.(*kmsg.FetchRequest); r.Version == fetchVersion {
			fewest.Store(min(fewest.Load(), int64(len(asked(r)))))
		}
		return nil, nil, false
	})
	write(t, b, one, 2, "x")
	write(t, b, two, 1, "x")
	from := all(one, 3)
	maps.Copy(from, all(two, 2))
	fetchUntil(ctx, t, c, from, FetchOptions{}, count(2))
	if n := fewest.Load(); n != 5 {
		t.Errorf("a request asked for %d partitions, want 5", n)
	}
}

// asked is which partitions a request asks for.
func asked(req *kmsg.FetchRequest) []TopicPartition {
	var tps []TopicPartition
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			tps = append(tps, TopicPartition{topic.Topic, p.Partition})
		}
	}
	return tps
}

func TestFetch_LeavesAlonePartitionsThatAreNotWanted(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 3, nil)
		ctx, c := setup(t, b, topic)
		write(t, b, topic, 0, "unwanted at first")
		write(t, b, topic, 1, "a", "b", "c")
		write(t, b, topic, 2, "unwanted at first")
		wanted, seen := TopicPartition{topic, 1}, make(map[TopicPartition]int)
		options := oneBatchAtATime
		// Wanted and the handler are called by the one broker's goroutine.
		options.Wanted = func(_ context.Context, tps []TopicPartition) ([]TopicPartition, time.Duration, error) {
			if len(tps) != 3 {
				t.Errorf("asked about %v, want all partitions", tps)
			}
			if seen[wanted] < 3 {
				return []TopicPartition{wanted}, time.Millisecond, nil
			}
			return tps, time.Hour, nil
		}
		err := c.Fetch(ctx, all(topic, 3), options, func(_ context.Context, f *Fetched) error {
			if f.TopicPartition != wanted && seen[wanted] < 3 {
				t.Errorf("%s was fetched though it was not wanted", f.TopicPartition)
			}
			seen[f.TopicPartition] += len(f.Records)
			if len(seen) == 3 {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) || seen[wanted] != 3 {
			t.Errorf("%v; records: %v", err, seen)
		}
	})
}

// What is wanted may be chosen in place.
func TestFetch_LendsWantedItsList(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 3, nil)
	ctx, c := setup(t, b, topic)
	for p := range int32(3) {
		write(t, b, topic, p, "x")
	}
	options := FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}
	read := make(map[TopicPartition]bool)
	options.Wanted = func(_ context.Context, tps []TopicPartition) ([]TopicPartition, time.Duration, error) {
		next := slices.IndexFunc(tps, func(tp TopicPartition) bool { return !read[tp] })
		tps[0] = tps[next]
		clear(tps[1:])
		return tps[:1], time.Hour, nil
	}
	err := c.Fetch(ctx, all(topic, 3), options, func(_ context.Context, f *Fetched) error {
		if read[f.TopicPartition] = true; len(read) == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("got %v, and only %v", err, read)
	}
}

func TestFetch_WhatTheHandlerLeftComesAgain(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	write(t, b, topic, 0, "a", "b", "c")
	var seen []string
	options := FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}
	err := c.Fetch(ctx, all(topic, 1), options, func(_ context.Context, f *Fetched) error {
		seen = append(seen, string(f.Records[0].Value))
		f.Next = f.Records[0].Offset + 1
		if len(seen) == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || !slices.Equal(seen, []string{"a", "b", "c"}) {
		t.Errorf("%v; first records: %v", err, seen)
	}
}

func TestFetch_TakesTurnsWhenTheResponseIsFull(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 3, nil)
		ctx, c := setup(t, b, topic)
		for p := range int32(3) {
			write(t, b, topic, p, "a", "b", "c")
		}
		var order []int32 // of the partitions whose batches came
		err := c.Fetch(ctx, all(topic, 3), oneBatchAtATime, func(_ context.Context, f *Fetched) error {
			if order = append(order, f.Partition); len(order) == 9 {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		for i := range order[:6] {
			if seen := order[i : i+3]; seen[0] == seen[1] || seen[1] == seen[2] || seen[0] == seen[2] {
				t.Fatalf("the partitions came as %v: want each of them once in three", order)
			}
		}
	})
}

func TestFetch_MoreTellsWhetherCommittedRecordsAreLeft(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		write(t, b, topic, 0, "a", "b", "c")
		open := begin(t, b, "open")
		open.write(topic, 0, "open") // not committed: no more to read
		var got []string
		err := c.Fetch(ctx, all(topic, 1), oneBatchAtATime, func(_ context.Context, f *Fetched) error {
			got = append(got, fmt.Sprintf("%s next %d more %t", f.Records[0].Value, f.Next, f.More))
			if f.Next == 3 {
				return errEnough
			}
			return nil
		})
		want := []string{"a next 1 more true", "b next 2 more true", "c next 3 more false"}
		if !errors.Is(err, errEnough) || !slices.Equal(got, want) {
			t.Errorf("%v; got %q, want %q", err, got, want)
		}
		open.end(kgo.TryAbort)
	})
}

func TestFetch_FollowedTellsWhetherTheResponseHasOthersRecords(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 5, nil)
		ctx, c := setup(t, b, topic)
		for _, p := range []int32{0, 2, 4} { // the others are empty
			write(t, b, topic, p, "x")
		}
		var followed []bool
		err := c.Fetch(ctx, all(topic, 5), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}, func(_ context.Context, f *Fetched) error {
			if followed = append(followed, f.Followed); len(followed) == 3 {
				return errEnough
			}
			return nil
		})
		if want := []bool{true, true, false}; !errors.Is(err, errEnough) || !slices.Equal(followed, want) {
			t.Errorf("%v; got %v, want %v", err, followed, want)
		}
	})
}

func TestFetch_HandsOnTheOffsetBehindWhatHasNoRecords(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		aborted := begin(t, b, "aborted")
		aborted.write(topic, 0, "aborted")
		aborted.end(kgo.TryAbort)
		// Nothing is written behind it: the fetch waits for the marker.
		tp := TopicPartition{topic, 0}
		if got := fetchUntil(ctx, t, c, all(topic, 1), FetchOptions{}, passed(tp, 2)); got.count != 0 || got.next[tp] != 2 {
			t.Errorf("got %d records and offset %d, want none and 2", got.count, got.next[tp])
		}
	})
}

func TestFetch_WaitsForAnAbsentTopicAndDoesNotCreateIt(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := b.Topic(t, "absent")
		ctx, c := setup(t, b, topic)
		logged, log := newAlerts()
		r := newReading(count(1))
		ended := make(chan error, 1)
		go func() {
			ended <- c.Fetch(ctx, all(topic, 2), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Log: log}, r.take)
		}()
		logged.wait(ctx, t)
		logged.wait(ctx, t)
		if kafkatest.TopicExists(t, b.Addr(), topic) {
			t.Fatal("the absent topic was created")
		}
		kafkatest.CreateTopic(t, b.Addr(), topic, 2, nil)
		write(t, b, topic, 1, "there")
		if err := <-ended; !errors.Is(err, errEnough) || r.values[TopicPartition{topic, 1}][0] != "there" {
			t.Errorf("%v; got %v", err, r.values)
		}
	})
}

func TestFetch_ATopicThatIsDeletedStopsNoOther(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		gone, stays := makeTopic(t, b, 1, nil), makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, gone, stays)
		read := make(chan struct{}, 2)
		r := newReading(func(r *reading) bool { read <- struct{}{}; return r.count == 2 })
		ended := make(chan error, 1)
		go func() {
			from := map[TopicPartition]int64{{gone, 0}: 0, {stays, 0}: 0}
			ended <- c.Fetch(ctx, from, FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}, r.take)
		}()
		write(t, b, stays, 0, "before")
		<-read
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TopicNames = []string{gone}
		if _, err := req.RequestWith(ctx, franz(t, b)); err != nil {
			t.Fatal(err)
		}
		write(t, b, stays, 0, "after")
		if err := <-ended; !errors.Is(err, errEnough) {
			t.Errorf("%v; got %v", err, r.values)
		}
	})
}

func TestFetch_WhatWasHandedOverOutlivesTheFailureOfAnotherBroker(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t, kfake.NumBrokers(2))
	topic := makeTopic(t, b, 2, nil)
	for p := range int32(2) {
		if err := b.Cluster().MoveTopicPartition(topic, p, p); err != nil {
			t.Fatal(err)
		}
	}
	ctx, c := setup(t, b, topic)
	write(t, b, topic, 0, "slow")
	logged, log := newAlerts()
	handled := 0
	err := c.Fetch(ctx, all(topic, 2), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Log: log}, func(handling context.Context, _ *Fetched) error {
		if handled++; handled > 1 {
			return errEnough
		}
		// While this is being handled the other broker fails.
		b.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{1}, Err: kerr.UnknownServerError})
		write(t, b, topic, 1, "next")
		if handling != ctx {
			return errors.New("handling has a context that ends with the other broker's fetch")
		}
		return nil
	})
	if !errors.Is(err, errEnough) || handled != 2 {
		t.Errorf("%v after %d records, want each handed over once", err, handled)
	}
	logged.wait(ctx, t)
}

func TestFetch_BringsEachRecordOnceWhereverItsResponsesAreCutOff(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		ctx, c := setup(t, b, topic)
		var want []string
		for i := range 12 { // batches of 70 bytes to 9 kB
			want = append(want, strings.Repeat(string(rune('a'+i)), 1+(i%4)*3000))
		}
		write(t, b, topic, 0, want...)
		for _, limit := range []int32{1, 69, 70, 100, 3000, 3100, 5000, 12_000, 1 << 20} {
			options := FetchOptions{MaxBytes: limit, PartitionMaxBytes: limit}
			got := fetchUntil(ctx, t, c, all(topic, 1), options, count(len(want)))
			if !slices.Equal(got.values[TopicPartition{topic, 0}], want) {
				t.Errorf("with %d bytes at most, the records are not those that were written", limit)
			}
		}
	})
}

func TestFetch_TakesUpAPartitionWhenItHasALeader(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	write(t, b, topic, 0, "led")
	led := make(chan struct{})
	r := newReading(func(r *reading) bool {
		if r.count == 1 {
			close(led)
		}
		return r.count == 2
	})
	ended := make(chan error, 1)
	go func() {
		ended <- c.Fetch(ctx, all(topic, 2), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}, r.take)
	}()
	select {
	case <-led:
		grow(t, b, topic, 2)
		write(t, b, topic, 1, "led later")
	case <-ctx.Done():
	}
	err := <-ended
	if want := map[TopicPartition][]string{{topic, 0}: {"led"}, {topic, 1}: {"led later"}}; !errors.Is(err, errEnough) || !reflect.DeepEqual(r.values, want) {
		t.Errorf("%v; got %v, want %v", err, r.values, want)
	}
}

func TestFetch_GoesOnWhenTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	b := kafkatest.EmbeddedOnDisk(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	write(t, b, topic, 0, "before")
	before := make(chan struct{})
	r := newReading(func(r *reading) bool {
		if r.count == 1 {
			close(before)
		}
		return r.count == 2
	})
	logged, log := newAlerts()
	ended := make(chan error, 1)
	go func() {
		ended <- c.Fetch(ctx, all(topic, 1), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Log: log}, r.take)
	}()
	select {
	case <-before:
	case <-ctx.Done():
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	logged.wait(ctx, t)
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	write(t, b, topic, 0, "after")
	if err := <-ended; !errors.Is(err, errEnough) || !slices.Equal(r.values[TopicPartition{topic, 0}], []string{"before", "after"}) {
		t.Errorf("%v; got %v", err, r.values)
	}
}

func TestFetch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, nil)
		outer, c := setup(t, b, topic)
		write(t, b, topic, 0, "x")
		ctx, stop := context.WithCancel(outer)
		err := c.Fetch(ctx, all(topic, 1), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}, func(context.Context, *Fetched) error {
			stop()
			return nil
		})
		if !errors.Is(err, context.Canceled) || outer.Err() != nil {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

func TestFetch_EndsWithTheErrorOfWhoeverItCalls(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	write(t, b, topic, 0, "x")
	fault := errors.New("the caller's fault")
	options := FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}
	if err := c.Fetch(ctx, all(topic, 1), options, func(context.Context, *Fetched) error { return fault }); !errors.Is(err, fault) {
		t.Errorf("the handler's: got %v", err)
	}
	options.Wanted = func(context.Context, []TopicPartition) ([]TopicPartition, time.Duration, error) { return nil, 0, fault }
	err := c.Fetch(ctx, all(topic, 1), options, func(context.Context, *Fetched) error {
		t.Error("nothing was wanted")
		return nil
	})
	if !errors.Is(err, fault) {
		t.Errorf("Wanted's: got %v", err)
	}
}

func TestFetch_GoesOnAfterAnErrorThatPassesAndEndsWithAPermanentOne(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	ctx, c := setup(t, b, topic)
	write(t, b, topic, 0, "a")
	fetches := []kmsg.Key{kmsg.Fetch}
	b.Cluster().Fault(
		kfake.Fault{Keys: fetches, Topic: topic, Err: kerr.NotLeaderForPartition},
		kfake.Fault{Keys: fetches, TopLevel: true, Err: kerr.UnknownServerError},
	)
	logged, log := newAlerts()
	r := newReading(func(*reading) bool { return false })
	err := c.Fetch(ctx, all(topic, 1), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Log: log}, func(ctx context.Context, f *Fetched) error {
		b.Cluster().Fault(kfake.Fault{Keys: fetches, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
		return r.take(ctx, f)
	})
	logged.wait(ctx, t)
	if !errors.Is(err, kafka.TopicAuthorizationFailed) || !strings.Contains(err.Error(), topic) {
		t.Errorf("got %v, want %v of the topic", err, kafka.TopicAuthorizationFailed)
	}
	if want := map[TopicPartition][]string{{topic, 0}: {"a"}}; !reflect.DeepEqual(r.values, want) {
		t.Errorf("got %v, want %v", r.values, want)
	}
}

func TestFetch_FollowsLeadersThatMove(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t, kfake.NumBrokers(3))
	topic := makeTopic(t, b, 6, nil)
	ctx, c := setup(t, b, topic)
	values := make(map[TopicPartition][]string)
	move := func(by int32) {
		for p := range int32(6) {
			if err := b.Cluster().MoveTopicPartition(topic, p, (p+by)%3); err != nil {
				t.Fatal(err)
			}
			v := fmt.Sprintf("partition %d, move %d", p, by)
			write(t, b, topic, p, v)
			values[TopicPartition{topic, p}] = append(values[TopicPartition{topic, p}], v)
		}
	}
	move(0)
	half := make(chan struct{})
	r := newReading(func(r *reading) bool {
		if r.count == 6 {
			close(half)
		}
		return r.count == 12
	})
	ended := make(chan error, 1)
	go func() {
		ended <- c.Fetch(ctx, all(topic, 6), FetchOptions{MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20}, r.take)
	}()
	select {
	case <-half:
		move(1)
	case <-ctx.Done():
	}
	if err := <-ended; !errors.Is(err, errEnough) || !reflect.DeepEqual(r.values, values) {
		t.Errorf("%v; got %v, want %v", err, r.values, values)
	}
}

func TestFetch_OfNothingWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // a loop that does not wait would keep this clock from going on
		c := Open(Options{Brokers: []string{"127.0.0.1:1"}})
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := c.Fetch(ctx, nil, FetchOptions{Log: zerolog.Nop()}, func(context.Context, *Fetched) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

// As one that keeps to a rate: meanwhile no broker is asked.
func TestFetch_PatienceDoesNotCountWhatTheHandlerTakes(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	topic := makeTopic(t, b, 1, nil)
	write(t, b, topic, 0, "a")
	write(t, b, topic, 0, "b")
	const patience = 500 * time.Millisecond
	c := Open(Options{Brokers: []string{b.Addr()}, Topics: []string{topic}, Patience: patience})
	defer c.Close()
	handled := 0
	enough := errors.New("enough")
	o := FetchOptions{Log: zerolog.Nop(), MaxBytes: 1, PartitionMaxBytes: 1}
	err := c.Fetch(t.Context(), map[TopicPartition]int64{{topic, 0}: 0}, o, func(context.Context, *Fetched) error {
		if handled++; handled == 2 {
			return enough
		}
		<-time.After(2 * patience)
		b.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, TopLevel: true, Err: kerr.UnknownServerError}) // once
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("after %d handled: %v", handled, err)
	}
}
