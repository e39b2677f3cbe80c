package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

// startAs starts the daemon as one of several instances.
func (w *world) startAs(instance string) *process {
	w.t.Helper()
	config, err := os.ReadFile(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	file := w.config + "." + instance
	w.write(file, fmt.Sprintf("%sinstance: %s\n", config, instance))
	p := command(w.t, "run", "--config", file)
	w.logs = append(w.logs, p.log)
	return p
}

// loadAnywhere publishes requests that are not keyed by their corp, so that they arrive at any instance: each asks for ten
// pairs, each pair is asked for by several requests. It returns how many items they have.
func (w *world) loadAnywhere(requests int) int {
	w.t.Helper()
	const pairs = 10
	var records []*kgo.Record
	for i := range requests {
		corp := fmt.Sprintf("ww%d", 1+i%3)
		var items []string
		for j := range pairs {
			items = append(items, fmt.Sprintf(`{"open_userid":"s","external_userid":"wm%d"}`, (i/3*pairs+j)%(requests*pairs/12)))
		}
		records = append(records, w.request(fmt.Sprint(i), fmt.Sprintf(
			`{"request_id":"anywhere-%d","corp_id":%q,"kind":"single","items":[%s]}`, i, corp, strings.Join(items, ","))))
	}
	kafkatest.Produce(w.t, w.broker.Addr(), records...)
	return requests * pairs
}

func TestInstances_ShareTheWorkAndTakeOverFromEachOther(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{Delay: 50 * time.Millisecond})
		items := w.loadAnywhere(600)
		w.holdUp()
		first := w.startAs("first")
		first.awaitLog("assigned", `"homes":5`)
		second := w.startAs("second")
		first.awaitLog("assigned", `"homes":3`)
		second.awaitLog("assigned", `"homes":2`)
		third := w.startAs("third")
		third.awaitLog("assigned", `"homes":1`)
		w.await(items / 10)
		first.kill()
		w.sim.ClearFaults()
		w.await(items)
		more := w.load(100)
		second.stop()
		third.awaitLog("assigned", `"homes":5`)
		w.await(items + more)
		third.stop()
		w.wantDelivered("exactly_once", items+more)
		if n := len(kafkatest.ReadAll(t, b.Addr(), w.topics.forward)); n == 0 {
			t.Error("nothing was forwarded, though no request was keyed by its corp")
		}
	})
}

func TestInstances_NewPartitionsOfTheRequestsAreTakenUp(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		d := w.start()
		d.awaitLog("assigned")
		const partitions = 9
		kafkatest.AddPartitions(t, b.Addr(), w.topics.requests, partitions)
		var records []*kgo.Record
		for p := range partitions {
			r := w.request("", fmt.Sprintf(`{"request_id":"load-%d","corp_id":"ww1","kind":"single","open_userid":"s","external_userid":"wm%d"}`, p, p))
			r.Partition = int32(p)
			records = append(records, r)
		}
		kafkatest.ProduceTo(t, b.Addr(), records...)
		w.await(partitions)
		d.awaitLog("the topic has new partitions")
		d.stop()
		w.wantDelivered("exactly_once", partitions)
	})
}

func TestRun_RefusesTopicsThatDisagreeAboutTheHomes(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		w := setup(t, b, wechattest.Options{})
		kafkatest.AddPartitions(t, b.Addr(), w.topics.forward, 6)
		d := w.start()
		want := fmt.Sprintf("topic %s has 6 partitions, %s has 5", w.topics.forward, w.topics.status)
		if code := d.wait(); code != exitFailed || !strings.Contains(string(d.log.Bytes()), want) {
			t.Errorf("exit code %d, want 1 and %q:\n%s", code, want, d.log.Bytes())
		}
	})
}

func TestRun_ABrokerThatIsNotReadyAtAnAssignmentIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := kafkatest.Embedded(t)
	w := setup(t, b, wechattest.Options{})
	b.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: w.topics.status, Err: kerr.NotLeaderForPartition})
	d := w.start()
	d.awaitLog("reading what is known was interrupted, trying again")
	d.awaitLog(`"assigned"`)
	d.stop()
	if log := string(d.log.Bytes()); strings.Contains(log, "joining the group again") {
		t.Errorf("all members would have begun anew:\n%s", log)
	}
}

func TestRun_RefusesAStatusThatStandsInAnotherPlaceThanItsCorps(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	k := manyKnown(1)[0]
	w.seed(k)
	r := kafkatest.ReadAll(t, w.broker.Addr(), w.topics.status)[0]
	r.Partition = (r.Partition + 1) % 5
	kafkatest.ProduceTo(t, w.broker.Addr(), &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value})
	d := w.start()
	if code := d.wait(); code != exitFailed || !strings.Contains(string(d.log.Bytes()), k.key()) {
		t.Errorf("exit code %d, want 1 and a line that names the conversation:\n%s", code, d.log.Bytes())
	}
}
