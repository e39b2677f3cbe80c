// Package lag looks at the daemon's consumer group from outside: where it stands on each partition, how much waits there, and
// which member has it. It joins no group and commits nothing.
package lag

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"consentd/consumer"
	"consentd/internal/broker"
)

// Report is how a group stands.
type Report struct {
	Group string `json:"group"`
	// State is Kafka's word; Empty or Dead: nobody is at work.
	State string `json:"state"`
	// Protocol is how the members share the partitions: consentd, unless another program uses the group.
	Protocol   string      `json:"protocol,omitempty"`
	Members    []Member    `json:"members"`
	Partitions []Partition `json:"partitions"`
	// Lag is the sum of the partitions'.
	Lag int64 `json:"lag"`
}

// Member is a process of the group.
type Member struct {
	ID         string `json:"id"`
	ClientID   string `json:"client_id"`
	Host       string `json:"host"`
	Partitions int    `json:"partitions"`
}

// Partition is how far the group is.
type Partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Committed is the first offset that is not done, null when nothing was committed.
	Committed *int64 `json:"committed"`
	// End is the offset behind the last record.
	End int64 `json:"end"`
	// Lag is how many offsets there are from the committed one to the end, less those that are done.
	Lag int64 `json:"lag"`
	// DoneBeyond is how many records from the committed offset on are done already.
	DoneBeyond int64 `json:"done_beyond"`
	// Member is the id of the one that has the partition; empty: nobody.
	Member string `json:"member,omitempty"`
	// Problem says what is odd about it.
	Problem string `json:"problem,omitempty"`
}

// Of looks at a group and these topics.
func Of(ctx context.Context, cluster *broker.Cluster, group string, topics []string) (Report, error) {
	d, err := cluster.DescribeGroup(ctx, group)
	if err != nil {
		return Report{}, err
	}
	r := Report{Group: group, State: d.State, Protocol: d.Protocol, Members: []Member{}}
	owners := make(map[broker.TopicPartition]string)
	for _, m := range d.Members {
		r.Members = append(r.Members, Member{m.ID, m.ClientID, strings.TrimPrefix(m.Host, "/"), len(m.Partitions)})
		for _, tp := range m.Partitions {
			owners[tp] = m.ID
		}
	}
	var tps []broker.TopicPartition
	for _, topic := range topics {
		of, err := cluster.AllPartitions(ctx, topic)
		if err != nil {
			return Report{}, err
		}
		tps = append(tps, of...)
	}
	committed, err := cluster.CommittedNow(ctx, group, tps)
	if err != nil {
		return Report{}, err
	}
	begins, err := cluster.Earliest(ctx, tps)
	if err != nil {
		return Report{}, err
	}
	// The ends last: an offset is never beyond one.
	ends, err := cluster.HighWatermarks(ctx, tps)
	if err != nil {
		return Report{}, err
	}
	for _, tp := range tps {
		p := Partition{Topic: tp.Topic, Partition: tp.Partition, End: ends[tp], Member: owners[tp]}
		p.place(committed, begins[tp], tp)
		r.Partitions = append(r.Partitions, p)
		r.Lag += p.Lag
	}
	slices.SortFunc(r.Members, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
	return r, nil
}

// place sets what follows from the committed offset.
func (p *Partition) place(committed map[broker.TopicPartition]broker.Offset, begin int64, tp broker.TopicPartition) {
	c, ok := committed[tp]
	if !ok {
		p.Lag = p.End - begin
		return
	}
	p.Committed = &c.At
	beyond, err := consumer.DoneBeyond(c.At, c.Metadata)
	if err != nil {
		p.Problem = err.Error()
	}
	p.DoneBeyond = beyond
	p.Lag = max(0, p.End-max(c.At, begin)-beyond)
	switch {
	case c.At < begin:
		p.Problem = fmt.Sprintf("%d records were deleted before they were read", begin-c.At)
	case c.At > p.End:
		p.Problem = "the log ends before the committed offset: the topic was made anew"
	}
}
