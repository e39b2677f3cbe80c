package kafkatest

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Embedded starts a broker in this process, in memory, that ends with the test. Like Apache Kafka it creates an absent
// topic, with one partition, for a client that allows it to. opts are added to that.
func Embedded(t testing.TB, opts ...kfake.Opt) *Broker {
	t.Helper()
	b := &Broker{kind: "embedded"}
	e := &embedded{broker: b, opts: append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
	}, opts...)}
	b.node = e
	if err := e.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.cluster.Close() })
	return b
}

// EmbeddedOnDisk is [Embedded] with its data in a temporary directory, so that it can be stopped and restarted.
func EmbeddedOnDisk(t testing.TB, opts ...kfake.Opt) *Broker {
	t.Helper()
	b := Embedded(t, append(opts, kfake.DataDir(t.TempDir()))...)
	b.node.(*embedded).onDisk = true
	return b
}

// embedded is a kfake cluster of one node.
type embedded struct {
	broker *Broker
	opts   []kfake.Opt
	onDisk bool
}

func (e *embedded) open() error {
	c, err := kfake.NewCluster(e.opts...)
	if err != nil {
		return fmt.Errorf("starting the embedded broker: %w", err)
	}
	e.broker.cluster = c
	if e.broker.addr == "" { // else it is the same, and others may be reading it
		e.broker.addr = c.ListenAddrs()[0]
	}
	return nil
}

func (e *embedded) ended() <-chan struct{} { return nil }

func (e *embedded) kill() error {
	return fmt.Errorf("%w: an embedded one has no process to kill", ErrUnsupported)
}

func (e *embedded) stop() error {
	e.broker.cluster.Close()
	return nil
}

func (e *embedded) restart() error {
	if !e.onDisk {
		return fmt.Errorf("%w: it is in memory; take one from EmbeddedOnDisk", ErrUnsupported)
	}
	_, port, err := net.SplitHostPort(e.broker.addr)
	if err != nil {
		return fmt.Errorf("reading the embedded broker's address: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("reading the embedded broker's address: %w", err)
	}
	e.broker.cluster.Close()
	e.opts = append(e.opts, kfake.Ports(n))
	return e.open()
}
