package topics

import (
	"maps"
	"strconv"

	"consentd/config"
	"consentd/internal/broker"
)

const (
	// DefaultPartitions is what topics are created with; status topics can't grow later.
	DefaultPartitions = 12
	// WholeRequestBytes lets a record hold a request of 1 MiB and what our headers add.
	WholeRequestBytes = 2 << 20
)

// Settings of topics, as the brokers name them.
const (
	cleanupPolicy   = "cleanup.policy"
	maxMessageBytes = "max.message.bytes"
	minInsync       = "min.insync.replicas"
	retentionMs     = "retention.ms"
	retentionBytes  = "retention.bytes"
	uncleanElection = "unclean.leader.election.enable"
)

// need is a topic that must exist.
type need struct {
	broker.TopicSpec
	// key is the configuration's key that names it.
	key string
	// byCorp: it has as many partitions as the status topic, because a corp has its place in both.
	byCorp bool
}

func needed(cfg config.Config) []need {
	large := map[string]string{maxMessageBytes: strconv.Itoa(WholeRequestBytes)}
	t := cfg.Topics
	topic := func(key, name string, configs map[string]string) need {
		return need{TopicSpec: broker.TopicSpec{Name: name, Partitions: DefaultPartitions, Configs: maps.Clone(configs)}, key: key}
	}
	needs := []need{
		topic("topics.requests", t.Requests, nil),
		topic("topics.results", t.Results, nil),
		topic("topics.status", t.Status, map[string]string{cleanupPolicy: "compact"}),
		topic("topics.forward", t.Forward, large),
		topic("topics.dead_letters", t.DeadLetters, large),
	}
	if t.Changes != "" {
		needs = append(needs, topic("topics.changes", t.Changes, nil))
	}
	for _, retry := range cfg.RetryTopics() {
		needs = append(needs, topic("topics.retry_prefix", retry.Name, large))
	}
	for i := range needs {
		needs[i].byCorp = needs[i].key == "topics.forward" || needs[i].key == "topics.retry_prefix"
	}
	return needs
}

// Needed are the topics that must exist, with what they are created with.
func Needed(cfg config.Config) []broker.TopicSpec {
	var specs []broker.TopicSpec
	for _, n := range needed(cfg) {
		specs = append(specs, n.TopicSpec)
	}
	return specs
}

// Names are the names of the topics that must exist.
func Names(cfg config.Config) []string {
	var names []string
	for _, n := range needed(cfg) {
		names = append(names, n.Name)
	}
	return names
}

// Absent are those of the needed topics that the cluster does not have, given the numbers of partitions of those that it has.
// They get so many partitions, but that those which must have as many as the status topic get as many as what is there of
// them.
func Absent(cfg config.Config, have map[string]int32, partitions int32) []broker.TopicSpec {
	status := partitions
	for _, name := range append(ByCorp(cfg), cfg.Topics.Status) { // the status topic's has the last word
		if n, ok := have[name]; ok {
			status = n
		}
	}
	var specs []broker.TopicSpec
	for _, n := range needed(cfg) {
		n.Partitions = partitions
		if n.byCorp || n.Name == cfg.Topics.Status {
			n.Partitions = status
		}
		if _, ok := have[n.Name]; !ok {
			specs = append(specs, n.TopicSpec)
		}
	}
	return specs
}

// ByCorp are the topics that must have as many partitions as the status topic.
func ByCorp(cfg config.Config) []string {
	var names []string
	for _, n := range needed(cfg) {
		if n.byCorp {
			names = append(names, n.Name)
		}
	}
	return names
}
