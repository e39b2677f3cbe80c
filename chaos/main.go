// Command chaos lets things go wrong around consentd, seeded and repeatable, and proves afterwards that it kept its promises:
//
//	go run -C chaos . [--seed N] [--seeds N] [--duration D] [--instances N]
//
// It exits with 1 when a promise was broken or a round could not be run, and with 2 on wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/log"
	"golang.org/x/sync/errgroup"
)

func main() { os.Exit(run()) }

type options struct {
	seed      uint64
	seeds     int
	duration  time.Duration
	parallel  int
	instances int
	dir       string
	tags      string
	daemon    string
	keep      bool
	asJSON    bool
}

func run() int {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "the first round's seed; the next ones count up")
	flag.IntVar(&o.seeds, "seeds", 1, "how many rounds, each with a seed and a world of its own")
	flag.IntVar(&o.parallel, "parallel", 1, "how many rounds at the same time; each needs most of a CPU and 2 GB")
	flag.DurationVar(&o.duration, "duration", 2*time.Minute, "for how long things go wrong in a round")
	flag.IntVar(&o.instances, "instances", 3, "how many daemons")
	flag.StringVar(&o.dir, "dir", "", "where data, configurations and logs are; without: a temporary folder")
	flag.StringVar(&o.tags, "tags", "", "build tags of the daemon, to break it on purpose")
	flag.StringVar(&o.daemon, "daemon", "", "a consentd that was built already")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder of a round in which nothing was found")
	flag.BoolVar(&o.asJSON, "json", false, "print the figures in JSON")
	flag.Parse()
	if problem := o.problem(); problem != "" {
		fmt.Fprintln(os.Stderr, "chaos:", problem)
		return 2
	}
	log.Logger = zerolog.Nop() // the proxies' toxics write there, and there is no other way to tell them not to
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	good, err := rounds(ctx, o)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	case !good:
		return 1
	}
	return 0
}

func (o options) problem() string {
	switch {
	case flag.NArg() > 0:
		return fmt.Sprintf("it takes no arguments, but was given %q", flag.Args())
	case o.seeds < 1 || o.parallel < 1 || o.instances < 1 || o.duration < 10*time.Second:
		return "--seeds, --parallel and --instances must be at least 1, --duration at least 10s"
	case o.instances > 3:
		return "--instances is at most 3"
	case o.daemon != "" && o.tags != "":
		return "--tags are for a daemon that is built here: leave out --daemon"
	}
	return ""
}

// rounds runs them and prints the figures of all.
func rounds(ctx context.Context, o options) (good bool, err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
			return false, fmt.Errorf("making a folder: %w", err)
		}
	}
	if err := os.MkdirAll(o.dir, 0o750); err != nil {
		return false, fmt.Errorf("making the folder: %w", err)
	}
	if o.daemon == "" {
		if o.daemon, err = build(ctx, o); err != nil {
			return false, err
		}
	} else if o.daemon, err = filepath.Abs(o.daemon); err != nil {
		return false, fmt.Errorf("finding the daemon: %w", err)
	}
	figures := make([]Figures, o.seeds)
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(o.parallel)
	for n := range o.seeds {
		group.Go(func() (err error) {
			figures[n], err = oneRound(running, o, o.seed+uint64(n))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return false, errors.New("interrupted")
		}
		return false, err
	}
	all := sum(figures)
	good = all.Violations == 0
	if good && !o.keep {
		// Only if it is empty but for the binary: the folder may have been there before.
		_ = os.Remove(filepath.Join(o.dir, "consentd"))
		_ = os.Remove(o.dir)
	}
	if o.asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return good, e.Encode(map[string]any{"rounds": figures, "all": all})
	}
	return good, all.print(os.Stdout)
}

// oneRound runs a round and removes its folder when nothing was found.
func oneRound(ctx context.Context, o options, seed uint64) (Figures, error) {
	r := newRound(o, seed)
	if err := ctx.Err(); err != nil {
		return r.figures, err
	}
	if err := r.run(ctx); err != nil {
		return r.figures, fmt.Errorf("the round of seed %d could not be run (its folder is %s): %w", r.seed, r.dir, err)
	}
	if r.figures.Violations > 0 {
		r.say("its folder is %s", r.dir)
		return r.figures, nil
	}
	if !o.keep {
		if err := os.RemoveAll(r.dir); err != nil {
			return r.figures, fmt.Errorf("removing the round's folder: %w", err)
		}
	}
	return r.figures, nil
}

// build builds the daemon that stands beside this module.
func build(ctx context.Context, o options) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "consentd").Output()
	if err != nil {
		return "", fmt.Errorf("finding consentd: run this in the folder chaos: %w", err)
	}
	binary, err := filepath.Abs(filepath.Join(o.dir, "consentd"))
	if err != nil {
		return "", fmt.Errorf("finding the folder: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", o.tags, "-o", binary, "./cmd/consentd")
	cmd.Dir, cmd.Stderr = strings.TrimSpace(string(root)), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building consentd: %w", err)
	}
	return binary, nil
}
