package broker

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// CreateOptions say how topics are created.
type CreateOptions struct {
	// ReplicationFactor is how many brokers hold each partition; 0: the brokers' default.
	ReplicationFactor int
	// ValidateOnly has the brokers say what would happen.
	ValidateOnly bool
}

// CreateWith makes topics and returns, by name, why one could not be made: kafka.TopicAlreadyExists when it is there.
func (c *Cluster) CreateWith(ctx context.Context, o CreateOptions, specs ...TopicSpec) (map[string]error, error) {
	req := &kafka.CreateTopicsRequest{ValidateOnly: o.ValidateOnly}
	for _, s := range specs {
		t := kafka.TopicConfig{Topic: s.Name, NumPartitions: int(s.Partitions), ReplicationFactor: o.ReplicationFactor}
		if t.ReplicationFactor == 0 {
			t.ReplicationFactor = -1
		}
		for name, value := range s.Configs {
			t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
		}
		req.Topics = append(req.Topics, t)
	}
	r, err := c.client.CreateTopics(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	return r.Errors, nil
}
