package dev

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"consentd/examples"
	"consentd/internal/broker"
	"consentd/schemas"
)

// request is one that traffic consists of, with what is to come of it.
type request struct {
	value []byte
	key   []byte
	items int // terminal events expected
}

// exampleRequests are those of examples/requests.jsonl.
func exampleRequests() []request {
	var requests []request
	for line := range bytes.Lines(examples.Requests) {
		requests = append(requests, newRequest(bytes.TrimSpace(line)))
	}
	return requests
}

func newRequest(value []byte) request {
	decoded, err := schemas.DecodeRequest(nil, value, nil)
	r := request{value: value, key: []byte(decoded.CorpID), items: len(decoded.Items)}
	if err != nil {
		r.items = 1
	}
	return r
}

const (
	pairsARequest  = 20
	pairsARoom     = 50 // one room is asked for with so many pairs
	staffACorp     = 40
	customersACorp = 1_000_000
)

// generate makes requests for so many pairs of the corps, and some rooms, the same for the same seed.
func generate(corps []string, pairs int, seed uint64) []request {
	random := rand.New(rand.NewPCG(seed, 0))
	var requests []request
	for n := 0; n < pairs; {
		corp := corps[random.IntN(len(corps))]
		if n%pairsARoom == 0 {
			requests = append(requests, newRequest(fmt.Appendf(nil,
				`{"request_id":"room-%d-%d","corp_id":%q,"kind":"room","chatid":"wr%08d"}`, seed, n, corp, random.IntN(customersACorp))))
		}
		count := min(1+random.IntN(pairsARequest), pairs-n)
		value := fmt.Appendf(nil, `{"request_id":"pairs-%d-%d","corp_id":%q,"kind":"single","items":[`, seed, n, corp)
		for i := range count {
			if i > 0 {
				value = append(value, ',')
			}
			value = fmt.Appendf(value, `{"open_userid":"staff%02d","external_userid":"wm%08d"}`,
				random.IntN(staffACorp), random.IntN(customersACorp))
		}
		requests = append(requests, newRequest(append(value, `]}`...)))
		n += count
	}
	return requests
}

// submit publishes requests, keyed by their corp, and returns how many terminal events are to come of them.
func submit(ctx context.Context, cluster *broker.Cluster, topic string, requests []request, log zerolog.Logger) (int, error) {
	n, err := cluster.PartitionCount(ctx, topic)
	if err != nil {
		return 0, err
	}
	partitioner := broker.NewPartitioner(n)
	var records broker.Records
	items := 0
	for _, r := range requests {
		records.Append(broker.TopicPartition{Topic: topic, Partition: partitioner.Partition(r.key)}, r.key, r.value, nil, time.Now())
		items += r.items
	}
	return items, cluster.Produce(ctx, &records, log)
}
