package world

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/chaos/faults"
	"consentd/chaos/history"
	"consentd/internal/kafkatest"
)

const (
	nodes    = 3
	replicas = 3
	heapMB   = 256
	// wholeWithin is how long all replicas may take to be in sync after a node is back.
	wholeWithin = 2 * time.Minute
)

// Topics are the daemon's, under their default names.
func Topics() history.Topics {
	t := history.Topics{
		Requests: "consent.requests", Results: "consent.results", Status: "consent.status",
		Forward: "consent.forward", DeadLetters: "consent.dead-letters",
	}
	for _, delay := range retryDelays {
		t.Retry = append(t.Retry, "consent.retry-"+delay)
	}
	return t
}

// retryDelays are short, so that a parked request comes back within a round.
var retryDelays = []string{"1s", "3s"}

const (
	requestPartitions = 12
	corpPartitions    = 6 // of the topics that are partitioned by corp
)

// brokers are the cluster, and a client that reaches it directly.
type brokers struct {
	nodes  []*kafkatest.Broker
	direct []string
	client *kgo.Client
}

// startBrokers starts the cluster with a listener for each instance, which goes through the instance's own links.
func startBrokers(ctx context.Context, dir string, instances int, l *links) (*brokers, error) {
	o := kafkatest.ApacheOptions{
		HeapMB: heapMB,
		Config: map[string]string{"auto.create.topics.enable": "false", "group.min.session.timeout.ms": "1000"},
		Advertise: func(listener string, node int, addr string) (string, error) {
			instance, err := strconv.Atoi(listener[len(listenerPrefix):])
			if err != nil {
				return "", err
			}
			return l.open(linkKey{instance, node}, addr)
		},
	}
	for i := range instances {
		o.Listeners = append(o.Listeners, listenerPrefix+strconv.Itoa(i))
	}
	started, err := kafkatest.StartApacheCluster(ctx, dir, nodes, o)
	if err != nil {
		return nil, err
	}
	b := &brokers{nodes: started}
	for _, node := range started {
		b.direct = append(b.direct, node.Addr())
	}
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.direct...))
	if err == nil {
		err = b.createTopics(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

const listenerPrefix = "INSTANCE"

func (b *brokers) close() error {
	if b.client != nil {
		b.client.Close()
	}
	var err error
	for _, node := range b.nodes {
		err = errors.Join(err, node.Kill())
	}
	return err
}

func (b *brokers) createTopics(ctx context.Context) error {
	names := Topics()
	large := map[string]string{"max.message.bytes": "2097152"}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	add := func(name string, partitions int32, configs map[string]string) {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, replicas
		for k, v := range configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, &v
			topic.Configs = append(topic.Configs, c)
		}
		req.Topics = append(req.Topics, topic)
	}
	add(names.Requests, requestPartitions, large)
	add(names.Results, requestPartitions, nil)
	// It is compacted again and again while it is read.
	add(names.Status, corpPartitions, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "10000", "min.cleanable.dirty.ratio": "0.01",
	})
	add(names.Forward, corpPartitions, large)
	for _, retry := range names.Retry {
		add(retry, corpPartitions, large)
	}
	add(names.DeadLetters, corpPartitions, large)
	resp, err := req.RequestWith(ctx, b.client)
	if err != nil {
		return fmt.Errorf("creating the topics: %w", err)
	}
	for _, topic := range resp.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return fmt.Errorf("creating topic %s: %w", topic.Topic, err)
		}
	}
	return b.awaitWhole(ctx)
}

// killAndRestart kills a node of a whole cluster and brings it back. It returns when the cluster is whole again, so that the
// next kill can't be the second one.
func (b *brokers) killAndRestart(ctx context.Context, f faults.Fault) error {
	node := b.nodes[f.Broker]
	if err := node.Kill(); err != nil {
		return err
	}
	pause(ctx, f.Length)
	if err := node.Restart(); err != nil {
		return err
	}
	return b.awaitWhole(context.WithoutCancel(ctx))
}

// awaitWhole returns when every partition has all its replicas in sync.
func (b *brokers) awaitWhole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	for {
		missing, err := b.missing(ctx)
		if err == nil && missing == "" {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the brokers did not come together again within %s: %s (%w)", wholeWithin, missing, err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// awaitGroup returns when the group has so many members, each with its share.
func (b *brokers) awaitGroup(ctx context.Context, members int) error {
	ctx, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{Group}
	for {
		resp, err := req.RequestWith(ctx, b.client)
		if err == nil && len(resp.Groups) == 1 && resp.Groups[0].State == "Stable" && len(resp.Groups[0].Members) == members {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the daemons were not at work within %s (%w)", wholeWithin, err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// missing names a partition that lacks a replica or a leader; empty when none does.
func (b *brokers) missing(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, b.client)
	if err != nil {
		return "", err
	}
	if n := len(resp.Brokers); n != nodes {
		return fmt.Sprintf("%d of %d brokers", n, nodes), nil
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				return fmt.Sprintf("%s/%d has %d of %d replicas in sync", *topic.Topic, p.Partition, len(p.ISR), len(p.Replicas)), nil
			}
		}
	}
	return "", nil
}
