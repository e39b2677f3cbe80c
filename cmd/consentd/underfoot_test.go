package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

// askIn publishes requests for one pair each to a partition of the requests, numbered from first on.
func (w *world) askIn(partition int32, corp string, first, requests int) {
	w.t.Helper()
	var records []*kgo.Record
	for i := first; i < first+requests; i++ {
		r := w.request("", fmt.Sprintf(`{"request_id":"load-%d","corp_id":%q,"kind":"single","open_userid":"s","external_userid":"wm%d"}`, i, corp, i))
		r.Partition = partition
		records = append(records, r)
	}
	kafkatest.ProduceTo(w.t, w.broker.Addr(), records...)
}

func TestDaemon_ASlowRequestHoldsBackNothingAndNothingIsRepeatedAfterAKill(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		w.sim.Script(wechattest.Fault{Corp: "ww2", Kind: "single", Hang: true})
		w.askIn(2, "ww2", 0, 1)
		w.askIn(2, "ww1", 1, 500)
		d := w.start()
		w.await(500)
		d.kill()
		w.sim.ClearFaults()
		d = w.start()
		w.await(501)
		d.stop()
		w.wantDelivered("exactly_once", 501)
		if n := w.sim.Stats().Corps["ww1"].Items; n != 500 {
			t.Errorf("%d pairs were asked for, want 500: what was done beyond the slow one was done again", n)
		}
	})
}

func TestDaemon_RecordsDeletedBeforeTheyWereReadAreCountedAndTheRestIsAnswered(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		w.askIn(2, "ww1", 0, 10)
		d := w.start()
		w.await(10)
		d.stop()
		w.askIn(2, "ww1", 10, 10)
		kafkatest.DeleteRecords(t, b.Addr(), w.topics.requests, 2, 17)
		d = w.start()
		d.awaitLog("records were deleted before they were read", `"lost":7`, `"partition":"`+w.topics.requests+`/2"`)
		w.await(10 + 3)
		d.stop()
		w.wantDelivered("exactly_once", 10+3)
	})
}

func TestDaemon_ARequestTopicThatIsMadeAnewIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		w.askIn(2, "ww1", 0, 10)
		d := w.start()
		w.await(10)
		kafkatest.DeleteTopic(t, b.Addr(), w.topics.requests)
		kafkatest.CreateTopic(t, b.Addr(), w.topics.requests, 6, nil)
		w.askIn(2, "ww1", 10, 4)
		// Not by their ids: the records stand where earlier ones stood.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		kafkatest.Follow(ctx, t, b.Addr(), w.topics.results, func(all []*kgo.Record) bool { return len(all) >= 2*(10+4) })
		d.stop()
		w.wantDelivered("exactly_once", 10+4)
	})
}
