package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/wechat/wechattest"
)

// Options say what is measured.
type Options struct {
	// Brokers is the cluster; empty: an embedded broker in a process of its own.
	Brokers []string
	// Items is how many flat single requests are asked, of Corps corps, round robin.
	Items, Corps int
	// Conversations is how many there are. All are known before the measured part, and nothing changes.
	Conversations int
	// Rate is how many requests a second are submitted while the daemon runs; 0: all wait before it starts.
	Rate int
	// Delay is how long the simulated API takes for a call.
	Delay time.Duration
}

// Report is what was measured, of the daemon alone.
type Report struct {
	Workload   string  `json:"workload"`
	Broker     string  `json:"broker"`
	Items      int     `json:"items"`
	Corps      int     `json:"corps"`
	Rate       int     `json:"rate,omitempty"`
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

const (
	partitions = 8
	pairsACall = 100
	secret     = "bench" // the simulated API's, for every corp
)

// Run measures the steady workload. say is told what it is doing.
func Run(ctx context.Context, o Options, say func(string)) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the processes that are left
	b := &run{options: o, say: say}
	dir, err := os.MkdirTemp("", "consentd-bench-")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if err := b.prepare(ctx, dir); err != nil {
		return Report{}, err
	}
	defer b.cluster.Close()
	return b.measure(ctx)
}

// run is one run of the benchmark.
type run struct {
	options   Options
	say       func(string)
	brokers   []string
	simulator string // its URL
	config    string // the daemon's file
	prefix    string // of the topics' names
	cluster   *broker.Cluster
	answers   *answers
}

func (b *run) topic(name string) string { return b.prefix + "." + name }

// prepare starts what the daemon needs beside it.
func (b *run) prepare(ctx context.Context, dir string) error {
	b.brokers, b.prefix = b.options.Brokers, "consentd-bench-"+strings.ToLower(rand.Text()[:8])
	if len(b.brokers) == 0 {
		b.say("starting an embedded broker")
		p, err := start(ctx, "the embedded broker", "bench-part", "broker")
		if err != nil {
			return err
		}
		addr, err := p.line()
		if err != nil {
			return err
		}
		b.brokers = []string{addr}
	}
	p, err := start(ctx, "the simulated WeCom", "simulate", "--listen", "127.0.0.1:0", "--delay", b.options.Delay.String())
	if err != nil {
		return err
	}
	if b.simulator, err = p.line(); err != nil {
		return err
	}
	names := []string{"requests", "results", "status", "dead-letters", "floor"}
	topics := make([]string, len(names))
	for i, name := range names {
		topics[i] = b.topic(name)
	}
	b.cluster = broker.Open(broker.Options{Brokers: b.brokers, ClientID: "consentd-bench", Topics: topics})
	var specs []broker.TopicSpec
	for _, t := range topics {
		specs = append(specs, broker.TopicSpec{Name: t, Partitions: partitions, Configs: map[string]string{"max.message.bytes": "2097152"}})
	}
	specs[2].Configs["cleanup.policy"] = "compact"
	if err := b.cluster.Create(ctx, specs...); err != nil {
		return err
	}
	b.answers = followAnswers(ctx, b.cluster, b.topic("results"))
	return b.writeConfig(dir)
}

func (b *run) writeConfig(dir string) error {
	secretFile := filepath.Join(dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		return err
	}
	var y strings.Builder
	y.WriteString("kafka:\n  brokers:\n")
	for _, addr := range b.brokers {
		fmt.Fprintf(&y, "    - %q\n", addr)
	}
	fmt.Fprintf(&y, "topics:\n  requests: %s\n  results: %s\n  status: %s\n  dead_letters: %s\n",
		b.topic("requests"), b.topic("results"), b.topic("status"), b.topic("dead-letters"))
	fmt.Fprintf(&y, "consumer:\n  group: %s\n", b.prefix)
	fmt.Fprintf(&y, "wechat:\n  base_url: %s\n", b.simulator)
	y.WriteString("log:\n  level: warn\n")
	y.WriteString("corps:\n")
	for i := range b.options.Corps {
		fmt.Fprintf(&y, "  - {corp_id: %s, token: {source: gettoken, secret_file: %s}}\n", corpID(i), secretFile)
	}
	b.config = filepath.Join(dir, "consentd.yaml")
	return os.WriteFile(b.config, []byte(y.String()), 0o600)
}

func corpID(i int) string { return fmt.Sprintf("wwbench%02d", i) }

