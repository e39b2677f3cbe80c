// Package history reads what happened from the brokers, as any read_committed consumer sees it: every record of every topic,
// and the offsets that the group has committed. It knows what a record is, not what it means.
package history

import (
	"fmt"
	"time"
)

// Record is a record that was committed.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time
	Key       []byte // nil: none
	Value     []byte // nil: none
	Headers   map[string]string
}

// Position is topic/partition/offset.
func (r *Record) Position() string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// Topics are those of one daemon.
type Topics struct {
	Requests, Results, Status, Forward, DeadLetters string
	Retry                                           []string
}

// In are the topics that the daemon reads with its group.
func (t Topics) In() []string { return append([]string{t.Requests, t.Forward}, t.Retry...) }

// All are all topics.
func (t Topics) All() []string { return append(t.In(), t.Results, t.Status, t.DeadLetters) }

// History is all that is left when the faults are over. The records of each list are in the order of topic, partition and
// offset.
type History struct {
	Requests, Results, Status, Forward, Retry, DeadLetters []Record
	// Partitions is how many each topic has.
	Partitions map[string]int
	// Commits has every partition of the topics that the daemon reads.
	Commits []Commit
	// AbortedTransactions counts those of the daemon that left a marker in a topic it writes to.
	AbortedTransactions int
}

// Commit is what the group has committed for a partition.
type Commit struct {
	Topic     string
	Partition int32
	Offset    int64 // -1: nothing
	Metadata  string
	End       int64 // the last stable offset
	// Open: a transaction is open there, so that more may come to light.
	Open bool
	// Beyond are the records at the committed offset and after it.
	Beyond []Record
}
