package kafkatest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestStartApacheCluster_GoesOnWithoutOneAndTakesItBack(t *testing.T) {
	t.Parallel()
	listensAt := map[int]string{}
	brokers, err := StartApacheCluster(t.Context(), t.TempDir(), 3, ApacheOptions{
		HeapMB: 256, Listeners: []string{"OTHER"},
		Advertise: func(listener string, node int, addr string) (string, error) {
			listensAt[node] = addr
			return fmt.Sprintf("%s.test:%d", listener, 9000+node), nil
		},
	})
	requireTools(t, err)
	t.Cleanup(func() {
		for _, b := range brokers {
			if t.Failed() {
				a := b.node.(*apache)
				text, _ := os.ReadFile(a.path("server.log"))
				t.Logf("%s has:\n%s", a.path("server.log"), failure(text))
			}
			if err := b.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	ctx, cl := client(
		t, brokers[0].Addr(), kgo.SeedBrokers(brokers[0].Addr(), brokers[1].Addr()), kgo.ConsumeTopics("replicated"), ctxEndsProducing,
	)
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "replicated", 1, -1 // on as many nodes as is the cluster's default
	createTopic(ctx, t, cl, topic)

	produce := func(value string) {
		t.Helper()
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "replicated", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatalf("producing %s: %v", value, err)
		}
	}
	produce("before")
	awaitInSync(ctx, t, cl, "replicated", 3)
	if err := brokers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	produce("without")
	if err := brokers[0].Restart(); err != nil {
		t.Fatal(err)
	}
	var got []*kgo.Record
	for len(got) < 2 && ctx.Err() == nil {
		got = append(got, cl.PollFetches(ctx).Records()...)
	}
	if want := "0/0=before 0/1=without"; shown(got) != want {
		t.Errorf("got %s, want %s", shown(got), want)
	}

	// The other listener tells its clients the other addresses.
	_, other := client(t, listensAt[1])
	resp, err := other.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range resp.(*kmsg.MetadataResponse).Brokers {
		if want := 8999 + b.NodeID; b.Host != "OTHER.test" || b.Port != want {
			t.Errorf("node %d is advertised as %s:%d, want OTHER.test:%d", b.NodeID, b.Host, b.Port, want)
		}
	}
}

// awaitInSync returns when all replicas of the topic's partition are in sync. On a busy machine those that were silent for
// too long fall out for a moment: the leader, killed then, would leave nobody who may lead.
func awaitInSync(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, replicas int) {
	t.Helper()
	for {
		got, err := describe(ctx, cl, topic)
		if err == nil {
			if len(got.Partitions[0].ISR) == replicas {
				return
			}
			err = fmt.Errorf("in sync are %v", got.Partitions[0].ISR)
		}
		if err := pause(ctx, err); err != nil {
			t.Fatalf("waiting for the %d replicas of topic %s: %v", replicas, topic, err)
		}
	}
}
