package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// instances is how many share the work in the workload of that name.
const instances = 3

// InstancesReport compares three instances with one; requests have no key, so that they arrive anywhere.
type InstancesReport struct {
	Broker string `json:"broker"`
	Items  int    `json:"items"`
	Corps  int    `json:"corps"`
	// Partitions are those of each topic.
	Partitions int32 `json:"partitions"`
	// OneOverIdeal and ThreeOverIdeal are single calls over Items / 100, all items waiting.
	OneOverIdeal   float64 `json:"one_over_ideal"`
	ThreeOverIdeal float64 `json:"three_over_ideal"`
	// Rate is how many requests a second there are when one of the three is killed, Longest for how long the one waited
	// that waited longest, in seconds: for the session to time out, and for the others to take over. None is lost.
	Rate    int     `json:"rate"`
	Longest float64 `json:"longest_s"`
}

// Print writes the report for people.
func (r InstancesReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload instances: %d items of %d corps without keys, %d partitions, on broker %s\n\n", r.Items, r.Corps, r.Partitions, r.Broker)
	fmt.Fprintf(out, "calls/ideal, one instance     %.3f\n", r.OneOverIdeal)
	fmt.Fprintf(out, "calls/ideal, three instances  %.3f\n", r.ThreeOverIdeal)
	_, err := fmt.Fprintf(out, "one of three killed, %d requests a second: none is lost, the longest wait was %.1f s\n", r.Rate, r.Longest)
	return err
}

// share asks for items of one instance, then of three, and then kills one of these.
func share(ctx context.Context, b *run) (Report, error) {
	o := b.options
	b.unkeyed = true
	r := InstancesReport{Broker: b.brokerName(), Items: o.Items, Corps: o.Corps, Partitions: b.partitions, Rate: o.Rate}
	answered := func(items int) func() error {
		return func() error {
			b.submitted += items
			return b.answers.await(ctx, b.submitted)
		}
	}
	round := func(n int, and func(daemons []*process) error) (overIdeal float64, err error) {
		before, err := b.singleCalls(ctx)
		if err != nil {
			return 0, err
		}
		b.say(fmt.Sprintf("asking %d of %d items, all waiting", n, o.Items))
		if err := b.submit(ctx, o.Items); err != nil {
			return 0, err
		}
		err = b.daemons(ctx, n, func(daemons []*process) error {
			if err := answered(o.Items)(); err != nil {
				return err
			}
			calls, err := b.singleCalls(ctx)
			overIdeal = float64(calls-before) / (float64(o.Items) / pairsACall)
			return errors.Join(err, and(daemons))
		})
		return overIdeal, err
	}
	var err error
	if r.OneOverIdeal, err = round(1, func([]*process) error { return nil }); err != nil {
		return nil, err
	}
	r.ThreeOverIdeal, err = round(instances, func(daemons []*process) error {
		b.say("killing one of them")
		b.answers.timed = true
		first, rest := o.Rate, o.Rate*int(sessionTimeout.Seconds())
		err := doAll(
			func() error { return b.submitPaced(ctx, 0, first, o.Rate) },
			func() error { return daemons[0].cmd.Process.Kill() },
			func() error { return b.submitPaced(ctx, first, rest, o.Rate) },
			answered(first+rest),
		)
		r.Longest = b.answers.longest().Seconds()
		return err
	})
	return r, err
}

// sessionTimeout is the daemon's default.
const sessionTimeout = 45 * time.Second

// daemons runs several instances while work goes on.
func (b *run) daemons(ctx context.Context, n int, work func([]*process) error) error {
	processes := make([]*process, n)
	for i := range processes {
		p, err := b.startAs(ctx, fmt.Sprintf("instance %d", i), []string{fmt.Sprintf("CONSENTD_INSTANCE=%d", i)}, "bench-part", "daemon", "--config", b.config)
		if err != nil {
			return err
		}
		processes[i] = p
	}
	err := work(processes)
	for _, p := range processes {
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.tail())
		}
		if _, failed := p.stop(); failed != nil && p.cmd.ProcessState.Exited() {
			err = failed // and was not killed
		}
	}
	return err
}