// measure makes all conversations known, and then asks for them again.
func (b *run) measure(ctx context.Context) (Report, error) {
	o := b.options
	b.say(fmt.Sprintf("making %d conversations known", o.Conversations))
	if err := b.submit(ctx, o.Conversations); err != nil {
		return Report{}, err
	}
	answers := o.Conversations
	_, err := b.daemon(ctx, func() error { return b.answers.await(ctx, answers) })
	if err != nil {
		return Report{}, err
	}
	var calls int
	var took time.Duration
	asked := func() (err error) {
		calls, err = b.calls(ctx)
		b.answers.mark()
		return err
	}
	answered := func() error {
		answers += o.Items
		if err := b.answers.await(ctx, answers); err != nil {
			return err
		}
		took = b.answers.took()
		now, err := b.calls(ctx)
		calls = now - calls
		return err
	}
	var usage Usage
	if o.Rate > 0 {
		b.say(fmt.Sprintf("asking for %d items, %d a second", o.Items, o.Rate))
		usage, err = b.daemon(ctx, func() error {
			answers++ // one request tells that the daemon is at work
			return doAll(
				func() error { return b.submit(ctx, 1) },
				func() error { return b.answers.await(ctx, answers) },
				asked, func() error { return b.submitPaced(ctx) }, answered)
		})
	} else {
		b.say(fmt.Sprintf("asking for %d items, all waiting", o.Items))
		if err := b.submit(ctx, o.Items); err != nil {
			return Report{}, err
		}
		usage, err = b.daemon(ctx, func() error { return doAll(asked, answered) })
	}
	if err != nil {
		return Report{}, err
	}
	items := float64(o.Items)
	r := Report{
		Workload: "steady", Broker: strings.Join(o.Brokers, ","), Items: o.Items, Corps: o.Corps, Rate: o.Rate,
		ItemsPerS: items / took.Seconds(), CPUPerItem: float64(usage.CPU.Microseconds()) / items,
		AllocsPerItem: float64(usage.Mallocs) / items, PeakRSSMB: megabytes(usage.PeakRSS),
		Calls: calls, CallsOverIdeal: float64(calls) / (items / pairsACall),
	}
	if r.Broker == "" {
		r.Broker = "embedded"
	}
	if o.Rate == 0 {
		r.Floor, err = b.floor(ctx)
	}
	return r, err
}

// doAll stops at the first error.
func doAll(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// submit publishes n requests, going round corps and conversations.
func (b *run) submit(ctx context.Context, n int) error {
	const atOnce = 20_000
	for first := 0; first < n; first += atOnce {
		if err := b.submitSome(ctx, first, min(first+atOnce, n)); err != nil {
			return err
		}
	}
	return nil
}

func (b *run) submitSome(ctx context.Context, first, end int) error {
	partitioner := broker.NewPartitioner(partitions)
	var records broker.Records
	for i := first; i < end; i++ {
		corp := corpID(i % b.options.Corps)
		value := fmt.Appendf(nil, `{"request_id":"bench-%d","corp_id":%q,"kind":"single","open_userid":"staff","external_userid":"wm%010d"}`,
			i, corp, i%b.options.Conversations)
		key := []byte(corp)
		records.Append(broker.TopicPartition{Topic: b.topic("requests"), Partition: partitioner.Partition(key)}, key, value, nil, time.Now())
	}
	return b.cluster.Produce(ctx, &records, zerolog.Nop())
}

// submitPaced publishes the items at the rate, in steps much shorter than a batch lingers.
func (b *run) submitPaced(ctx context.Context) error {
	const step = 2 * time.Millisecond
	began := time.Now()
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for sent := 0; sent < b.options.Items; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		due := min(int(time.Since(began).Seconds()*float64(b.options.Rate)), b.options.Items)
		if due == sent {
			continue
		}
		if err := b.submitSome(ctx, sent, due); err != nil {
			return err
		}
		sent = due
	}
	return nil
}

// daemon runs the daemon while work goes on, and returns what it used.
func (b *run) daemon(ctx context.Context, work func() error) (Usage, error) {
	p, err := start(ctx, "the daemon", "bench-part", "daemon", "--config", b.config)
	if err != nil {
		return Usage{}, err
	}
	if err := work(); err != nil {
		return Usage{}, fmt.Errorf("%w\n%s", err, p.tail())
	}
	return p.stop()
}

// floor measures bare kafka-go on the same requests.
func (b *run) floor(ctx context.Context) (*FloorReport, error) {
	b.say("moving the same records with bare kafka-go")
	p, err := start(ctx, "the floor", "bench-part", "floor", "--brokers", strings.Join(b.brokers, ","),
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

// calls returns how many single calls the simulated API has answered.
func (b *run) calls(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.simulator+"/simulator/stats", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read from
	var stats wechattest.Stats
	if err := json.NewDecoder(res.Body).Decode(&stats); err != nil {
		return 0, fmt.Errorf("the simulator's statistics: %w", err)
	}
	return int(stats.Calls.Single), nil
}
