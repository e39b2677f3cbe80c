package broker

import (
	"errors"

	"github.com/segmentio/kafka-go"
)

// Permanent tells the cluster's errors that trying again can't mend: a person has to change a right, a setting or a
// topic. All others pass, or are over with the generation.
func Permanent(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed,
		kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.UnsupportedVersion,
		kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidTopic, kafka.InvalidRecord,
		kafka.PolicyViolation, kafka.InvalidRequiredAcks, kafka.TransactionalIDAuthorizationFailed:
		return true
	}
	return false
}
