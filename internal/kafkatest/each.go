package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Apache starts an Apache Kafka that only this test uses and that ends with it. Without Java or Maven the test is
// skipped, and the skip noted for `make test`; where the environment variable CI is true it fails instead.
func Apache(t testing.TB) *Broker {
	t.Helper()
	b, err := StartApache(t.Context(), t.TempDir(), ApacheOptions{})
	requireTools(t, err)
	t.Cleanup(func() {
		if err := b.node.kill(); err != nil { // its directory goes too: no point in good order
			t.Error(err)
		}
	})
	return b
}

// Each runs f as two subtests: "embedded", with a broker of its own, and "apache", with the one that all tests of this
// binary share and that [Main] ends. Tests keep apart by topic and group names: see [Broker.Topic]. Those that stop the
// broker take one from [Apache].
func Each(t *testing.T, f func(t *testing.T, b *Broker)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { f(t, Embedded(t)) })
	t.Run("apache", func(t *testing.T) {
		if !shared.owned {
			t.Fatal("kafkatest.Each needs a TestMain that calls os.Exit(kafkatest.Main(m)): it ends the shared broker")
		}
		b, err := shared.get()
		requireTools(t, err)
		f(t, b)
	})
}

// Main runs the tests of a binary that uses [Each] and ends the shared broker after them. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }
func Main(m *testing.M) int {
	shared.owned = true
	code := m.Run()
	if err := shared.end(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// shared is the test binary's Apache Kafka. A start of its own for every test would cost each 3 s.
var shared sharedApache

type sharedApache struct {
	owned  bool // by Main
	start  sync.Once
	dir    string
	broker *Broker
	err    error
}

func (s *sharedApache) get() (*Broker, error) {
	s.start.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "kafkatest-"); s.err != nil {
			return
		}
		s.broker, s.err = StartApache(context.Background(), s.dir, ApacheOptions{})
		if s.err == nil {
			s.broker.shared = true
		}
	})
	return s.broker, s.err
}

func (s *sharedApache) end() error {
	var err error
	if s.broker != nil {
		err = s.broker.node.kill()
	}
	if s.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
