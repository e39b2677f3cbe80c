package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/segmentio/kafka-go"
)

// CreateOptions say how topics are created.
type CreateOptions struct {
	// ReplicationFactor is how many brokers hold each partition; 0: the brokers' default.
	ReplicationFactor int
	// ValidateOnly has the brokers say what would happen.
	ValidateOnly bool
}

// CreateWith makes topics and returns, by name, why one could not be made: kafka.TopicAlreadyExists when it is there. It
// returns when the cluster tells of those that were made, or with an error when it does not for 30 s.
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
	if o.ValidateOnly {
		return r.Errors, nil
	}
	var made []string
	for _, s := range specs {
		if r.Errors[s.Name] == nil {
			made = append(made, s.Name)
		}
	}
	return r.Errors, c.awaitTopics(ctx, made)
}

// awaitTopics returns when the cluster tells of the topics: it makes them first and tells of them a moment later.
func (c *Cluster) awaitTopics(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(10*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(TryFor))
	return backoff.Retry(func() error {
		have, err := c.Partitions(ctx, names...)
		if err == nil && len(have) < len(names) {
			err = fmt.Errorf("%d of %d topics were created, and the cluster does not tell of them", len(names)-len(have), len(names))
		}
		return err
	}, backoff.WithContext(pause, ctx))
}
