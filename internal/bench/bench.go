package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/schemas"
	"consentd/wechat/wechattest"
)

// Options say what is measured.
type Options struct {
	// Workload is one of Workloads.
	Workload string
	// Brokers is the cluster; empty: an embedded broker in a process of its own.
	Brokers []string
	// Items is how many pairs are asked for, of Corps corps, round robin.
	Items, Corps int
	// Conversations is how many there are.
	Conversations int
	// Rate is how many requests a second are submitted while the daemon runs; 0: all wait before it starts.
	Rate int
	// Delay is how long the simulated API takes for a call.
	Delay time.Duration
	// Outage is how long the API is down in the workload of that name.
	Outage time.Duration
}

// Report is what was measured.
type Report interface {
	// Print writes it for people; as JSON it has the same figures.
	Print(out io.Writer) error
}

// workload is one thing to measure.
type workload struct {
	defaults Options // for options that are zero
	daemon   settings
	// partitions of each topic; 0: topicPartitions.
	partitions int32
	measure    func(context.Context, *run) (Report, error)
}

// settings are those of the daemon that workloads differ in.
type settings struct {
	callsPerMinute int      // overall and a corp
	delays         []string // of retries
	// patience is how long a call may take and is tried, in all; 0: the daemon's default.
	patience time.Duration
	delivery string // empty: the daemon's default
}

// topicPartitions is how many partitions topics have where a workload does not say otherwise.
const topicPartitions = 8

// unpaced is as many calls a minute as the configuration allows: what the program can do is to be seen, not what the API
// allows.
const unpaced = 100_000_000

var workloads = map[string]workload{
	"steady":    {Options{Items: 300_000, Corps: 20, Conversations: 100_000}, settings{}, 0, steady},
	"delivery":  {Options{Items: 1_000_000, Corps: 20, Conversations: 100_000}, settings{}, 0, delivery},
	"instances": {Options{Items: 1_000_000, Corps: 10, Conversations: 100_000, Rate: 1000}, settings{}, 12, share},
	"slow":      {Options{Items: 200_000, Corps: 20, Conversations: 500_000, Rate: 5000}, settings{patience: slowPatience}, 0, slow},
	"sick":      {Options{Items: 100_000, Corps: 100, Conversations: 100_000, Rate: 5000}, settings{delays: []string{"5s", "10s", "30s"}}, 0, sick},
	"outage":    {Options{Items: 1_000_000, Corps: 20, Conversations: 100_000, Outage: 10 * time.Minute}, settings{}, 0, outage},
	"replay":    {Options{Items: 500_000, Corps: 50, Conversations: 1}, settings{}, 0, republish},
	"quota":     {Options{Items: 1_000_000, Corps: 10_000, Conversations: 1_000_000}, settings{callsPerMinute: quotaCallsPerMinute}, 0, quota},
}

// Workloads returns the names of what can be measured.
func Workloads() []string { return slices.Sorted(maps.Keys(workloads)) }

const (
	pairsACall = 100
	secret     = "bench"  // the simulated API's, for every corp
	requestID  = "bench-" // and its number
)

