package broker

import (
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// RequiredVersions are the versions of requests that a broker must understand. Those of transactions are in it only when
// they are to be used.
func RequiredVersions(transactions bool) map[protocol.ApiKey]int16 {
	required := map[kmsg.Key]int16{
		kmsg.Fetch: fetchVersion, kmsg.Produce: produceVersion, kmsg.OffsetFetch: offsetFetchVersion, kmsg.OffsetCommit: offsetCommitVersion,
		kmsg.ListOffsets: listOffsetsVersion, kmsg.Metadata: metadataVersion, kmsg.FindCoordinator: findCoordinatorVersion,
	}
	if transactions {
		required[kmsg.InitProducerID] = initProducerIDVersion
		required[kmsg.AddPartitionsToTxn] = addPartitionsToTxnVersion
		required[kmsg.AddOffsetsToTxn] = addOffsetsToTxnVersion
		required[kmsg.TxnOffsetCommit] = txnOffsetCommitVersion
		required[kmsg.EndTxn] = endTxnVersion
	}
	versions := make(map[protocol.ApiKey]int16, len(required))
	for key, version := range required {
		versions[protocol.ApiKey(key)] = version
	}
	return versions
}
