package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// awaitAnswer returns when the broker at addr answers and lists itself, which it does once it may hold partitions. The
// cluster's id tells it from another one that has the port. It gives up when ctx ends or the broker does.
func awaitAnswer(ctx context.Context, addr, clusterID string, died <-chan struct{}) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := answers(ctx, cl, addr, clusterID)
		if err == nil {
			return nil
		}
		select {
		case <-died:
			return errors.New("the process ended")
		case <-ctx.Done():
			return fmt.Errorf("it doesn't answer at %s: %w", addr, err)
		case <-tick.C:
		}
	}
}

func answers(ctx context.Context, cl *kgo.Client, addr, clusterID string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none: nil would be all
	resp, err := req.RequestWith(ctx, cl)
	switch {
	case err != nil:
		return err
	case resp.ClusterID == nil || *resp.ClusterID != clusterID:
		return errors.New("another cluster's broker answers")
	case resp.ControllerID < 0 || !slices.ContainsFunc(resp.Brokers, func(b kmsg.MetadataResponseBroker) bool {
		return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) == addr
	}):
		return errors.New("it has not joined its cluster yet")
	}
	return nil
}
