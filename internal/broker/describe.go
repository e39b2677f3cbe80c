package broker

import (
	"context"
	"net"
	"strconv"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Operation is a right on a resource, in the protocol's numbers.
type Operation int8

// The operations that this program needs.
const (
	OpRead            Operation = 3
	OpWrite           Operation = 4
	OpCreate          Operation = 5
	OpDescribe        Operation = 8
	OpDescribeConfigs Operation = 10
)

func (o Operation) String() string {
	switch o {
	case OpRead:
		return "Read"
	case OpWrite:
		return "Write"
	case OpCreate:
		return "Create"
	case OpDescribe:
		return "Describe"
	case OpDescribeConfigs:
		return "DescribeConfigs"
	}
	return strconv.Itoa(int(o))
}

// Operations are the rights that the brokers say this client has on a resource. The zero value is none at all.
type Operations int32

// unknownOperations is what brokers send that do not say.
const unknownOperations = -1 << 31

// Known tells whether the brokers said anything.
func (o Operations) Known() bool { return o != unknownOperations }

// Allow tells whether an operation is among them.
func (o Operations) Allow(op Operation) bool { return o&(1<<op) != 0 }

// Description is what the cluster says of itself and of some topics.
type Description struct {
	// Nodes are the brokers, by the addresses that they tell clients.
	Nodes []Node
	// Operations are the rights on the cluster.
	Operations Operations
	Topics     map[string]TopicDescription
}

// Node is a broker.
type Node struct {
	ID   int32
	Addr string // host:port
}

// TopicDescription is what is known of a topic.
type TopicDescription struct {
	// Err says why nothing else is known: kafka.UnknownTopicOrPartition, kafka.TopicAuthorizationFailed or another.
	Err        error
	Operations Operations
	Partitions []PartitionDescription
}

// PartitionDescription is where a partition is.
type PartitionDescription struct {
	Partition int32
	Leader    int32 // -1: none
	Replicas  int
	InSync    int
}

// Describe asks the cluster for its brokers and for the topics, in one request. Nothing is created.
func (c *Cluster) Describe(ctx context.Context, topics ...string) (Description, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
	req.Topics = make([]kmsg.MetadataRequestTopic, len(topics)) // not nil, which asks for all
	for i := range topics {
		req.Topics[i] = kmsg.NewMetadataRequestTopic()
		req.Topics[i].Topic = &topics[i]
	}
	r, err := c.send(ctx, anyBroker, req, metadataVersion, &buffers{})
	if err != nil {
		return Description{}, err
	}
	res := r.(*kmsg.MetadataResponse)
	d := Description{Operations: Operations(res.AuthorizedOperations), Topics: make(map[string]TopicDescription, len(res.Topics))}
	for _, b := range res.Brokers {
		d.Nodes = append(d.Nodes, Node{b.NodeID, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))})
	}
	for _, t := range res.Topics {
		if t.Topic == nil {
			continue
		}
		topic := TopicDescription{Operations: Operations(t.AuthorizedOperations)}
		if t.ErrorCode != 0 {
			topic.Err = kafka.Error(t.ErrorCode)
		}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, PartitionDescription{p.Partition, p.Leader, len(p.Replicas), len(p.ISR)})
		}
		d.Topics[*t.Topic] = topic
	}
	return d, nil
}
