package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"consentd/chaos/check"
	"consentd/chaos/faults"
	"consentd/chaos/world"
)

// quietWithin is how long what was written may take to be done once everything is mended. A corp whose calls were limited waits
// for a minute.
const quietWithin = 4 * time.Minute

// round is one seed's.
type round struct {
	options
	out     io.Writer // for people
	seed    uint64
	dir     string
	began   time.Time // of the load
	mu      sync.Mutex
	done    []doneFault
	figures Figures
}

// doneFault is a fault that was done.
type doneFault struct {
	faults.Fault
	from, to time.Time
}

func newRound(o options, seed uint64) *round {
	return &round{options: o, out: os.Stderr, seed: seed, dir: filepath.Join(o.dir, fmt.Sprintf("seed-%d", seed))}
}

// say is a line of progress.
func (r *round) say(format string, args ...any) {
	at := ""
	if !r.began.IsZero() {
		at = fmt.Sprintf(" %5.1fs", time.Since(r.began).Seconds())
	}
	fmt.Fprintf(r.out, "seed %d%s  %s\n", r.seed, at, fmt.Sprintf(format, args...))
}

// run runs the round; broken promises are in its figures, an error is that it could not be run.
func (r *round) run(ctx context.Context) (err error) {
	r.say("starting %d brokers, the simulated WeCom, %d instances", world.Brokers, r.instances)
	w, err := world.Start(ctx, world.Options{Dir: r.dir, Binary: r.daemon, Instances: r.instances, Seed: r.seed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()

	r.began = time.Now()
	if err := r.wreak(ctx, w); err != nil {
		return err
	}
	ended := time.Now()
	r.say("everything is mended: waiting until all %d requests are done", w.Written())
	commits, quiet, err := w.AwaitQuiet(ctx, quietWithin)
	if err != nil {
		return fmt.Errorf("waiting until all is done: %w", err)
	}
	var truth map[string]check.State
	if quiet {
		r.say("done; asking for every conversation once more")
		if truth, err = w.Sweep(ctx); err != nil {
			return err
		}
		if commits, quiet, err = w.AwaitQuiet(ctx, quietWithin); err != nil {
			return fmt.Errorf("waiting until all is done: %w", err)
		}
	}
	if !quiet {
		truth = nil // what is not done would only be told of twice
		r.say("not done within %s:", quietWithin)
		for _, c := range commits {
			if len(c.Beyond) > 0 || c.Open {
				r.say("  %s/%d: committed %d, end %d, a transaction is open: %t, metadata %q", c.Topic, c.Partition, c.Offset, c.End, c.Open, c.Metadata)
			}
		}
	}
	if err := w.Stop(); err != nil {
		return err
	}
	h, err := w.History(ctx)
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	violations, found := check.Check(h, check.Options{Corps: world.Corps(), Truth: truth})
	if n := len(h.Requests); n < w.Written() {
		return fmt.Errorf("the brokers lost requests: %d were acknowledged, %d are there", w.Written(), n)
	}
	if found.Checked == 0 {
		return errors.New("nothing was answered: nothing is proved")
	}
	r.figures = r.count(found, h, violations, w.Exits(), ended)
	r.report(violations)
	return nil
}

// wreak keeps the load up for the round's time and does the faults, each lane by itself.
func (r *round) wreak(ctx context.Context, w *world.World) error {
	plan := faults.Plan(r.seed, faults.Options{
		Duration: r.duration, Instances: r.instances, Brokers: world.Brokers,
		SessionTimeout: world.SessionTimeout, Corps: world.Corps(),
	})
	r.say("for %s: %d faults", r.duration, len(plan))
	ctx, cancel := context.WithTimeout(ctx, r.duration)
	defer cancel()
	lanes := map[string][]faults.Fault{}
	for _, f := range plan {
		lanes[f.Lane()] = append(lanes[f.Lane()], f)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Load(ctx) })
	for _, lane := range lanes {
		group.Go(func() error { return r.doLane(ctx, w, lane) })
	}
	return group.Wait()
}

func (r *round) doLane(ctx context.Context, w *world.World, lane []faults.Fault) error {
	for _, f := range lane {
		select {
		case <-time.After(time.Until(r.began.Add(f.At))):
		case <-ctx.Done():
			return nil
		}
		r.say("%s", f)
		d := doneFault{Fault: f, from: time.Now()}
		if err := w.Do(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		d.to = time.Now()
		r.mu.Lock()
		r.done = append(r.done, d)
		r.mu.Unlock()
	}
	return nil
}
