// Package kafkatest gives tests and benchmarks their Kafka brokers and looks at them from outside.
//
// There are two kinds. [Embedded] is kfake in the test's own process: ready at once, scriptable, but no real broker.
// [Apache] is a real Apache Kafka in a process of its own: it can be killed, it compacts, it creates absent topics for
// whoever asks for their metadata. [Each] runs the same test on both.
//
// What is on a broker is written and read here with franz-go, never with the library the daemon uses, so that both
// sides of a test don't share one mistake. What the records mean is left to the tests.
package kafkatest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// ErrUnsupported is returned for what a kind of broker can't do.
var ErrUnsupported = errors.New("not supported by this broker")

// Broker is one running Kafka node that listens on the loopback interface, without TLS or authentication. Its methods
// are safe for concurrent use, except that Kill, Stop and Restart must not overlap.
type Broker struct {
	kind    string
	addr    string
	node    node
	shared  bool
	cluster *kfake.Cluster
}

// node is how each kind of broker is ended and brought back.
type node interface {
	ended() <-chan struct{}
	kill() error
	stop() error
	restart() error
}

// Addr is the broker's host:port. It stays the same across restarts.
func (b *Broker) Addr() string { return b.addr }

// Kind is "apache" or "embedded".
func (b *Broker) Kind() string { return b.kind }

// Cluster is the embedded broker's kfake, for faults and control functions; nil on Apache Kafka and not to be kept
// across a Restart.
func (b *Broker) Cluster() *kfake.Cluster { return b.cluster }

// Done is closed when the broker's process has ended, whoever ended it; nil for an embedded one. Another one comes with a
// restart.
func (b *Broker) Done() <-chan struct{} { return b.node.ended() }

// Kill ends the broker's process at once (SIGKILL) and returns when it is gone. Embedded brokers don't support it.
func (b *Broker) Kill() error {
	if b.shared {
		return fmt.Errorf("%w: it is shared by the tests of this binary; take one from Apache", ErrUnsupported)
	}
	return b.node.kill()
}

// Stop shuts the broker down in good order (SIGTERM) and returns when it is gone.
func (b *Broker) Stop() error {
	if b.shared {
		return fmt.Errorf("%w: it is shared by the tests of this binary; take one from Apache", ErrUnsupported)
	}
	return b.node.stop()
}

// Restart brings a broker that was stopped or killed back, with the same address and data, and returns when it answers;
// one that still runs is stopped first. Of the embedded brokers only those of [EmbeddedOnDisk] support it.
func (b *Broker) Restart() error {
	if b.shared {
		return fmt.Errorf("%w: it is shared by the tests of this binary; take one from Apache", ErrUnsupported)
	}
	return b.node.restart()
}

var notInTopicName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// Topic returns a topic name that no other test has, made of name and the test's own. It doesn't create the topic.
func (b *Broker) Topic(t testing.TB, name string) string {
	test := notInTopicName.ReplaceAllString(t.Name(), "-")
	return fmt.Sprintf("%s.%.120s.%s", name, test, rand.Text()[:8])
}
