package topics

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"consentd/config"
	"consentd/internal/broker"
)

// Finding is something about a topic that is not as it should be.
type Finding struct {
	Topic string `json:"topic"`
	// Key is the configuration's key that names the topic.
	Key string `json:"key"`
	// Setting is the topic's that differs; empty: it is about something else.
	Setting string `json:"setting,omitempty"`
	// Wrong: something will fail or be lost. Else it is a risk, which may have been taken knowingly.
	Wrong bool `json:"wrong"`
	// Found says what is the case, Why why it matters, Do what to do about it.
	Found string `json:"found"`
	Why   string `json:"why"`
	Do    string `json:"do"`
}

// Summary is what the cluster has of a needed topic.
type Summary struct {
	Topic      string `json:"topic"`
	Key        string `json:"key"`
	Exists     bool   `json:"exists"`
	Partitions int    `json:"partitions"`
	// Replicas is the number of replicas of the partition that has the fewest.
	Replicas int `json:"replicas"`
}

// Check looks at the needed topics. It changes nothing. The error is about the cluster as a whole, findings are about topics.
func Check(ctx context.Context, cluster *broker.Cluster, cfg config.Config) ([]Summary, []Finding, error) {
	d, err := cluster.Describe(ctx, Names(cfg)...)
	if err != nil {
		return nil, nil, err
	}
	var there []string
	for name, t := range d.Topics {
		if t.Err == nil {
			there = append(there, name)
		}
	}
	settings, err := cluster.TopicSettings(ctx, there...)
	if err != nil {
		return nil, nil, err
	}
	var summaries []Summary
	var found []Finding
	status := len(d.Topics[cfg.Topics.Status].Partitions)
	for _, n := range needed(cfg) {
		c := check{need: n, cfg: cfg, topic: d.Topics[n.Name], settings: settings[n.Name]}
		c.run(status)
		summaries = append(summaries, Summary{n.Name, n.key, c.topic.Err == nil, len(c.topic.Partitions), c.replicas()})
		found = append(found, c.found...)
	}
	return summaries, found, nil
}

// check is one topic's.
type check struct {
	need
	cfg      config.Config
	topic    broker.TopicDescription
	settings broker.Settings
	found    []Finding
}

func (c *check) run(statusPartitions int) {
	switch err := c.topic.Err; {
	case errors.Is(err, kafka.UnknownTopicOrPartition) && c.cfg.Topics.Create:
		c.risk("", "does not exist", "the daemon makes it at its start (topics.create), and who writes to it or reads it before that fails", "nothing, or create it: consentd topics create")
		return
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		c.wrong("", "does not exist", "the daemon does not start without it",
			"create it: consentd topics create; or set topics.create: true, or correct the name")
		return
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		c.wrong("", "may not be seen", "the daemon does not start without it",
			"allow this user Describe on it, or correct the name")
		return
	case err != nil:
		c.wrong("", "can't be looked at: "+err.Error(), "the daemon may not get to work", "look at the brokers")
		return
	}
	if n := len(c.topic.Partitions); c.byCorp && statusPartitions > 0 && n != statusPartitions {
		c.wrong("", fmt.Sprintf("has %d partitions, %s has %d", n, c.cfg.Topics.Status, statusPartitions),
			"a corp has its place in both, by the number of partitions: the daemon does not start",
			fmt.Sprintf("create it anew with %d partitions, once nothing waits in it any more", statusPartitions))
	}
	c.leaders()
	if err := c.settings.Err; err != nil {
		c.risk("", "its settings can't be read: "+err.Error(), "they may be wrong, and the daemon does not start without reading those of the status, forward, retry and dead-letter topics", "allow this user DescribeConfigs on it")
		return
	}
	c.replication()
	c.cleanup()
	c.messageBytes()
	c.retention()
}

func (c *check) leaders() {
	for _, p := range c.topic.Partitions {
		if p.Leader < 0 {
			c.wrong("", fmt.Sprintf("partition %d has no leader", p.Partition), "it can be neither read nor written", "look at the brokers that hold it")
			return
		}
	}
}

// replicas returns the number of replicas of the partition that has the fewest.
func (c *check) replicas() (fewest int) {
	for i, p := range c.topic.Partitions {
		if i == 0 || p.Replicas < fewest {
			fewest = p.Replicas
		}
	}
	return fewest
}

