package broker

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupDescription is what the coordinator says of a consumer group.
type GroupDescription struct {
	// State is Kafka's word: Stable, PreparingRebalance, CompletingRebalance, Empty or Dead, which is also that of a group
	// that does not exist.
	State string
	// Protocol is how the members share the partitions; empty without members.
	Protocol   string
	Members    []GroupMember
	Operations Operations
}

// GroupMember is a member of a group.
type GroupMember struct {
	ID, ClientID, Host string
	Partitions         []TopicPartition
}

const describeGroupsVersion = 4 // Apache Kafka 2.4

// DescribeGroup asks a group's coordinator for its state and members. It waits for a coordinator that is not ready.
func (c *Cluster) DescribeGroup(ctx context.Context, group string) (GroupDescription, error) {
	var d GroupDescription
	err := whenReady(ctx, func() (err error) {
		d, err = c.describeGroup(ctx, group)
		return err
	})
	return d, err
}

func (c *Cluster) describeGroup(ctx context.Context, group string) (GroupDescription, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
	r, err := c.send(ctx, coordinatorOf(group), req, describeGroupsVersion, &buffers{})
	if err != nil {
		return GroupDescription{}, err
	}
	res := r.(*kmsg.DescribeGroupsResponse)
	if len(res.Groups) != 1 {
		return GroupDescription{}, fmt.Errorf("group %s: %d groups in the answer, want 1", group, len(res.Groups))
	}
	g := res.Groups[0]
	if g.ErrorCode != 0 {
		return GroupDescription{}, fmt.Errorf("group %s: %w", group, kafka.Error(g.ErrorCode))
	}
	d := GroupDescription{State: g.State, Protocol: g.Protocol, Operations: Operations(g.AuthorizedOperations)}
	for _, m := range g.Members {
		member := GroupMember{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost}
		var assignment kmsg.ConsumerMemberAssignment
		if len(m.MemberAssignment) > 0 && g.ProtocolType == "consumer" {
			if err := assignment.ReadFrom(m.MemberAssignment); err != nil {
				return d, fmt.Errorf("group %s: assignment of member %s: %w", group, m.MemberID, err)
			}
		}
		for _, t := range assignment.Topics {
			for _, p := range t.Partitions {
				member.Partitions = append(member.Partitions, TopicPartition{t.Topic, p})
			}
		}
		d.Members = append(d.Members, member)
	}
	return d, nil
}

// Groups returns the names of all groups that this user may see.
func (c *Cluster) Groups(ctx context.Context) ([]string, error) {
	r, err := c.client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err == nil {
		err = r.Error
	}
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	names := make([]string, len(r.Groups))
	for i, g := range r.Groups {
		names[i] = g.GroupID
	}
	return names, nil
}
