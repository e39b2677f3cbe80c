package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
)

const (
	// tryFor is how long what the network has to give is tried before it counts as failed, tryTimeout bounds one try.
	tryFor     = 30 * time.Second
	tryTimeout = 10 * time.Second
)

// try asks the cluster until it answers.
func try(ctx context.Context, c Config, ask func(context.Context) error) error {
	attempt := func() error {
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		err := ask(ctx)
		if errors.As(err, new(*InputError)) || broker.Permanent(err) {
			return backoff.Permanent(err)
		}
		return err
	}
	unreachable := broker.Unreachable(c.Cluster.Brokers, c.Log)
	notify := func(err error, wait time.Duration) {
		if !errors.Is(err, kafka.UnstableOffsetCommit) { // which is over in a moment
			unreachable(err, wait)
		}
	}
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(tryFor))
	err := backoff.RetryNotify(attempt, backoff.WithContext(pause, ctx), notify)
	switch {
	case err == nil || errors.As(err, new(*InputError)) || broker.Permanent(err):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("kafka.brokers %s: no use of the cluster within %s: %w", strings.Join(c.Cluster.Brokers, ","), tryFor, err)
}
