package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
	"consentd/internal/daemon"
	"consentd/internal/topics"
)

// cluster looks at what only the cluster as a whole can tell, by the brokers that can be used.
func (x *examination) cluster(ctx context.Context, usable []string) {
	options, err := daemon.ClusterOptions(x.cfg)
	if err != nil {
		return // reported with the seeds
	}
	options.Brokers = usable
	c := broker.Open(options)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 4*clusterTimeout)
	defer cancel()
	d, err := describe(ctx, c, topics.Names(x.cfg))
	if err != nil {
		x.add(Wrong, checkBroker, "", "the cluster can't be used: "+err.Error(), "see what was found before; else look at the brokers", "kafka.brokers")
		return
	}
	x.nodes(ctx, d.Nodes)
	x.topics(ctx, c)
	x.rights(d)
	x.group(ctx, c)
	x.transactions(ctx, c)
	x.limits(ctx, c, d.Nodes)
}

func describe(ctx context.Context, c *broker.Cluster, names []string) (broker.Description, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	return c.Describe(ctx, names...)
}

// nodes connects to the addresses that the brokers tell: they may be others than those that were configured.
func (x *examination) nodes(ctx context.Context, nodes []broker.Node) {
	for _, n := range nodes {
		if slices.Contains(x.cfg.Kafka.Brokers, n.Addr) {
			continue
		}
		host, _, err := net.SplitHostPort(n.Addr)
		if err != nil || !x.resolves(ctx, host, "kafka.brokers") {
			continue
		}
		conn, err := (&net.Dialer{Timeout: stepTimeout}).DialContext(ctx, "tcp", n.Addr)
		if err != nil {
			x.add(Wrong, checkBroker, n.Addr, fmt.Sprintf("broker %d tells clients this address, and there is no connection: %s", n.ID, cause(err)),
				"correct advertised.listeners of the broker, or the network between", "kafka.brokers")
			continue
		}
		_ = conn.Close() // nothing was sent
		x.ok(checkBroker, n.Addr, "broker %d can be reached", n.ID)
	}
}

func (x *examination) topics(ctx context.Context, c *broker.Cluster) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	summaries, found, err := topics.Check(ctx, c, x.cfg)
	if err != nil {
		x.add(Wrong, checkTopics, "", "can't be looked at: "+err.Error(), "look at the brokers", "kafka.brokers")
		return
	}
	for _, f := range topics.Merge(found) {
		level, key, what := Risk, strings.Join(f.Keys, ", "), f.Found
		if f.Wrong {
			level = Wrong
		}
		if f.Setting != "" {
			key, what = key+": "+f.Setting, f.Setting+" "+f.Found
		}
		subject, names := strings.Join(f.Topics, ", "), ""
		if len(f.Topics) > 1 {
			subject, names = fmt.Sprintf("%d topics", len(f.Topics)), subject+": "
		}
		x.add(level, checkTopics, subject, names+what+": "+f.Why, f.Do, key)
	}
	if len(found) == 0 {
		x.ok(checkTopics, "", "%d topics are as they must be", len(summaries))
	}
}

// rights looks at what the brokers say this client may do.
func (x *examination) rights(d broker.Description) {
	t := x.cfg.Topics
	read, write, settings := broker.OpRead, broker.OpWrite, broker.OpDescribeConfigs
	type need struct {
		key, topic string
		ops        []broker.Operation
	}
	needs := []need{
		{"topics.requests", t.Requests, []broker.Operation{read}},
		{"topics.results", t.Results, []broker.Operation{write}},
		{"topics.status", t.Status, []broker.Operation{read, write, settings}},
		{"topics.forward", t.Forward, []broker.Operation{read, write, settings}},
		{"topics.dead_letters", t.DeadLetters, []broker.Operation{write, settings}},
	}
	if t.Changes != "" {
		needs = append(needs, need{"topics.changes", t.Changes, []broker.Operation{write}})
	}
	for _, retry := range x.cfg.RetryTopics() {
		needs = append(needs, need{"topics.retry_prefix", retry.Name, []broker.Operation{read, write, settings}})
	}
	all, looked := true, false
	for _, n := range needs {
		topic, ok := d.Topics[n.topic]
		if !ok || topic.Err != nil || !topic.Operations.Known() {
			continue
		}
		looked = true
		if lacking := lacking(topic.Operations, n.ops); lacking != "" {
			all = false
			x.add(Wrong, checkRights, n.topic, "this user may not "+lacking, "allow it on the topic", n.key)
		}
	}
	switch {
	case !looked:
		x.add(Skipped, checkRights, "", "the brokers don't say what this user may do with topics", "", "")
	case all:
		x.ok(checkRights, "", "this user may read and write the topics as it must")
	}
}

