package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/topics"
)

// checkTopics makes sure that the topics exist and are fit for their use, before the group is joined: joining creates an
// absent topic on a broker that allows it, with one partition. It creates them itself only when told to. It returns the retry
// topics of delays that are no longer configured.
func checkTopics(ctx context.Context, cluster *broker.Cluster, cfg config.Config, log zerolog.Logger) (oldRetry []config.RetryTopic, err error) {
	final := func(err error) bool { return broker.Permanent(err) || errors.As(err, new(*topicsError)) }
	err = broker.Try(ctx, cfg.Kafka.Brokers, log, final, func(ctx context.Context) (err error) {
		if err = tryTopics(ctx, cluster, cfg, log); err == nil {
			oldRetry, err = oldRetryTopics(ctx, cluster, cfg)
		}
		return err
	})
	return oldRetry, err
}

// topicsError says all that is wrong with the topics.
type topicsError struct{ problems []string }

func (e *topicsError) Error() string { return strings.Join(e.problems, "; ") }

func tryTopics(ctx context.Context, cluster *broker.Cluster, cfg config.Config, log zerolog.Logger) error {
	have, err := cluster.Partitions(ctx, topics.Names(cfg)...)
	if err != nil {
		return err
	}
	absent := topics.Absent(cfg, have, topics.DefaultPartitions)
	if len(absent) > 0 && cfg.Topics.Create {
		if err := createTopics(ctx, cluster, absent, have, log); err != nil {
			return err
		}
		absent = nil
	}
	problems := &topicsError{}
	for _, s := range absent {
		problems.add("topic %s does not exist: create it, or set topics.create: true", s.Name)
	}
	if err := checkSettings(ctx, cluster, topics.Needed(cfg), have, problems, log); err != nil {
		return err
	}
	problems.problems = append(problems.problems, disagreeing(cfg, have)...)
	if len(problems.problems) > 0 {
		return problems
	}
	return nil
}

// disagreeing says which of the topics that are partitioned by corp have not as many partitions as the status topic.
func disagreeing(cfg config.Config, have map[string]int32) (problems []string) {
	want, ok := have[cfg.Topics.Status]
	if !ok {
		return nil
	}
	for _, name := range topics.ByCorp(cfg) {
		if n, ok := have[name]; ok && n != want {
			problems = append(problems, fmt.Sprintf("topic %s has %d partitions, %s has %d: they must be as many, because a corp has its place in both; create %s anew with %d, once nothing waits in it any more",
				name, n, cfg.Topics.Status, want, name, want))
		}
	}
	return problems
}

func (e *topicsError) add(format string, args ...any) {
	e.problems = append(e.problems, fmt.Sprintf(format, args...))
}

// createTopics makes the absent topics, and notes them in have.
func createTopics(ctx context.Context, cluster *broker.Cluster, absent []broker.TopicSpec, have map[string]int32, log zerolog.Logger) error {
	for _, s := range absent {
		have[s.Name] = s.Partitions
		log.Info().Str("topic", s.Name).Int32("partitions", s.Partitions).Msg("creating the topic (topics.create)")
	}
	return cluster.Create(ctx, absent...)
}

// checkSettings looks at the settings of the topics that exist.
func checkSettings(ctx context.Context, cluster *broker.Cluster, specs []broker.TopicSpec, have map[string]int32, problems *topicsError, log zerolog.Logger) error {
	for _, s := range specs {
		if _, ok := have[s.Name]; !ok {
			continue
		}
		for name, want := range s.Configs {
			value, err := cluster.Config(ctx, s.Name, name)
			if err != nil {
				return err
			}
			switch name {
			case "cleanup.policy":
				if value != want {
					log.Error().Str("topic", s.Name).Str(name, value).
						Str("hint", "set cleanup.policy=compact on the topic").
						Msg("the status topic must be compacted (cleanup.policy=compact), or the status of quiet conversations is lost")
				}
			case "max.message.bytes":
				if n, err := strconv.Atoi(value); err != nil || n < topics.WholeRequestBytes {
					problems.add("topic %s: max.message.bytes is %s: set it to at least %s, to hold a request of 1 MiB", s.Name, value, want)
				}
			}
		}
	}
	return nil
}

// oldRetryTopics finds the retry topics of delays that are no longer configured: requests may still wait there.
func oldRetryTopics(ctx context.Context, cluster *broker.Cluster, cfg config.Config) ([]config.RetryTopic, error) {
	all, err := cluster.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range cfg.RetryTopics() {
		delete(all, t.Name)
	}
	var old []config.RetryTopic
	for name := range all {
		text, ours := strings.CutPrefix(name, cfg.Topics.RetryPrefix+"-")
		if delay, err := time.ParseDuration(text); ours && err == nil {
			old = append(old, config.RetryTopic{Name: name, Delay: delay})
		}
	}
	slices.SortFunc(old, func(a, b config.RetryTopic) int { return strings.Compare(a.Name, b.Name) })
	return old, nil
}
