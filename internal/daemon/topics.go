package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"

	"consentd/config"
	"consentd/internal/broker"
)

const (
	// tryFor is how long what the network has to give is tried before it counts as failed.
	tryFor = 30 * time.Second
	// tryTimeout bounds one try.
	tryTimeout = 10 * time.Second

	// newTopicPartitions is what topics are created with; status topics can't grow later.
	newTopicPartitions = 12
	// deadLetterMessageBytes lets a dead letter hold a request of 1 MiB and its headers.
	deadLetterMessageBytes = 2 << 20
)

// neededTopics are the topics that must exist, with what they are created with.
func neededTopics(t config.Topics) []broker.TopicSpec {
	specs := []broker.TopicSpec{
		{Name: t.Requests},
		{Name: t.Results},
		{Name: t.Status, Configs: map[string]string{"cleanup.policy": "compact"}},
		{Name: t.DeadLetters, Configs: map[string]string{"max.message.bytes": strconv.Itoa(deadLetterMessageBytes)}},
	}
	if t.Changes != "" {
		specs = append(specs, broker.TopicSpec{Name: t.Changes})
	}
	for i := range specs {
		specs[i].Partitions = newTopicPartitions
	}
	return specs
}

// checkTopics makes sure that the topics exist and are fit for their use, before the group is joined: joining creates an
// absent topic on a broker that allows it, with one partition. It creates them itself only when told to.
func checkTopics(ctx context.Context, cluster *broker.Cluster, cfg config.Config, log zerolog.Logger) error {
	attempt := func() error {
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		err := tryTopics(ctx, cluster, cfg, log)
		if broker.Permanent(err) || errors.As(err, new(*topicsError)) {
			return backoff.Permanent(err)
		}
		return err
	}
	notify := func(err error, wait time.Duration) {
		log.Warn().Err(err).Dur("wait", wait).Strs("brokers", cfg.Kafka.Brokers).Msg("the cluster can't be reached, trying again")
	}
	pause := backoff.NewExponentialBackOff(backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(tryFor))
	err := backoff.RetryNotify(attempt, backoff.WithContext(pause, ctx), notify)
	if err == nil || errors.As(err, new(*topicsError)) {
		return err
	}
	return fmt.Errorf("kafka.brokers %s: no use of the cluster within %s: %w", strings.Join(cfg.Kafka.Brokers, ","), tryFor, err)
}

// topicsError says all that is wrong with the topics.
type topicsError struct{ problems []string }

func (e *topicsError) Error() string { return strings.Join(e.problems, "; ") }

func tryTopics(ctx context.Context, cluster *broker.Cluster, cfg config.Config, log zerolog.Logger) error {
	specs := neededTopics(cfg.Topics)
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	have, err := cluster.Partitions(ctx, names...)
	if err != nil {
		return err
	}
	absent := slices.DeleteFunc(slices.Clone(specs), func(s broker.TopicSpec) bool { _, ok := have[s.Name]; return ok })
	if len(absent) > 0 && cfg.Topics.Create {
		for _, s := range absent {
			log.Info().Str("topic", s.Name).Int32("partitions", s.Partitions).Msg("creating the topic (topics.create)")
		}
		if err := cluster.Create(ctx, absent...); err != nil {
			return err
		}
		absent = nil
	}
	problems := &topicsError{}
	for _, s := range absent {
		problems.problems = append(problems.problems,
			fmt.Sprintf("topic %s does not exist: create it, or set topics.create: true", s.Name))
	}
	if _, ok := have[cfg.Topics.Status]; ok {
		if v, err := cluster.Config(ctx, cfg.Topics.Status, "cleanup.policy"); err != nil {
			return err
		} else if v != "compact" {
			log.Error().Str("topic", cfg.Topics.Status).Str("cleanup.policy", v).
				Msg("the status topic must be compacted (cleanup.policy=compact), or the status of quiet conversations is lost")
		}
	}
	if _, ok := have[cfg.Topics.DeadLetters]; ok {
		v, err := cluster.Config(ctx, cfg.Topics.DeadLetters, "max.message.bytes")
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(v); err != nil || n < deadLetterMessageBytes {
			problems.problems = append(problems.problems, fmt.Sprintf(
				"topic %s: max.message.bytes is %s: set it to at least %d, to hold a request of 1 MiB", cfg.Topics.DeadLetters, v, deadLetterMessageBytes))
		}
	}
	if len(problems.problems) > 0 {
		return problems
	}
	return nil
}