// Run measures a workload. say is told what it is doing.
func Run(ctx context.Context, o Options, say func(string)) (Report, error) {
	w, ok := workloads[o.Workload]
	if !ok {
		return nil, fmt.Errorf("no workload %q: want one of %s", o.Workload, strings.Join(Workloads(), ", "))
	}
	o.Items, o.Corps = cmp.Or(o.Items, w.defaults.Items), cmp.Or(o.Corps, w.defaults.Corps)
	o.Conversations = cmp.Or(o.Conversations, w.defaults.Conversations)
	o.Rate, o.Outage = cmp.Or(o.Rate, w.defaults.Rate), cmp.Or(o.Outage, w.defaults.Outage)
	ctx, cancel := context.WithCancel(ctx)
	b := &run{options: o, say: say, corps: o.Corps, settings: w.daemon, partitions: cmp.Or(w.partitions, topicPartitions)}
	defer b.waitForAll()
	defer cancel()
	b.callsPerMinute = cmp.Or(b.callsPerMinute, unpaced)
	if b.delays == nil {
		b.delays = []string{"1m"}
	}
	dir, err := os.MkdirTemp("", "consentd-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	b.dir = dir
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	defer b.cluster.Close()
	return w.measure(ctx, b)
}

// run is one run of the benchmark.
type run struct {
	options    Options
	say        func(string)
	brokers    []string
	simulator  string // its URL
	config     string // the daemon's file
	prefix     string // of the topics' names
	cluster    *broker.Cluster
	answers    *answers
	corps      int // that are asked about
	partitions int32
	// unkeyed requests have no key.
	unkeyed bool
	// dir has the daemon's file, in which the settings stand.
	dir string
	settings
	processes []*process // that were started
	// submitted is how many answers there are to be in all.
	submitted int
}

func (b *run) topic(name string) string { return b.prefix + "." + name }

// prepare starts what the daemon needs beside it.
func (b *run) prepare(ctx context.Context) error {
	b.brokers, b.prefix = b.options.Brokers, "consentd-bench-"+strings.ToLower(rand.Text()[:8])
	if len(b.brokers) == 0 {
		b.say("starting an embedded broker")
		p, err := b.start(ctx, "the embedded broker", "bench-part", "broker")
		if err != nil {
			return err
		}
		addr, err := p.line()
		if err != nil {
			return err
		}
		b.brokers = []string{addr}
	}
	p, err := b.start(ctx, "the simulated WeCom", "simulate", "--listen", "127.0.0.1:0", "--delay", b.options.Delay.String())
	if err != nil {
		return err
	}
	if b.simulator, err = p.line(); err != nil {
		return err
	}
	names := []string{"requests", "results", "status", "forward", "dead-letters", "floor"}
	for _, delay := range b.delays {
		names = append(names, "retry-"+delay)
	}
	topics := make([]string, len(names))
	for i, name := range names {
		topics[i] = b.topic(name)
	}
	b.cluster = broker.Open(broker.Options{Brokers: b.brokers, ClientID: "consentd-bench", Topics: topics})
	var specs []broker.TopicSpec
	for _, t := range topics {
		specs = append(specs, broker.TopicSpec{Name: t, Partitions: b.partitions, Configs: map[string]string{"max.message.bytes": "2097152"}})
	}
	specs[2].Configs["cleanup.policy"] = "compact"
	if err := b.cluster.Create(ctx, specs...); err != nil {
		return err
	}
	b.answers = followAnswers(ctx, b.cluster, b.topic("results"), b.partitions)
	return b.writeConfig()
}

func (b *run) writeConfig() error {
	secretFile := filepath.Join(b.dir, "secret")
	if err := os.WriteFile(secretFile, []byte(secret), 0o600); err != nil {
		return err
	}
	var y strings.Builder
	y.WriteString("kafka:\n  brokers:\n")
	for _, addr := range b.brokers {
		fmt.Fprintf(&y, "    - %q\n", addr)
	}
	fmt.Fprintf(&y, "topics:\n  requests: %s\n  results: %s\n  status: %s\n  forward: %s\n  retry_prefix: %s\n  dead_letters: %s\n",
		b.topic("requests"), b.topic("results"), b.topic("status"), b.topic("forward"), b.topic("retry"), b.topic("dead-letters"))
	fmt.Fprintf(&y, "consumer:\n  group: %s\n", b.prefix)
	fmt.Fprintf(&y, "wechat:\n  base_url: %s\n  calls_per_minute: %d\n  corp_calls_per_minute: %d\n", b.simulator, b.callsPerMinute, b.callsPerMinute)
	if b.patience > 0 {
		fmt.Fprintf(&y, "  timeout: %s\n", b.patience)
	}
	fmt.Fprintf(&y, "retry:\n  delays: [%s]\n", strings.Join(b.delays, ", "))
	if b.patience > 0 {
		fmt.Fprintf(&y, "  max_elapsed: %s\n", b.patience)
	}
	if b.delivery != "" {
		fmt.Fprintf(&y, "delivery: %s\n", b.delivery)
	}
	y.WriteString("ops:\n  listen: 127.0.0.1:0\n")
	y.WriteString("log:\n  level: warn\n")
	y.WriteString("corps:\n")
	for i := range b.options.Corps {
		fmt.Fprintf(&y, "  - {corp_id: %s, token: {source: gettoken, secret_file: %s}}\n", corpID(i), secretFile)
	}
	b.config = filepath.Join(b.dir, "consentd.yaml")
	return os.WriteFile(b.config, []byte(y.String()), 0o600)
}

func customer(i int) string { return fmt.Sprintf("wm%010d", i) }

func corpID(i int) string { return fmt.Sprintf("wwbench%02d", i) }

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
	partitioner := broker.NewPartitioner(b.partitions)
	var records broker.Records
	for i := first; i < end; i++ {
		corp := corpID(i % b.corps)
		value := fmt.Appendf(nil, `{"request_id":"`+requestID+`%d","corp_id":%q,"kind":"single","open_userid":"staff","external_userid":%q}`,
			i, corp, customer(i%b.options.Conversations))
		key, partition := []byte(corp), partitioner.Partition([]byte(corp))
		if b.unkeyed {
			key, partition = nil, int32(i)%b.partitions
		}
		records.Append(broker.TopicPartition{Topic: b.topic("requests"), Partition: partition}, key, value, nil, time.Now())
	}
	b.answers.asked(first, end)
	return b.cluster.Produce(ctx, &records, zerolog.Nop())
}

