package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
)

// Settings are the effective settings of a topic or broker.
type Settings struct {
	// Err says why they can't be read.
	Err    error
	Values map[string]string
}

// TopicSettings returns the effective settings of topics. That one's can't be read is told with it.
func (c *Cluster) TopicSettings(ctx context.Context, topics ...string) (map[string]Settings, error) {
	return c.settings(ctx, kafka.ResourceTypeTopic, topics)
}

// BrokerSettings returns the effective settings of a broker.
func (c *Cluster) BrokerSettings(ctx context.Context, id int32) (Settings, error) {
	name := strconv.Itoa(int(id))
	all, err := c.settings(ctx, kafka.ResourceTypeBroker, []string{name})
	return all[name], err
}

func (c *Cluster) settings(ctx context.Context, kind kafka.ResourceType, names []string) (map[string]Settings, error) {
	if len(names) == 0 {
		return nil, nil
	}
	req := &kafka.DescribeConfigsRequest{}
	for _, name := range names {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kind, ResourceName: name})
	}
	r, err := c.client.DescribeConfigs(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	all := make(map[string]Settings, len(r.Resources))
	for _, res := range r.Resources {
		s := Settings{Err: res.Error, Values: make(map[string]string, len(res.ConfigEntries))}
		for _, e := range res.ConfigEntries {
			s.Values[e.ConfigName] = e.ConfigValue
		}
		all[res.ResourceName] = s
	}
	return all, nil
}
