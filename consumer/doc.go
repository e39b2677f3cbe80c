// Package consumer reads the request topic as a member of a consumer group: it joins, hands each generation's partitions
// to a function that works on them, fetches their records, and keeps account of which offsets are done.
//
// It does not know what a request means, nor how its answer is published: that is left to schemas, checker and producer.
package consumer