func (c *check) replication() {
	replicas := c.replicas()
	least, known := c.number(minInsync)
	least = max(least, 1)
	inSync, which := replicas, int32(0)
	for _, p := range c.topic.Partitions {
		if p.InSync < inSync {
			inSync, which = p.InSync, p.Partition
		}
	}
	switch {
	case known && int64(replicas) < least:
		c.wrong(minInsync, fmt.Sprintf("is %d, and there are %d replicas", least, replicas),
			"every write wants that many replicas in sync: none succeeds", fmt.Sprintf("add replicas, or lower %s to at most %d", minInsync, replicas))
	case known && int64(inSync) < least:
		c.wrong(minInsync, fmt.Sprintf("is %d, and partition %d has %d replicas in sync", least, which, inSync),
			"writes to it fail until more replicas are back", "look at the brokers that are behind")
	case replicas == 1:
		c.risk("", "has one replica", "what a broker's disk loses is lost: transactions that were acknowledged too", "have 3 replicas, where it matters")
	case known && least == 1:
		c.risk(minInsync, fmt.Sprintf("is 1 with %d replicas", replicas),
			"a write counts as done when one broker has it: when that one fails, it is lost", "set it to 2")
	case known && least == int64(replicas):
		c.risk(minInsync, fmt.Sprintf("is %d with as many replicas", least), "one broker that stops stops all writes", fmt.Sprintf("set it to %d", least-1))
	}
	if c.settings.Values[uncleanElection] == "true" {
		c.risk(uncleanElection, "is true", "a broker that was behind may become leader: what was acknowledged is lost, a withdrawn consent too", "set it to false")
	}
}

func (c *check) cleanup() {
	policy, ok := c.settings.Values[cleanupPolicy]
	switch {
	case !ok:
	case c.key == "topics.status" && policy == "delete":
		c.wrong(cleanupPolicy, "is delete", "the status of conversations that are quiet is lost: their next check would be first_seen", "set it to compact")
	case c.key == "topics.status" && policy != "compact":
		c.wrong(cleanupPolicy, "is "+policy, "it deletes by age too, so that the status of conversations that are quiet is lost", "set it to compact alone")
	case c.key != "topics.status" && policy != "delete":
		c.wrong(cleanupPolicy, "is "+policy, "of the records with the same key only the last one stays: others are lost before they are read", "set it to delete")
	}
}

// defaultMessageBytes is Kafka's own limit: any event and status record fits.
const defaultMessageBytes = 1048588

func (c *check) messageBytes() {
	n, ok := c.number(maxMessageBytes)
	switch {
	case !ok:
	case c.Configs[maxMessageBytes] != "":
		if n < WholeRequestBytes {
			c.wrong(maxMessageBytes, fmt.Sprintf("is %d", n), "a request of 1 MiB and the headers that are added to it don't fit: the daemon does not start",
				fmt.Sprintf("set it to at least %d", WholeRequestBytes))
		}
	case n < defaultMessageBytes:
		c.risk(maxMessageBytes, fmt.Sprintf("is %d", n), "a room of many customers, or a large request, does not fit",
			fmt.Sprintf("set it to at least %d", defaultMessageBytes))
	}
}

func (c *check) retention() {
	if c.key == "topics.status" {
		return // compacted: nothing is deleted by age or size
	}
	if bytes, ok := c.number(retentionBytes); ok && bytes >= 0 && c.byCorp {
		c.risk(retentionBytes, fmt.Sprintf("is %d", bytes), "during an outage requests that wait may be deleted by size", "set it to -1, or far above what an outage gathers")
	}
	ms, ok := c.number(retentionMs)
	if !ok || ms < 0 {
		return
	}
	kept, wanted := time.Duration(min(ms, int64(365*24*time.Hour/time.Millisecond)))*time.Millisecond, c.cfg.Retry.MaxAge
	switch {
	case kept >= wanted:
	case c.byCorp:
		c.wrong(retentionMs, fmt.Sprintf("is %d (%s), retry.max_age is %s", ms, kept, wanted),
			"requests that wait in it may be deleted before they have an answer, without a consent.failed",
			fmt.Sprintf("set it to at least %d, or lower retry.max_age", wanted.Milliseconds()))
	case c.key == "topics.requests":
		c.risk(retentionMs, fmt.Sprintf("is %d (%s), retry.max_age is %s", ms, kept, wanted),
			"requests are deleted unread when the daemon is away for longer", fmt.Sprintf("set it to at least %d", wanted.Milliseconds()))
	}
}

// number is a setting's value; ok is false when the brokers don't say, or not with a number.
func (c *check) number(setting string) (n int64, ok bool) {
	n, err := strconv.ParseInt(c.settings.Values[setting], 10, 64)
	return n, err == nil
}

func (c *check) wrong(setting, found, why, do string) { c.add(setting, true, found, why, do) }
func (c *check) risk(setting, found, why, do string)  { c.add(setting, false, found, why, do) }

func (c *check) add(setting string, wrong bool, found, why, do string) {
	c.found = append(c.found, Finding{Topic: c.Name, Key: c.key, Setting: setting, Wrong: wrong, Found: found, Why: why, Do: do})
}
