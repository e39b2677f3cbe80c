// Package world is what the chaos happens to: Apache Kafka on three nodes, the simulated WeCom, the daemons with their proxies,
// and a load of requests. It does faults and mends them; what comes of it is judged elsewhere.
package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"consentd/chaos/check"
	"consentd/chaos/faults"
	"consentd/chaos/history"
)

// Options say what a world is like.
type Options struct {
	// Dir is where everything that it writes is: data, configurations, logs.
	Dir string
	// Binary is consentd.
	Binary string
	// Instances is how many daemons there are.
	Instances int
	// Seed is that of the load.
	Seed uint64
}

// Brokers is how many nodes the cluster has.
const Brokers = nodes

// World is one round's. Its methods are to be called one after the other, but for Do.
type World struct {
	o         Options
	links     *links
	brokers   *brokers
	sim       *simulator
	instances []*instance
	truth     *truth
	written   atomic.Int64
}

// Start makes a world in which the daemons are at work. It is to be closed.
func Start(ctx context.Context, o Options) (_ *World, err error) {
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the world's folder: %w", err)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("finding the world's folder: %w", err)
	}
	w := &World{o: o, links: newLinks()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.brokers, err = startBrokers(ctx, filepath.Join(o.Dir, "kafka"), o.Instances, w.links); err != nil {
		return nil, err
	}
	if w.sim, err = startSimulator(o.Binary, filepath.Join(o.Dir, "simulator.log")); err != nil {
		return nil, err
	}
	if w.truth, err = newTruth(ctx, w.sim, w.random(1)); err != nil {
		return nil, err
	}
	secret := filepath.Join(o.Dir, "secret")
	if err := os.WriteFile(secret, []byte("any"), 0o600); err != nil {
		return nil, fmt.Errorf("writing the secret: %w", err)
	}
	for n := range o.Instances {
		api, err := w.links.open(linkKey{n, toAPI}, w.sim.addr())
		if err != nil {
			return nil, err
		}
		var brokers []string
		for node := range nodes {
			brokers = append(brokers, w.links.all[linkKey{n, node}].Listen)
		}
		i, err := newInstance(n, o.Binary, o.Dir, secret, brokers, api)
		if err != nil {
			return nil, err
		}
		w.instances = append(w.instances, i)
		if err := i.start(); err != nil {
			return nil, err
		}
	}
	return w, w.brokers.awaitGroup(ctx, o.Instances)
}

// random is a source of its own for each of what takes chances.
func (w *World) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(w.o.Seed, n)) }

// Close ends all processes.
func (w *World) Close() error {
	var err error
	for _, i := range w.instances {
		err = errors.Join(err, i.close())
	}
	if w.sim != nil {
		err = errors.Join(err, w.sim.close())
	}
	if w.brokers != nil {
		err = errors.Join(err, w.brokers.close())
	}
	w.links.close()
	return err
}

// Load writes requests and changes statuses until ctx ends.
func (w *World) Load(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	plain := &load{Rand: w.random(2), name: "plain", written: &w.written}
	group.Go(func() error { return plain.plain(ctx, w.brokers.direct) })
	transactional := &load{Rand: w.random(3), name: "transactional", written: &w.written}
	group.Go(func() error { return transactional.transactions(ctx, w.brokers.direct) })
	group.Go(func() error { return w.truth.flipEvery(ctx, w.random(4), flipEvery) })
	return group.Wait()
}

// Do does a fault and mends it, sooner when ctx ends. Faults of different lanes may be done at the same time.
func (w *World) Do(ctx context.Context, f faults.Fault) error {
	switch f.Kind {
	case faults.InstanceKill:
		return w.instances[f.Instance].killAndRestart(ctx, f.Length)
	case faults.InstanceStall:
		return w.instances[f.Instance].stall(ctx, f.Length)
	case faults.InstanceRestart:
		return w.instances[f.Instance].restart()
	case faults.BrokerKill:
		return w.brokers.killAndRestart(ctx, f)
	case faults.BrokerCut, faults.APICut:
		return w.links.cut(ctx, f)
	case faults.BrokerSlow, faults.APISlow:
		return w.links.slow(ctx, f)
	case faults.APIFault:
		return w.sim.misbehave(ctx, f)
	}
	return fmt.Errorf("no such fault: %s", f.Kind)
}

// Sweep asks once for every conversation, and returns what the API says of each.
func (w *World) Sweep(ctx context.Context) (map[string]check.State, error) {
	l := &load{Rand: w.random(5), name: "sweep", written: &w.written}
	return w.truth.all(), l.sweep(ctx, w.brokers.direct)
}

// Written is how many requests were acknowledged to upstream, or committed by it. Where brokers failed there may be more.
func (w *World) Written() int { return int(w.written.Load()) }

// quietFor is how often in a row there must be nothing left: a request that is forwarded or parked moves while it is looked.
const quietFor = 3

// AwaitQuiet returns true when all that was written is done, and false with what is not when that takes too long.
func (w *World) AwaitQuiet(ctx context.Context, within time.Duration) (commits []history.Commit, quiet bool, err error) {
	end := time.Now().Add(within)
	for calm := 0; calm < quietFor; {
		commits, err = history.Commits(ctx, w.brokers.direct, Group, Topics())
		if err == nil && done(commits) {
			calm++
		} else {
			calm = 0
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return commits, false, err
		}
		pause(ctx, time.Second)
	}
	return commits, true, nil
}

func done(commits []history.Commit) bool {
	for _, c := range commits {
		if c.Open || len(c.Beyond) > 0 {
			return false
		}
	}
	return true
}

// Stop stops the daemons in good order.
func (w *World) Stop() error {
	var group errgroup.Group
	for _, i := range w.instances {
		group.Go(i.stop)
	}
	return group.Wait()
}

// Exits are the ends of instances that nobody asked for.
func (w *World) Exits() []Exit {
	var all []Exit
	for _, i := range w.instances {
		i.mu.Lock()
		all = append(all, i.exits...)
		i.mu.Unlock()
	}
	return all
}

// History reads everything.
func (w *World) History(ctx context.Context) (*history.History, error) {
	return history.Read(ctx, w.brokers.direct, Group, Topics())
}
