package bench

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// DeliveryReport says what exactly-once delivery costs, in one run.
type DeliveryReport struct {
	ExactlyOnce SteadyReport `json:"exactly_once"`
	AtLeastOnce SteadyReport `json:"at_least_once"`
	// Ratio is the throughput of exactly_once over that of at_least_once.
	Ratio float64 `json:"ratio"`
}

// Print writes the report for people.
func (r DeliveryReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload delivery: %d items of %d corps, all waiting, %d times each, on broker %s\n\n",
		r.ExactlyOnce.Items, r.ExactlyOnce.Corps, deliveryRounds, r.ExactlyOnce.Broker)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\titems/s\tCPU µs/item\tpeak RSS MB\tcalls/ideal\t")
	line := func(way string, s SteadyReport) {
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.0f\t%.3f\t\n", way, s.ItemsPerS, s.CPUPerItem, s.PeakRSSMB, s.CallsOverIdeal)
	}
	line("exactly_once", r.ExactlyOnce)
	line("at_least_once", r.AtLeastOnce)
	fmt.Fprintf(w, "ratio\t%.2f\t%.2f\t\t\t\n", r.Ratio, r.ExactlyOnce.CPUPerItem/r.AtLeastOnce.CPUPerItem)
	return w.Flush()
}

// deliveryRounds is how often each is measured, by turns: the best of each counts, as a busy machine only ever slows down.
const deliveryRounds = 3

// delivery measures the steady workload with both ways to deliver, by turns.
func delivery(ctx context.Context, b *run) (Report, error) {
	if err := b.makeKnown(ctx); err != nil {
		return nil, err
	}
	var r DeliveryReport
	for range deliveryRounds {
		for way, best := range map[string]*SteadyReport{"exactly_once": &r.ExactlyOnce, "at_least_once": &r.AtLeastOnce} {
			b.say(way)
			b.delivery = way
			if err := b.writeConfig(); err != nil {
				return nil, err
			}
			s, err := b.steadyRound(ctx)
			if err != nil {
				return nil, err
			}
			if s.ItemsPerS > best.ItemsPerS {
				*best = s
			}
		}
	}
	r.Ratio = r.ExactlyOnce.ItemsPerS / r.AtLeastOnce.ItemsPerS
	return r, nil
}
