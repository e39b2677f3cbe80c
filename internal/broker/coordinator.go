package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a coordinator coordinates, in the protocol's numbers.
const (
	ofGroups       int8 = 0
	ofTransactions int8 = 1
)

// coordinator remembers which broker coordinates, which kafka-go asks for before each request. The key that is sent for is
// always the same. Safe for concurrent use.
type coordinator struct {
	cluster *Cluster
	kind    int8

	mu    sync.Mutex
	known bool
	id    int32
}

// coordinatorTimeout is how long a coordinator may take to answer.
const coordinatorTimeout = 10 * time.Second

// coordinatorPause is between two tries at a coordinator that is not ready.
const coordinatorPause = 100 * time.Millisecond

// unready tells the answers of a coordinator that has just moved, is loading what it knows, or is still to be made.
func unready(err error) bool {
	return errors.Is(err, kafka.GroupCoordinatorNotAvailable) || errors.Is(err, kafka.GroupLoadInProgress) || errors.Is(err, kafka.NotCoordinatorForGroup)
}

// whenReady asks a coordinator, and again while it is not ready. When ctx ends while it waits it returns the last answer, which
// says more than ctx's error, the one that backoff would return.
func whenReady(ctx context.Context, ask func() error) error {
	err := ask()
	for unready(err) {
		select {
		case <-time.After(coordinatorPause):
		case <-ctx.Done():
			return err
		}
		err = ask()
	}
	return err
}

// send sends a request to the coordinator of a key.
func (c *coordinator) send(ctx context.Context, key string, req kmsg.Request, version int16) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, coordinatorTimeout)
	defer cancel()
	id, err := c.find(ctx, key)
	if err != nil {
		return nil, err
	}
	return c.cluster.send(ctx, brokerID(id), req, version, &buffers{})
}

// forget has the coordinator looked for again.
func (c *coordinator) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = false
}

func (c *coordinator) find(ctx context.Context, key string) (int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return c.id, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorType = key, c.kind
	r, err := c.cluster.send(ctx, anyBroker, req, findCoordinatorVersion, &buffers{})
	if err != nil {
		return 0, err
	}
	res := r.(*kmsg.FindCoordinatorResponse)
	if res.ErrorCode != 0 {
		return 0, fmt.Errorf("coordinator of %s: %w", key, kafka.Error(res.ErrorCode))
	}
	c.id, c.known = res.NodeID, true
	return c.id, nil
}
