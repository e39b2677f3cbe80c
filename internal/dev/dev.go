package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/schollz/progressbar/v3"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/daemon"
	"consentd/internal/logging"
	"consentd/schemas"
	"consentd/wechat/wechattest"
)

// Options say what is run.
type Options struct {
	// Rounds is how many finite rounds are run, each checked at its end; 0: traffic goes on until ctx ends.
	Rounds int
	// Items is how many pairs a round asks for.
	Items int
	// Rate is how many pairs a second are asked for when Rounds is 0.
	Rate int
	// Dir keeps the broker's data; empty: in memory.
	Dir string
}

// The simulated companies. The first two are those of the examples.
var corps = []string{"ww1", "ww2", "ww3"}

const (
	secret = "dev" // of every simulated company
	// flipped is the share of the customers who change their mind in a round.
	flipped = 0.05
	// roundTimeout is when a round that does not end has failed.
	roundTimeout = 2 * time.Minute
)

// Run starts everything, tells where it is on out, and runs traffic. Progress goes to progress.
func Run(ctx context.Context, o Options, out, progress io.Writer, log *logging.Log) error {
	tmp, err := os.MkdirTemp("", "consentd-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a temporary directory
	embedded, err := startBroker(o.Dir)
	if err != nil {
		return err
	}
	defer embedded.Close()
	simulator := wechattest.New(wechattest.Options{Corps: corpSecrets(), Remember: true})
	url, stopSimulator, err := serve(ctx, simulator)
	if err != nil {
		return err
	}
	defer stopSimulator()
	cfg, err := devConfig(embedded.ListenAddrs(), url, tmp)
	if err != nil {
		return err
	}
	data := "in memory"
	if o.Dir != "" {
		data = o.Dir
	}
	fmt.Fprintf(out, "broker     %s (try: kcat -b %s -C -t %s)\nsimulator  %s (try: curl %s/simulator/stats)\ndata       %s\n\n",
		cfg.Kafka.Brokers[0], cfg.Kafka.Brokers[0], cfg.Topics.Results, url, url, data)

	cluster := broker.Open(broker.Options{
		Brokers: cfg.Kafka.Brokers, ClientID: "consentd-dev", Topics: []string{cfg.Topics.Requests, cfg.Topics.Results},
	})
	defer cluster.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return daemon.Run(ctx, cfg, "dev", func() (config.Config, error) { return cfg, nil }, nil, log)
	})
	g.Go(func() error {
		defer stop()
		t := &traffic{options: o, config: cfg, cluster: cluster, simulator: simulator, out: out, progress: progress, log: log.Logger}
		return t.run(ctx)
	})
	return g.Wait()
}

func corpSecrets() map[string]string {
	secrets := make(map[string]string)
	for _, c := range corps {
		secrets[c] = secret
	}
	return secrets
}

func startBroker(dir string) (*kfake.Cluster, error) {
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	if dir != "" {
		opts = append(opts, kfake.DataDir(dir))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	return c, nil
}

// serve listens on a free port of the loopback interface.
func serve(ctx context.Context, h http.Handler) (url string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("simulated WeCom: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with ErrServerClosed
	}()
	return "http://" + l.Addr().String(), func() {
		_ = s.Close()
		<-done
	}, nil
}

// devConfig is the configuration of the daemon: the defaults, and where its neighbours are.
func devConfig(brokers []string, simulator, tmp string) (config.Config, error) {
	secretFile := filepath.Join(tmp, "secret")
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		return config.Config{}, err
	}
	yaml := fmt.Sprintf("kafka: {brokers: [%q]}\ntopics: {create: true}\nops: {listen: '127.0.0.1:0'}\nwechat: {base_url: %q}\ncorps:\n", brokers[0], simulator)
	for _, c := range corps {
		yaml += fmt.Sprintf("  - {corp_id: %s, token: {source: gettoken, secret_file: %q}}\n", c, secretFile)
	}
	file := filepath.Join(tmp, "consentd.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return config.Config{}, err
	}
	cfg, _, err := config.Load(file, nil)
	return cfg, err
}

// traffic is what upstream and downstream programs do.
type traffic struct {
	options   Options
	config    config.Config
	cluster   *broker.Cluster
	simulator *wechattest.Simulator
	out       io.Writer
	progress  io.Writer
	log       zerolog.Logger
	asked     []request // in all rounds so far: whoever changes their mind is among them
}

