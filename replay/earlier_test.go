package replay

import (
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/broker"
	"consentd/internal/kafkatest"
)

func TestFindEarlier_CountsEachReplayOnceWhenItIsTriedAgain(t *testing.T) {
	b := kafkatest.Embedded(t)
	topic := b.Topic(t, "dead")
	kafkatest.CreateTopic(t, b.Addr(), topic, 1, nil)
	c := Config{Cluster: broker.Options{Brokers: []string{b.Addr()}}, Log: zerolog.Nop()}
	s := Selection{Topic: topic, To: topic, MaxReplays: 3}
	r := newReplay(c, "20270101T000000Z-new", s)
	defer r.Close()
	for _, id := range []string{"20260101T000000Z-a", "20260102T000000Z-b"} {
		o, err := (&span{next: 10, end: 10, whole: 10, published: 10}).offset(&s)
		if err != nil {
			t.Fatal(err)
		}
		offsets := map[broker.TopicPartition]broker.Offset{{Topic: topic}: o}
		if err := r.cluster.Commit(t.Context(), broker.Member{Group: groupPrefix + id, Generation: -1}, offsets); err != nil {
			t.Fatal(err)
		}
	}
	var asked atomic.Int32
	b.Cluster().ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster().KeepControl()
		if asked.Add(1) != 2 {
			return nil, nil, false
		}
		moved := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		moved.SetVersion(req.GetVersion())
		moved.ErrorCode = kerr.NotCoordinator.Code
		return moved, nil, true
	})
	if err := c.try(t.Context(), r.findEarlier); err != nil {
		t.Fatal(err)
	}
	if n := r.picker.replayed(0, 3, &broker.Record{Offset: 3}, facts{}); n != 2 || asked.Load() < 3 {
		t.Errorf("%d replays before this one, want 2, after %d questions", n, asked.Load())
	}
}
