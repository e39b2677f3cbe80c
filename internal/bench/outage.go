package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// OutageReport says what an outage of the API costs.
type OutageReport struct {
	Broker string  `json:"broker"`
	Items  int     `json:"items"`
	Outage float64 `json:"outage_s"`
	// RSSBefore is the daemon's memory when the outage began, RSSMost the most from then to the end.
	RSSBefore float64 `json:"rss_before_mb"`
	RSSMost   float64 `json:"rss_most_mb"`
	// Answered counts items answered before and during the outage, Calls the calls that failed in it.
	Answered int `json:"answered_before"`
	Calls    int `json:"calls_during"`
	// Parked is how many records were put into retry topics.
	Parked int `json:"parked"`
	// Resumed is how long after the outage the first item was answered, Finished the last, in seconds.
	Resumed  float64 `json:"resumed_s"`
	Finished float64 `json:"finished_s"`
}

// Print writes the report for people.
func (r OutageReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload outage: %d items waiting, the API down for %.0f s, on broker %s\n\n", r.Items, r.Outage, r.Broker)
	fmt.Fprintf(out, "RSS when it began %.0f MB, at most %.0f MB from then on\n", r.RSSBefore, r.RSSMost)
	fmt.Fprintf(out, "%d items answered before, %d calls tried during it, %d records parked\n", r.Answered, r.Calls, r.Parked)
	_, err := fmt.Fprintf(out, "all items are answered: the first %.1f s, the last %.1f s after it\n", r.Resumed, r.Finished)
	return err
}

// outage takes the API down while many requests wait.
func outage(ctx context.Context, b *run) (Report, error) {
	o := b.options
	r := OutageReport{Broker: b.brokerName(), Items: o.Items, Outage: o.Outage.Seconds()}
	b.say(fmt.Sprintf("publishing %d requests", o.Items))
	if err := b.submit(ctx, o.Items); err != nil {
		return nil, err
	}
	_, err := b.daemon(ctx, func(p *process) error {
		if err := b.answers.await(ctx, o.Items/10); err != nil {
			return err
		}
		before, err := b.singleCalls(ctx)
		if err != nil {
			return err
		}
		b.say(fmt.Sprintf("the API is down for %s", o.Outage))
		if err := b.script(ctx, `{"http_status":503,"body":"<html>down</html>"}`); err != nil {
			return err
		}
		if r.RSSBefore, err = p.rss(); err != nil {
			return err
		}
		sampling, stop := context.WithCancel(ctx)
		defer stop()
		most := make(chan float64)
		go func() { most <- p.mostRSS(sampling) }()
		select {
		case <-time.After(o.Outage):
		case <-ctx.Done():
			return ctx.Err()
		}
		during, err := b.singleCalls(ctx)
		if err != nil {
			return err
		}
		r.Calls, r.Answered = during-before, b.answers.soFar()
		healed := time.Now()
		if err := doAll(
			func() error { return b.heal(ctx) },
			func() error { return b.answers.await(ctx, r.Answered+1) },
		); err != nil {
			return err
		}
		r.Resumed = time.Since(healed).Seconds()
		if err := b.answers.await(ctx, o.Items); err != nil {
			return err
		}
		r.Finished = time.Since(healed).Seconds()
		stop()
		r.RSSMost = <-most
		parked, err := b.parked(ctx)
		for _, n := range parked {
			r.Parked += n
		}
		return err
	})
	return r, err
}

// rss is how much memory the process has now, in MB.
func (p *process) rss() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("the memory of %s (this needs Linux): %w", p.name, err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	var kib float64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0, errors.New("no VmRSS in /proc")
	}
	return kib / 1024, nil
}

// mostRSS watches the process's memory until ctx ends.
func (p *process) mostRSS(ctx context.Context) float64 {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	most := 0.0
	for {
		if rss, err := p.rss(); err == nil {
			most = max(most, rss)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return most
		}
	}
}
