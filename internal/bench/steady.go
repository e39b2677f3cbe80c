package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// SteadyReport is what was measured of the daemon alone, when all conversations are known and nothing changed.
type SteadyReport struct {
	Broker     string  `json:"broker"`
	Items      int     `json:"items"`
	Corps      int     `json:"corps"`
	Rate       int     `json:"rate,omitempty"`
	Delivery   string  `json:"delivery"`
	ItemsPerS  float64 `json:"items_per_second"`
	CPUPerItem float64 `json:"cpu_us_per_item"`
	// AllocsPerItem counts objects on the heap.
	AllocsPerItem float64 `json:"allocs_per_item"`
	PeakRSSMB     float64 `json:"peak_rss_mb"`
	Calls         int     `json:"calls"`
	// CallsOverIdeal is 1 when every call is full.
	CallsOverIdeal float64 `json:"calls_over_ideal"`
	// Floor is bare kafka-go moving the same records; nil when a rate is set.
	Floor *FloorReport `json:"floor,omitempty"`
}

// FloorReport is the same of the floor.
type FloorReport struct {
	ItemsPerS     float64 `json:"items_per_second"`
	CPUPerItem    float64 `json:"cpu_us_per_item"`
	AllocsPerItem float64 `json:"allocs_per_item"`
	PeakRSSMB     float64 `json:"peak_rss_mb"`
}

// Print writes the report as a table.
func (r SteadyReport) Print(out io.Writer) error {
	load := "all waiting"
	if r.Rate > 0 {
		load = fmt.Sprintf("%d a second", r.Rate)
	}
	fmt.Fprintf(out, "workload steady: %d items of %d corps, %s, %s, on broker %s, %s/%s with %d CPUs\n\n",
		r.Items, r.Corps, load, r.Delivery, r.Broker, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\titems/s\tCPU µs/item\tallocs/item\tpeak RSS MB\tcalls\tcalls/ideal\t")
	fmt.Fprintf(w, "consentd\t%.0f\t%.2f\t%.1f\t%.0f\t%d\t%.3f\t\n", r.ItemsPerS, r.CPUPerItem, r.AllocsPerItem, r.PeakRSSMB, r.Calls, r.CallsOverIdeal)
	if f := r.Floor; f != nil {
		fmt.Fprintf(w, "floor (kafka-go)\t%.0f\t%.2f\t%.1f\t%.0f\t\t\t\n", f.ItemsPerS, f.CPUPerItem, f.AllocsPerItem, f.PeakRSSMB)
		fmt.Fprintf(w, "ratio\t%.2f\t%.2f\t%.2f\t%.2f\t\t\t\n",
			r.ItemsPerS/f.ItemsPerS, r.CPUPerItem/f.CPUPerItem, r.AllocsPerItem/f.AllocsPerItem, r.PeakRSSMB/f.PeakRSSMB)
	}
	return w.Flush()
}

// steady makes all conversations known, and then asks for them again.
func steady(ctx context.Context, b *run) (Report, error) {
	if err := b.makeKnown(ctx); err != nil {
		return nil, err
	}
	r, err := b.steadyRound(ctx)
	if err == nil && b.options.Rate == 0 {
		r.Floor, err = b.floor(ctx)
	}
	return r, err
}

// makeKnown asks for every conversation once.
func (b *run) makeKnown(ctx context.Context) error {
	b.say(fmt.Sprintf("making %d conversations known", b.options.Conversations))
	if err := b.submit(ctx, b.options.Conversations); err != nil {
		return err
	}
	b.submitted += b.options.Conversations
	_, err := b.daemon(ctx, func(*process) error { return b.answers.await(ctx, b.submitted) })
	return err
}

// steadyRound asks for all items and measures the daemon that answers.
func (b *run) steadyRound(ctx context.Context) (SteadyReport, error) {
	o := b.options
	var calls int
	var took time.Duration
	asked := func() (err error) {
		calls, err = b.singleCalls(ctx)
		b.answers.mark()
		return err
	}
	answered := func() error {
		b.submitted += o.Items
		if err := b.answers.await(ctx, b.submitted); err != nil {
			return err
		}
		took = b.answers.between()
		now, err := b.singleCalls(ctx)
		calls = now - calls
		return err
	}
	var usage Usage
	var err error
	if o.Rate > 0 {
		b.say(fmt.Sprintf("asking for %d items, %d a second", o.Items, o.Rate))
		usage, err = b.daemon(ctx, func(*process) error {
			b.submitted++ // one request tells that the daemon is at work
			return doAll(
				func() error { return b.submit(ctx, 1) },
				func() error { return b.answers.await(ctx, b.submitted) },
				asked, func() error { return b.submitPaced(ctx, 0, o.Items, o.Rate) }, answered)
		})
	} else {
		b.say(fmt.Sprintf("asking for %d items, all waiting", o.Items))
		if err := b.submit(ctx, o.Items); err != nil {
			return SteadyReport{}, err
		}
		usage, err = b.daemon(ctx, func(*process) error { return doAll(asked, answered) })
	}
	if err != nil {
		return SteadyReport{}, err
	}
	items := float64(o.Items)
	return SteadyReport{
		Broker: b.brokerName(), Items: o.Items, Corps: o.Corps, Rate: o.Rate, Delivery: b.delivery,
		ItemsPerS: items / took.Seconds(), CPUPerItem: float64(usage.CPU.Microseconds()) / items,
		AllocsPerItem: float64(usage.Mallocs) / items, PeakRSSMB: megabytes(usage.PeakRSS),
		Calls: calls, CallsOverIdeal: float64(calls) / (items / pairsACall),
	}, nil
}

// brokerName says where the topics were.
func (b *run) brokerName() string {
	if len(b.options.Brokers) == 0 {
		return "embedded"
	}
	return strings.Join(b.options.Brokers, ",")
}

// singleCalls returns how many single calls the simulated API has answered.
func (b *run) singleCalls(ctx context.Context) (int, error) {
	stats, err := b.stats(ctx)
	return int(stats.Calls.Single), err
}

// floor measures bare kafka-go on the same requests.
func (b *run) floor(ctx context.Context) (*FloorReport, error) {
	b.say("moving the same records with bare kafka-go")
	p, err := b.start(ctx, "the floor", "bench-part", "floor", "--brokers", strings.Join(b.brokers, ","),
		"--from", b.topic("requests"), "--to", b.topic("floor"), "--items", fmt.Sprint(b.options.Items))
	if err != nil {
		return nil, err
	}
	usage, err := p.wait()
	if err != nil {
		return nil, err
	}
	items := float64(b.options.Items)
	return &FloorReport{
		ItemsPerS: items / usage.Took.Seconds(), CPUPerItem: float64(usage.CPU.Microseconds()) / items,
		AllocsPerItem: float64(usage.Mallocs) / items, PeakRSSMB: megabytes(usage.PeakRSS),
	}, nil
}
