package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
)

// quotaCallsPerMinute is what WeCom lets a provider make from one IP.
const quotaCallsPerMinute = 40_000

// QuotaReport says how well many corps use what they may call together.
type QuotaReport struct {
	Broker string `json:"broker"`
	Items  int    `json:"items"`
	Corps  int    `json:"corps"`
	Calls  int    `json:"calls"`
	// Took is the time from the first answer to the last, Ideal what so many calls take when none is wasted, in seconds.
	Took  float64 `json:"took_s"`
	Ideal float64 `json:"ideal_s"`
	Ratio float64 `json:"ratio"`
	// BusiestMinute is the most calls in any 60 s, MostCallsOfACorp the most of one corp at once, as the API saw them.
	BusiestMinute    int `json:"busiest_minute"`
	MostCallsOfACorp int `json:"most_calls_of_a_corp"`
}

// Print writes the report for people.
func (r QuotaReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload quota: %d items of %d corps, one request each, at most %d calls a minute, on broker %s\n\n",
		r.Items, r.Corps, quotaCallsPerMinute, r.Broker)
	_, err := fmt.Fprintf(out, "%d calls in %.1f s, %.2f times the ideal %.1f s; at most %d in any minute, and %d of one corp at once\n",
		r.Calls, r.Took, r.Ratio, r.Ideal, r.BusiestMinute, r.MostCallsOfACorp)
	return err
}

// quota asks for a batch of every corp, in a request each.
func quota(ctx context.Context, b *run) (Report, error) {
	o := b.options
	r := QuotaReport{Broker: b.brokerName(), Items: o.Items, Corps: o.Corps}
	b.say(fmt.Sprintf("publishing a request of each of %d corps", o.Corps))
	if err := b.submitRequests(ctx, o.Items/o.Corps); err != nil {
		return nil, err
	}
	b.say("waiting for the answers")
	_, err := b.daemon(ctx, func(*process) error { return b.answers.await(ctx, o.Items) })
	if err != nil {
		return nil, err
	}
	stats, err := b.stats(ctx)
	if err != nil {
		return nil, err
	}
	for _, corp := range stats.Corps {
		r.MostCallsOfACorp = max(r.MostCallsOfACorp, corp.MaxConcurrency)
	}
	r.Calls, r.BusiestMinute = int(stats.Calls.Single), int(stats.BusiestMinute.Single)
	r.Took = b.answers.between().Seconds()
	r.Ideal = float64(r.Calls) / quotaCallsPerMinute * 60
	r.Ratio = r.Took / r.Ideal
	return r, nil
}

// submitRequests publishes one request of so many pairs for each corp.
func (b *run) submitRequests(ctx context.Context, pairs int) error {
	partitioner := broker.NewPartitioner(b.partitions)
	var records broker.Records
	for c := range b.corps {
		items := make([]string, pairs)
		for i := range items {
			items[i] = fmt.Sprintf(`{"open_userid":"staff","external_userid":"wm%d"}`, i)
		}
		key := []byte(corpID(c))
		value := fmt.Appendf(nil, `{"corp_id":%q,"kind":"single","items":[%s]}`, key, strings.Join(items, ","))
		records.Append(broker.TopicPartition{Topic: b.topic("requests"), Partition: partitioner.Partition(key)}, key, value, nil, time.Now())
	}
	return b.cluster.Produce(ctx, &records, zerolog.Nop())
}
