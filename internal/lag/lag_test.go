package lag

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/consumer"
	"consentd/internal/broker"
	"consentd/internal/kafkatest"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

func TestOf_CountsWhatIsNotDoneAndSaysWhatIsOdd(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		topic, group := b.Topic(t, "requests"), b.Topic(t, "group")
		kafkatest.CreateTopic(t, b.Addr(), topic, 5, nil)
		for p := range int32(5) {
			for range 10 {
				kafkatest.ProduceTo(t, b.Addr(), &kgo.Record{Topic: topic, Partition: p, Value: []byte("v")})
			}
		}
		kafkatest.DeleteRecords(t, b.Addr(), topic, 2, 4)
		c := broker.Open(broker.Options{Brokers: []string{b.Addr()}, Topics: []string{topic}})
		t.Cleanup(c.Close)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)

		// Of the second partition 3 to 5 and 7 are done.
		var o consumer.Offsets
		for offset := range int64(8) {
			o.Take(offset)
			if offset != 2 && offset != 6 {
				o.Done(offset)
			}
		}
		at, metadata := o.Committable()
		tp := func(p int32) broker.TopicPartition { return broker.TopicPartition{Topic: topic, Partition: p} }
		offsets := map[broker.TopicPartition]broker.Offset{
			tp(0): {At: 7}, tp(1): {At: at, Metadata: metadata}, tp(2): {At: 1}, tp(3): {At: 12, Metadata: "another program's"},
		}
		if _, err := c.DescribeGroup(ctx, group); err != nil { // which waits for the coordinator
			t.Fatal(err)
		}
		if err := c.Commit(ctx, broker.Member{Group: group, Generation: -1}, offsets); err != nil {
			t.Fatal(err)
		}
		r, err := Of(ctx, c, group, []string{topic})
		if err != nil || r.State != "Empty" || len(r.Members) != 0 || len(r.Partitions) != 5 {
			t.Fatalf("got %+v, %v, want an empty group and 5 partitions", r, err)
		}
		for p, want := range []struct {
			committed   int64
			lag, beyond int64
			odd         bool
		}{{7, 3, 0, false}, {2, 4, 4, false}, {1, 6, 0, true}, {12, 0, 0, true}, {-1, 10, 0, false}} {
			got := r.Partitions[p]
			committed := int64(-1)
			if got.Committed != nil {
				committed = *got.Committed
			}
			if committed != want.committed || got.Lag != want.lag || got.DoneBeyond != want.beyond || got.End != 10 || (got.Problem != "") != want.odd {
				t.Errorf("partition %d: got %+v (committed %d), want %+v", p, got, committed, want)
			}
		}
		if r.Lag != 23 {
			t.Errorf("lag %d in all, want 23", r.Lag)
		}
	})
}