func lacking(have broker.Operations, want []broker.Operation) string {
	var names []string
	for _, op := range want {
		if !have.Allow(op) {
			names = append(names, op.String())
		}
	}
	return strings.Join(names, ", ")
}

func (x *examination) group(ctx context.Context, c *broker.Cluster) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	group := x.cfg.Consumer.Group
	d, err := c.DescribeGroup(ctx, group)
	switch {
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		x.add(Wrong, checkRights, "group "+group, "this user may not see it", "allow Read on the group", "consumer.group")
	case err != nil:
		x.add(Risk, checkGroup, group, "can't be looked at: "+err.Error(), "try again: brokers that have just started may not know it yet", "consumer.group")
	case d.Operations.Known() && !d.Operations.Allow(broker.OpRead):
		x.add(Wrong, checkRights, "group "+group, "this user may not Read", "allow it on the group", "consumer.group")
	case len(d.Members) > 0 && d.Protocol != "" && d.Protocol != ownProtocol:
		x.add(Wrong, checkGroup, group, fmt.Sprintf("members of another program are in it (they share partitions by %q)", d.Protocol),
			"name a group that nobody else uses", "consumer.group")
	default:
		x.ok(checkGroup, group, "%s, members: %d", d.State, len(d.Members))
	}
}

// ownProtocol is how the daemon's members share partitions.
const ownProtocol = "consentd"

func (x *examination) transactions(ctx context.Context, c *broker.Cluster) {
	if x.cfg.Delivery != "exactly_once" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	id := x.cfg.Consumer.Group + "-" + x.cfg.Instance
	err := c.MayTransact(ctx, id)
	switch {
	case err == nil:
		x.ok(checkTransactions, id, "this user may publish in transactions")
	case errors.Is(err, kafka.TransactionalIDAuthorizationFailed):
		x.add(Wrong, checkTransactions, id, "this user may not publish in transactions under this id",
			"allow Write and Describe on the transactional id (for every instance: prefix "+x.cfg.Consumer.Group+"-), or set it to at_least_once", "delivery")
	default:
		x.add(Wrong, checkTransactions, id, "no transactions: "+err.Error(), "look at the brokers, or set it to at_least_once where the cluster forbids transactions", "delivery")
	}
}

// limits compares timeouts with those that the brokers allow, where they say.
func (x *examination) limits(ctx context.Context, c *broker.Cluster, nodes []broker.Node) {
	if len(nodes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	s, err := c.BrokerSettings(ctx, nodes[0].ID)
	if err != nil || s.Err != nil {
		x.add(Skipped, checkRights, "", "the brokers don't say which timeouts they allow: this user may not DescribeConfigs on the cluster", "", "")
		return
	}
	for _, l := range []struct {
		key     string
		have    time.Duration
		setting string
		below   bool // the setting is a least, not a most
		applies bool
	}{
		{"producer.transaction_timeout", x.cfg.Producer.TransactionTimeout, "transaction.max.timeout.ms", false, x.cfg.Delivery == "exactly_once"},
		{"consumer.session_timeout", x.cfg.Consumer.SessionTimeout, "group.max.session.timeout.ms", false, true},
		{"consumer.session_timeout", x.cfg.Consumer.SessionTimeout, "group.min.session.timeout.ms", true, true},
	} {
		ms, err := strconv.ParseInt(s.Values[l.setting], 10, 64)
		limit := time.Duration(ms) * time.Millisecond
		if err != nil || !l.applies || !l.below && l.have <= limit || l.below && l.have >= limit {
			continue
		}
		x.add(Wrong, checkGroup, l.key, fmt.Sprintf("is %s, and the brokers' %s is %s: they will refuse it", l.have, l.setting, limit), "set it within that", l.key)
	}
}
