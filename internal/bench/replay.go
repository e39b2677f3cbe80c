package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/replay"
	"consentd/schemas"
)

// ReplayReport says how fast dead letters are replayed.
type ReplayReport struct {
	Broker  string `json:"broker"`
	Records int    `json:"records"`
	// PerSecond is how many were published a second without a rate; Usage includes the start of the command and the look at what
	// there is.
	PerSecond float64 `json:"records_per_second"`
	Usage     Usage   `json:"usage"`
	// Rates are those that were set, and what came of them.
	Rates []RateReport `json:"rates"`
}

// RateReport says what a set rate came to, in records a second.
type RateReport struct {
	Set    float64 `json:"set"`
	Actual float64 `json:"actual"`
}

// Print writes the report for people.
func (r ReplayReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload replay: %d dead letters, exactly once, on broker %s\n\n", r.Records, r.Broker)
	fmt.Fprintf(out, "without a rate  %8.0f records/s, CPU %.1f µs/record, peak RSS %.0f MB, the look at them included\n",
		r.PerSecond, float64(r.Usage.CPU.Microseconds())/float64(r.Records), megabytes(r.Usage.PeakRSS))
	for _, rate := range r.Rates {
		if _, err := fmt.Fprintf(out, "--rate %-8.0f %8.0f records/s, %.3f of it\n", rate.Set, rate.Actual, rate.Actual/rate.Set); err != nil {
			return err
		}
	}
	return nil
}

// republish replays all dead letters, and then some of them at set rates.
func republish(ctx context.Context, b *run) (Report, error) {
	r := ReplayReport{Broker: b.brokerName(), Records: b.options.Items}
	b.say(fmt.Sprintf("writing %d dead letters", r.Records))
	if err := b.writeDeadLetters(ctx, r.Records); err != nil {
		return nil, err
	}
	b.say("replaying all of them")
	s, usage, err := b.replay(ctx)
	if err != nil {
		return nil, err
	}
	if s.Published != int64(r.Records) {
		return nil, fmt.Errorf("%d of %d records were replayed", s.Published, r.Records)
	}
	r.PerSecond, r.Usage = s.RecordsPerSecond, usage
	for _, rate := range []float64{1000, 20_000} {
		const seconds = 10
		b.say(fmt.Sprintf("replaying %.0f a second", rate))
		s, _, err := b.replay(ctx, "--rate", strconv.FormatFloat(rate, 'f', -1, 64), "--max", strconv.FormatFloat(seconds*rate, 'f', -1, 64))
		if err != nil {
			return nil, err
		}
		r.Rates = append(r.Rates, RateReport{Set: rate, Actual: s.RecordsPerSecond})
	}
	return r, nil
}

// replay runs the command in a process of its own.
func (b *run) replay(ctx context.Context, args ...string) (replay.Summary, Usage, error) {
	var s replay.Summary
	p, err := b.start(ctx, "the replay", append([]string{"replay", "--config", b.config, "--execute", "--yes", "--json"}, args...)...)
	if err != nil {
		return s, Usage{}, err
	}
	line, err := p.line()
	if err == nil {
		err = json.Unmarshal([]byte(line), &s)
	}
	if err != nil {
		return s, Usage{}, err
	}
	usage, err := p.wait()
	return s, usage, err
}

// writeDeadLetters writes what the daemon would of requests that failed.
func (b *run) writeDeadLetters(ctx context.Context, n int) error {
	partitioner := broker.NewPartitioner(b.partitions)
	const atOnce = 20_000
	var records broker.Records
	for i := range n {
		corp := []byte(corpID(i % b.corps))
		trail := schemas.Trail{
			Failure:        schemas.Failure{Class: schemas.NotFound, Errcode: 301061, Message: "no such customer", Attempts: 1},
			Origin:         schemas.Origin{Topic: b.topic("requests"), Offset: int64(i)},
			FirstAttemptAt: time.Now(),
		}
		value := fmt.Appendf(nil, `{"request_id":"`+requestID+`%d","corp_id":%q,"kind":"single","open_userid":"staff","external_userid":%q}`, i, corp, customer(i))
		records.Append(broker.TopicPartition{Topic: b.topic("dead-letters"), Partition: partitioner.Partition(corp)}, corp, value, trail.AppendHeaders(nil, nil), time.Now())
		if records.Len() == atOnce || i == n-1 {
			if err := b.cluster.Produce(ctx, &records, zerolog.Nop()); err != nil {
				return err
			}
			records.Reset()
		}
	}
	return nil
}
