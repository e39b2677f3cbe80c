package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
)

// TryFor is how long a cluster that does not answer is tried.
const TryFor = 30 * time.Second

// tryTimeout bounds one try.
const tryTimeout = 10 * time.Second

// hintUnreachable is what to do about a cluster that can't be used.
const hintUnreachable = "check kafka.brokers, kafka.tls, kafka.sasl and the network; consentd doctor tells which it is"

// Await returns when the cluster answers. It tries for 30 s, but for what trying again can't mend; when ctx ends it returns its error.
func (c *Cluster) Await(ctx context.Context, log zerolog.Logger) error {
	return Try(ctx, c.brokers, log, Permanent, func(ctx context.Context) error {
		_, err := c.Describe(ctx)
		return err
	})
}

// Try asks the cluster of these brokers until it answers: for 30 s, but for what is final; when ctx ends it returns its error.
func Try(ctx context.Context, brokers []string, log zerolog.Logger, final func(error) bool, ask func(context.Context) error) error {
	attempt := func() error {
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		err := ask(ctx)
		if err != nil && final(err) {
			return backoff.Permanent(err)
		}
		return err
	}
	notify := func(err error, wait time.Duration) {
		if !errors.Is(err, kafka.UnstableOffsetCommit) { // which is over in a moment
			log.Warn().Err(err).Dur("wait", wait).Strs("brokers", brokers).Str("hint", hintUnreachable).
				Msg("the cluster can't be reached, trying again")
		}
	}
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(TryFor))
	err := backoff.RetryNotify(attempt, backoff.WithContext(pause, ctx), notify)
	switch {
	case err == nil || final(err):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("kafka.brokers %s: no use of the cluster within %s: %w; %s", strings.Join(brokers, ","), TryFor, err, hintUnreachable)
}
