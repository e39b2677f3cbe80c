package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
)

const (
	// awaitFor is how long a cluster that does not answer is tried, awaitTimeout bounds one try.
	awaitFor     = 30 * time.Second
	awaitTimeout = 10 * time.Second
)

// Await returns when the cluster answers. It tries for 30 s, but for what trying again can't mend.
func (c *Cluster) Await(ctx context.Context, log zerolog.Logger) error {
	attempt := func() error {
		ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
		defer cancel()
		_, err := c.Describe(ctx)
		if Permanent(err) {
			return backoff.Permanent(err)
		}
		return err
	}
	pause := backoff.NewExponentialBackOff(backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(awaitFor))
	if err := backoff.RetryNotify(attempt, backoff.WithContext(pause, ctx), Unreachable(c.brokers, log)); err != nil {
		return fmt.Errorf("kafka.brokers %s: no use of the cluster within %s: %w", strings.Join(c.brokers, ","), awaitFor, err)
	}
	return nil
}

// Unreachable returns what logs that the cluster did not answer, and in what time it is asked again.
func Unreachable(brokers []string, log zerolog.Logger) backoff.Notify {
	return func(err error, wait time.Duration) {
		log.Warn().Err(err).Dur("wait", wait).Strs("brokers", brokers).
			Str("hint", "check kafka.brokers, kafka.tls, kafka.sasl and the network; consentd doctor tells which it is").
			Msg("the cluster can't be reached, trying again")
	}
}
