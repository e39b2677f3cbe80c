package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/segmentio/kafka-go"
)

func TestPermanent_AreTheErrorsThatOnlyAPersonCanMend(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"no error", nil, false},
		{"no right to the topic", kafka.TopicAuthorizationFailed, true},
		{"no right to the group", kafka.GroupAuthorizationFailed, true},
		{"no right to the cluster", kafka.ClusterAuthorizationFailed, true},
		{"wrong password", kafka.SASLAuthenticationFailed, true},
		{"mechanism not offered", kafka.UnsupportedSASLMechanism, true},
		{"broker too old", kafka.UnsupportedVersion, true},
		{"record too large", kafka.MessageSizeTooLarge, true},
		{"batch too large", kafka.RecordListTooLarge, true},
		{"invalid topic name", kafka.InvalidTopic, true},
		{"record refused", kafka.InvalidRecord, true},
		{"against a policy", kafka.PolicyViolation, true},
		{"no right to transactions", kafka.TransactionalIDAuthorizationFailed, true},
		{"acks refused", kafka.InvalidRequiredAcks, true},

		{"topic absent, as yet", kafka.UnknownTopicOrPartition, false},
		{"no leader", kafka.LeaderNotAvailable, false},
		{"leader moved", kafka.NotLeaderForPartition, false},
		{"too few replicas", kafka.NotEnoughReplicas, false},
		{"timed out", kafka.RequestTimedOut, false},
		{"coordinator loading", kafka.GroupLoadInProgress, false},
		{"coordinator moved", kafka.NotCoordinatorForGroup, false},
		{"offset pending", kafka.UnstableOffsetCommit, false},
		{"generation over", kafka.IllegalGeneration, false},
		{"member gone", kafka.UnknownMemberId, false},
		{"rebalance", kafka.RebalanceInProgress, false},
		{"quota", kafka.ThrottlingQuotaExceeded, false},
		{"broker's own", kafka.Unknown, false},

		{"wrapped", fmt.Errorf("produce: %w", kafka.MessageSizeTooLarge), true},
		{"wrapped, passing", fmt.Errorf("produce: %w", kafka.LeaderNotAvailable), false},
		{"one of several", errors.Join(errors.New("other"), kafka.TopicAuthorizationFailed), true},
		{"connection lost", io.ErrUnexpectedEOF, false},
		{"given up", context.Canceled, false},
		{"malformed", errMalformed, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Permanent(tc.err); got != tc.want {
				t.Errorf("Permanent(%v) is %t", tc.err, got)
			}
		})
	}
}
