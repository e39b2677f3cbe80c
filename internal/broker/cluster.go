package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options say how to reach the cluster.
type Options struct {
	// Brokers are the addresses to begin with, host:port each.
	Brokers  []string
	ClientID string
	// TLS is nil for plain text.
	TLS *tls.Config
	// SASL is nil for no authentication.
	SASL sasl.Mechanism
	// Topics are all topics that will be used: no other's metadata is asked for.
	Topics []string
	// Patience is for how long Fetch, Produce and a Transactor try while nothing succeeds, before that is an error; 0: for as long
	// as it takes.
	Patience time.Duration
}

// Cluster is a Kafka cluster. Safe for concurrent use.
type Cluster struct {
	addr      net.Addr
	brokers   []string
	clientID  string
	patience  time.Duration
	transport *kafka.Transport
	client    *kafka.Client
	dialer    *kafka.Dialer
}

const (
	dialTimeout = 5 * time.Second
	// How old the leaders we go by may be. It bounds, too, how long a moved leader goes unnoticed.
	metadataTTL = 2 * time.Second
)

// Open prepares to use a cluster; nothing is sent yet.
func Open(o Options) *Cluster {
	addr := kafka.TCP(o.Brokers...)
	transport := &kafka.Transport{
		DialTimeout:    dialTimeout,
		IdleTimeout:    5 * time.Minute,
		MetadataTTL:    metadataTTL,
		MetadataTopics: o.Topics,
		ClientID:       o.ClientID,
		TLS:            o.TLS,
		SASL:           o.SASL,
	}
	return &Cluster{
		addr:      addr,
		brokers:   o.Brokers,
		clientID:  o.ClientID,
		patience:  o.Patience,
		transport: transport,
		client:    &kafka.Client{Addr: addr, Transport: transport},
		dialer: &kafka.Dialer{
			ClientID: o.ClientID, Timeout: dialTimeout, DualStack: true, TLS: o.TLS, SASLMechanism: o.SASL,
		},
	}
}

// Close closes the connections that are not in use; those in use close when their request ends.
func (c *Cluster) Close() { c.transport.CloseIdleConnections() }

// Brokers returns the addresses to begin with.
func (c *Cluster) Brokers() []string { return c.brokers }

// Dialer connects to a broker as the cluster is configured; it is what kafka-go's consumer group wants.
func (c *Cluster) Dialer() *kafka.Dialer { return c.dialer }

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (tp TopicPartition) String() string { return fmt.Sprintf("%s/%d", tp.Topic, tp.Partition) }

// Partitions returns how many partitions each of the topics has, asked of the cluster now; a topic that does not exist
// is left out, and is not created. Without topics it returns all that may be seen.
func (c *Cluster) Partitions(ctx context.Context, topics ...string) (map[string]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, t)
	}
	r, err := c.send(ctx, anyBroker, req, metadataVersion, &buffers{})
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int32, len(topics))
	for _, t := range r.(*kmsg.MetadataResponse).Topics {
		switch err := kafka.Error(t.ErrorCode); {
		case err == kafka.UnknownTopicOrPartition:
		case t.ErrorCode != 0:
			return nil, fmt.Errorf("topic %s: %w", *t.Topic, err)
		default:
			counts[*t.Topic] = int32(len(t.Partitions))
		}
	}
	return counts, nil
}

// leaders returns the leader of each partition of a topic as of the cached metadata, at most metadataTTL old; -1 for a
// partition without one.
func (c *Cluster) leaders(ctx context.Context, topic string) ([]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := c.transport.RoundTrip(ctx, c.addr, &metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", topic, err)
	}
	topics := r.(*metadata.Response).Topics
	if len(topics) != 1 {
		return nil, fmt.Errorf("metadata of %s: the answer has %d topics", topic, len(topics))
	}
	t := topics[0]
	if t.ErrorCode != 0 {
		return nil, fmt.Errorf("topic %s: %w", topic, kafka.Error(t.ErrorCode))
	}
	leaders := make([]int32, len(t.Partitions))
	for i, p := range t.Partitions {
		leaders[i] = p.LeaderID
		if p.ErrorCode != 0 {
			leaders[i] = -1
		}
	}
	return leaders, nil
}

// PartitionCount returns how many partitions a topic has, as of the cached metadata.
func (c *Cluster) PartitionCount(ctx context.Context, topic string) (int32, error) {
	leaders, err := c.leaders(ctx, topic)
	return int32(len(leaders)), err
}

// AllPartitions returns the partitions that a topic has, as of the cached metadata.
func (c *Cluster) AllPartitions(ctx context.Context, topic string) ([]TopicPartition, error) {
	n, err := c.PartitionCount(ctx, topic)
	tps := make([]TopicPartition, n)
	for i := range tps {
		tps[i] = TopicPartition{topic, int32(i)}
	}
	return tps, err
}

// byLeader sorts partitions by the broker that leads them. Those without a leader at the moment are left out, as are those of
// a topic that does not exist; absent says so of one of them, nil: there is none.
func (c *Cluster) byLeader(ctx context.Context, tps []TopicPartition) (led map[int32][]TopicPartition, absent, err error) {
	led = make(map[int32][]TopicPartition)
	known := make(map[string][]int32)
	for _, tp := range tps {
		leaders, ok := known[tp.Topic]
		if !ok {
			leaders, err = c.leaders(ctx, tp.Topic)
			if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
				return nil, nil, err
			}
			if err != nil {
				absent = err
			}
			known[tp.Topic] = leaders
		}
		switch {
		case int(tp.Partition) < len(leaders) && leaders[tp.Partition] >= 0:
			id := leaders[tp.Partition]
			led[id] = append(led[id], tp)
		case absent == nil:
			absent = fmt.Errorf("%s: %w", tp, kafka.LeaderNotAvailable)
		}
	}
	return led, absent, nil
}

// TopicSpec is a topic to create.
type TopicSpec struct {
	Name       string
	Partitions int32
	Configs    map[string]string
}

// Create makes topics with the broker's default replication factor; one that exists already is left as it is.
func (c *Cluster) Create(ctx context.Context, specs ...TopicSpec) error {
	req := &kafka.CreateTopicsRequest{}
	for _, s := range specs {
		t := kafka.TopicConfig{Topic: s.Name, NumPartitions: int(s.Partitions), ReplicationFactor: -1}
		for name, value := range s.Configs {
			t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
		}
		req.Topics = append(req.Topics, t)
	}
	r, err := c.client.CreateTopics(ctx, req)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, s := range specs {
		if err := r.Errors[s.Name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", s.Name, err)
		}
	}
	return nil
}

// Config returns the value of one of a topic's settings.
func (c *Cluster) Config(ctx context.Context, topic, name string) (string, error) {
	r, err := c.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name},
		}},
	})
	if err != nil {
		return "", fmt.Errorf("settings of topic %s: %w", topic, err)
	}
	for _, res := range r.Resources {
		if res.Error != nil {
			return "", fmt.Errorf("settings of topic %s: %w", topic, res.Error)
		}
		for _, e := range res.ConfigEntries {
			if e.ConfigName == name {
				return e.ConfigValue, nil
			}
		}
	}
	return "", fmt.Errorf("topic %s has no setting %s", topic, name)
}