// submitPaced publishes n requests, the first of which has that number, at a rate a second, in steps much shorter than a
// batch lingers.
func (b *run) submitPaced(ctx context.Context, first, n, rate int) error {
	const step = 2 * time.Millisecond
	began := time.Now()
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for sent := 0; sent < n; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		due := min(int(time.Since(began).Seconds()*float64(rate)), n)
		if due == sent {
			continue
		}
		if err := b.submitSome(ctx, first+sent, first+due); err != nil {
			return err
		}
		sent = due
	}
	return nil
}

// daemon runs the daemon while work goes on, and returns what it used.
func (b *run) daemon(ctx context.Context, work func(*process) error) (Usage, error) {
	p, err := b.start(ctx, "the daemon", "bench-part", "daemon", "--config", b.config)
	if err != nil {
		return Usage{}, err
	}
	if err := work(p); err != nil {
		return Usage{}, fmt.Errorf("%w\n%s", err, p.tail())
	}
	return p.stop()
}

// stats returns what the simulated API was asked.
func (b *run) stats(ctx context.Context) (wechattest.Stats, error) {
	var stats wechattest.Stats
	body, err := b.control(ctx, http.MethodGet, "stats", "")
	if err == nil {
		err = json.Unmarshal(body, &stats)
	}
	return stats, err
}

// script adds a fault to the simulated API, as docs/simulator.md has it.
func (b *run) script(ctx context.Context, fault string) error {
	_, err := b.control(ctx, http.MethodPost, "faults", fault)
	return err
}

// heal removes all faults.
func (b *run) heal(ctx context.Context) error {
	_, err := b.control(ctx, http.MethodDelete, "faults", "")
	return err
}

func (b *run) control(ctx context.Context, method, what, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.simulator+"/simulator/"+what, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read from
	reply, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("the simulator's %s: %s: %s", what, res.Status, reply)
	}
	return reply, err
}

// parked returns how many records are in the retry topics, by their error class.
func (b *run) parked(ctx context.Context) (map[string]int, error) {
	parked := make(map[string]int)
	for _, delay := range b.delays {
		tps, err := b.cluster.AllPartitions(ctx, b.topic("retry-"+delay))
		if err != nil {
			return nil, err
		}
		err = b.cluster.ReadToEnd(ctx, tps, zerolog.Nop(), func(_ broker.TopicPartition, r *broker.Record) error {
			class, _ := schemas.LastHeader(r.Headers, schemas.HeaderErrorClass)
			parked[string(class)]++
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return parked, nil
}
