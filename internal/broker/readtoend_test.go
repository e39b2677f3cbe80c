package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/kafkatest"
)

// whole returns all partitions of a topic.
func whole(t *testing.T, c *Cluster, topic string) []TopicPartition {
	t.Helper()
	tps, err := c.AllPartitions(bounded(t), topic)
	if err != nil {
		t.Error(err)
	}
	return tps
}

// readToEnd returns the values of a topic, sorted.
func readToEnd(ctx context.Context, t *testing.T, c *Cluster, topic string) []string {
	t.Helper()
	var values []string
	err := c.ReadToEnd(ctx, whole(t, c, topic), zerolog.Nop(), func(_ TopicPartition, r *Record) error {
		values = append(values, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(values)
	return values
}

func TestReadToEnd_BringsEverythingFromEachPartitionsStart(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 4, nil)
		ctx, c := setup(t, b, topic)
		write(t, b, topic, 0, "deleted", "a", "b")
		kafkatest.DeleteRecords(t, b.Addr(), topic, 0, 1)
		write(t, b, topic, 1, "deleted")
		kafkatest.DeleteRecords(t, b.Addr(), topic, 1, 1)
		write(t, b, topic, 3, "c")
		if got, want := readToEnd(ctx, t, c, topic), []string{"a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestReadToEnd_OfAnEmptyTopicBringsNothing(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 3, nil)
		ctx, c := setup(t, b, topic)
		if got := readToEnd(ctx, t, c, topic); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
}

// A compacted topic has gaps, batches that lost their last records and emptied ones; its last offset is a marker's.
func TestReadToEnd_BringsWhatIsLeftOfACompactedTopic(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 1, kafkatest.CompactedTopic())
		ctx, c := setup(t, b, topic)
		cl := franz(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for round := range 3 { // each a batch that keeps its first record, one in the middle, or none
			for _, keys := range []string{fmt.Sprint("a", round, " b c d"), fmt.Sprint("b ", "e", round, " d"), "b c d"} {
				var batch []*kgo.Record
				for key := range strings.FieldsSeq(keys) {
					batch = append(batch, &kgo.Record{Topic: topic, Key: []byte(key), Value: fmt.Append(nil, key, " in round ", round)})
				}
				if err := cl.ProduceSync(ctx, batch...).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		// b, c and d were written last in the last round. With a0 to a2 and e0 to e2 they are nine.
		const kept = 9
		rolls := 0
		kafkatest.AwaitCompacted(t, b, topic, func(left []*kgo.Record) bool {
			others := 0 // a cleaner that has much to do may never have cleaned all of the rolls
			for _, r := range left {
				if string(r.Key) != "roll" {
					others++
				}
			}
			if rolls > 0 && others <= kept {
				return true
			}
			// The segment that is written is never cleaned: another record begins the next one.
			rolls++
			kafkatest.ProduceTo(t, b.Addr(), &kgo.Record{Topic: topic, Key: []byte("roll"), Value: fmt.Append(nil, "roll ", rolls)})
			return false
		})
		last := begin(t, b, "last")
		last.write(topic, 0, "committed")
		last.end(kgo.TryCommit)

		got := readToEnd(ctx, t, c, topic)
		var want []string
		for _, r := range kafkatest.ReadAll(t, b.Addr(), topic) {
			want = append(want, string(r.Value))
		}
		slices.Sort(want)
		// The cleaner may have taken an older one of these in between.
		isRoll := func(v string) bool { return strings.HasPrefix(v, "roll") }
		if got, want := slices.DeleteFunc(got, isRoll), slices.DeleteFunc(want, isRoll); !slices.Equal(got, want) || len(got) != kept+1 {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestReadToEnd_WaitsForTheTransactionsThatAreOpenAtTheCall(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		how  kgo.TransactionEndTry
		want []string
	}{
		{"committed", kgo.TryCommit, []string{"before", "behind", "open"}},
		{"aborted", kgo.TryAbort, []string{"before", "behind"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
				t.Parallel()
				topic := makeTopic(t, b, 2, nil)
				ctx, c := setup(t, b, topic)
				write(t, b, topic, 1, "before")
				open := begin(t, b, "open")
				open.write(topic, 0, "open")
				write(t, b, topic, 0, "behind")

				first := make(chan struct{})
				var values []string
				ended := make(chan error, 1)
				go func() {
					ended <- c.ReadToEnd(ctx, whole(t, c, topic), zerolog.Nop(), func(_ TopicPartition, r *Record) error {
						if values = append(values, string(r.Value)); len(values) == 1 {
							close(first)
						}
						return nil
					})
				}()
				select {
				case <-first:
				case err := <-ended:
					t.Fatalf("it ended, with %v, before the transaction did", err)
				}
				open.end(tc.how)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				slices.Sort(values)
				if !slices.Equal(values, tc.want) {
					t.Errorf("got %v, want %v", values, tc.want)
				}
			})
		})
	}
}

func TestReadToEnd_ReadsFromEveryBroker(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t, kfake.NumBrokers(3))
	topic := makeTopic(t, b, 6, nil)
	ctx, c := setup(t, b, topic)
	var want []string
	for p := range int32(6) {
		if err := b.Cluster().MoveTopicPartition(topic, p, p%3); err != nil {
			t.Fatal(err)
		}
		v := fmt.Sprint("value ", p)
		write(t, b, topic, p, v)
		want = append(want, v)
	}
	if got := readToEnd(ctx, t, c, topic); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReadToEnd_TellsHowFarItIs(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := makeTopic(t, b, 3, nil)
		ctx, c := setup(t, b, topic)
		write(t, b, topic, 0, "a", "b", "c")
		write(t, b, topic, 2, "d")
		var shares []float64
		err := c.ReadToEndTelling(ctx, whole(t, c, topic), zerolog.Nop(), func(TopicPartition, *Record) error { return nil },
			func(share float64) { shares = append(shares, share) })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(shares) || len(shares) < 2 || shares[0] <= 0 || shares[len(shares)-1] != 1 {
			t.Errorf("told of the shares %v, want more and more, up to 1", shares)
		}
	})
}

func TestReadToEnd_ReportsWhatKeepsItFromTheEnd(t *testing.T) {
	t.Parallel()
	fault := errors.New("the taker's fault")
	for _, tc := range []struct {
		name  string
		fault *kfake.Fault
		take  error
		want  func(error) bool
	}{
		{"the taker's error", nil, fault, func(err error) bool { return errors.Is(err, fault) }},
		{
			"records deleted while they are read", &kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange, Count: -1}, nil,
			func(err error) bool { return strings.Contains(err.Error(), "offset 0 was deleted while it was read") },
		},
		{
			"no right to read", &kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1}, nil,
			func(err error) bool { return errors.Is(err, kafka.TopicAuthorizationFailed) },
		},
		{
			"offsets not known", &kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: -1}, nil,
			func(err error) bool { return errors.Is(err, kafka.LeaderNotAvailable) },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := kafkatest.Embedded(t)
			topic := makeTopic(t, b, 1, nil)
			ctx, c := setup(t, b, topic)
			write(t, b, topic, 0, "x")
			if tc.fault != nil {
				tc.fault.Topic = topic
				b.Cluster().Fault(*tc.fault)
			}
			err := c.ReadToEnd(ctx, whole(t, c, topic), zerolog.Nop(), func(TopicPartition, *Record) error { return tc.take })
			if err == nil || !tc.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReadToEnd_OfAnAbsentTopicIsAnErrorAndDoesNotCreateIt(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic := b.Topic(t, "absent")
		ctx, c := setup(t, b, topic)
		err := c.ReadToEnd(ctx, []TopicPartition{{topic, 0}}, zerolog.Nop(), func(TopicPartition, *Record) error { return nil })
		if !errors.Is(err, kafka.UnknownTopicOrPartition) {
			t.Errorf("got %v, want %v", err, kafka.UnknownTopicOrPartition)
		}
		if kafkatest.TopicExists(t, b.Addr(), topic) {
			t.Error("the absent topic was created")
		}
	})
}