func (t *traffic) run(ctx context.Context) error {
	results, err := t.awaitTopics(ctx)
	if err != nil {
		return err
	}
	tally := newTally()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	followed := make(chan struct{})
	defer func() { stop(nil); <-followed }()
	go func() {
		defer close(followed)
		stop(t.cluster.Fetch(ctx, results, broker.FetchOptions{MaxBytes: 4 << 20, PartitionMaxBytes: 1 << 20, Log: t.log}, tally.take))
	}()
	if t.options.Rounds == 0 {
		return t.endless(ctx, tally)
	}
	for round := range t.options.Rounds {
		if err := t.round(ctx, round, tally); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

// awaitTopics returns the results topic's partitions, once the daemon has created the topics.
func (t *traffic) awaitTopics(ctx context.Context) (map[broker.TopicPartition]int64, error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		counts, err := t.cluster.Partitions(ctx, t.config.Topics.Requests, t.config.Topics.Results)
		if err == nil && len(counts) == 2 {
			var ends map[broker.TopicPartition]int64
			var tps []broker.TopicPartition
			for p := range counts[t.config.Topics.Results] {
				tps = append(tps, broker.TopicPartition{Topic: t.config.Topics.Results, Partition: p})
			}
			if ends, err = t.cluster.HighWatermarks(ctx, tps); err == nil {
				return ends, nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// round asks for everything, lets some customers change their mind, and asks again.
func (t *traffic) round(ctx context.Context, round int, tally *tally) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	requests := generate(corps, t.options.Items, uint64(round))
	if round == 0 {
		requests = append(exampleRequests(), requests...)
	}
	t.asked = append(t.asked, requests...)
	fmt.Fprintf(t.out, "Round %d: asking for %d pairs and some rooms of %d corps.\n", round+1, t.options.Items, len(corps))
	wantFirst, first, err := t.ask(ctx, requests, tally, "first check ", nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  %s\n", first.describe())

	flips := t.simulator.Flip(flipped, uint64(round))
	fmt.Fprintf(t.out, "Now %d customers change their mind, and everything is asked again.\n", len(flips))
	wantSecond, second, err := t.ask(ctx, t.asked, tally, "second check", func(c *counts) bool { return sum(c.Changed) >= len(flips) })
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "  %s\n", second.describe())
	showSamples(t.out, tally.samples)

	withdrawn := 0
	for _, f := range flips {
		if f.Current.AgreeStatus != schemas.Agree {
			withdrawn++
		}
	}
	return showSummary(t.out, []check{
		{"answers to the first check", wantFirst, first.terminal()},
		{"answers to the second check", wantSecond, second.terminal()},
		{"consent withdrawn", withdrawn, second.Changed[schemas.Withdrawn]},
		{"consent granted", len(flips) - withdrawn, second.Changed[schemas.Granted]},
		{"other changes", 0, sum(second.Changed) - second.Changed[schemas.Withdrawn] - second.Changed[schemas.Granted]},
	})
}

// ask submits the requests and waits for as many terminal events as are due, and for enough. It returns the number due and
// what came.
func (t *traffic) ask(ctx context.Context, requests []request, tally *tally, what string, enough func(*counts) bool) (int, counts, error) {
	want, err := submit(ctx, t.cluster, t.config.Topics.Requests, requests, t.log)
	if err != nil {
		return 0, counts{}, err
	}
	bar := progressbar.NewOptions(want, progressbar.OptionSetWriter(t.progress), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	err = tally.wait(ctx, func(c *counts) bool {
		_ = bar.Set(min(c.terminal(), want)) // a bar that can't be drawn is no failure
		return c.terminal() >= want && (enough == nil || enough(c))
	})
	got := tally.reset()
	if err != nil {
		return 0, counts{}, fmt.Errorf("%s: %d of %d answers came: %w", what, got.terminal(), want, context.Cause(ctx))
	}
	return want, got, nil
}

// endless asks at the rate until ctx ends; now and then a customer changes their mind.
func (t *traffic) endless(ctx context.Context, tally *tally) error {
	fmt.Fprintf(t.out, "Asking for %d pairs a second, until it is stopped (Ctrl-C).\n", t.options.Rate)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	requests := exampleRequests()
	for seed := uint64(0); ; seed++ {
		// The same customers come back every few seconds, so that changes are seen.
		requests = append(requests, generate(corps, t.options.Rate, seed%10)...)
		if _, err := submit(ctx, t.cluster, t.config.Topics.Requests, requests, t.log); err != nil {
			return ignoreCanceled(ctx, err)
		}
		requests = nil
		select {
		case <-second.C:
		case <-ctx.Done():
			return ignoreCanceled(ctx, context.Cause(ctx))
		}
		t.simulator.Flip(flipped/10, seed)
		c := tally.reset()
		fmt.Fprintf(t.out, "%s  %s\n", time.Now().Format(time.TimeOnly), c.describe())
	}
}

// ignoreCanceled makes nothing of being told to stop.
func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
