package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

// asCommand makes the test binary be consentd: the daemon runs in a process of its own that can be signalled and killed,
// and with -race it watches for races too. What it starts of itself is consentd too.
const asCommand = "TEST_AS_CONSENTD"

// environ is the environment of consentd as a process. The race detector would have each wait for a second before it ends.
func environ(more ...string) []string {
	return append(append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=50"), more...)
}

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(kafkatest.Main(m))
}

const (
	// canary stands in every secret of these tests: it must be found nowhere.
	canary = "canary-5e3c9a1f"
	// How long a member that was killed keeps its place, the shortest that the configuration allows.
	sessionTimeout = 27 * time.Second
	drainTimeout   = time.Second
)

// anyPort is in the configuration of every daemon here: many run at once.
const anyPort = "ops: {listen: '127.0.0.1:0'}\n"

// world is what a daemon lives in: topics on a broker, the simulated WeCom, a configuration.
type world struct {
	t      testing.TB
	broker *kafkatest.Broker
	topics struct{ requests, results, status, forward, retry, deadLetters string }
	sim    *wechattest.Simulator
	config string // the file
	logs   []*lockedBuffer
}

// setup makes a world with the topics made and the corps ww1, ww2 and ww3.
func setup(t testing.TB, b *kafkatest.Broker, o wechattest.Options) *world {
	t.Helper()
	w := &world{t: t, broker: b}
	w.topics.requests = b.Topic(t, "requests")
	w.topics.results = b.Topic(t, "results")
	w.topics.status = b.Topic(t, "status")
	w.topics.forward = b.Topic(t, "forward")
	w.topics.retry = b.Topic(t, "retry")
	w.topics.deadLetters = b.Topic(t, "dead-letters")
	large := map[string]string{"max.message.bytes": "2097152"}
	kafkatest.CreateTopic(t, b.Addr(), w.topics.requests, 6, large)
	kafkatest.CreateTopic(t, b.Addr(), w.topics.results, 4, nil)
	kafkatest.CreateTopic(t, b.Addr(), w.topics.status, 5, kafkatest.CompactedTopic())
	for _, topic := range append(w.retryTopics(), w.topics.forward) {
		kafkatest.CreateTopic(t, b.Addr(), topic, 5, large)
	}
	kafkatest.CreateTopic(t, b.Addr(), w.topics.deadLetters, 3, large)
	o.Corps = map[string]string{"ww1": canary, "ww2": canary, "ww3": canary}
	w.sim = wechattest.New(o)
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.configure(server.URL, "ww1", "ww2", "ww3")
	t.Cleanup(w.searchCanary)
	return w
}

// The delays of the retry topics, short for tests.
var retryDelays = []string{"1s", "2s"}

func (w *world) retryTopics() []string {
	var topics []string
	for _, delay := range retryDelays {
		topics = append(topics, w.topics.retry+"-"+delay)
	}
	return topics
}

func (w *world) configure(baseURL string, corps ...string) {
	w.t.Helper()
	dir := w.t.TempDir()
	secret := filepath.Join(dir, "secret")
	w.write(secret, canary+"\n")
	var y strings.Builder
	fmt.Fprintf(&y, "kafka: {brokers: [%q]}\n", w.broker.Addr())
	fmt.Fprintf(&y, "topics: {requests: %s, results: %s, status: %s, forward: %s, retry_prefix: %s, dead_letters: %s}\n",
		w.topics.requests, w.topics.results, w.topics.status, w.topics.forward, w.topics.retry, w.topics.deadLetters)
	fmt.Fprintf(&y, "consumer: {group: %s, drain_timeout: %s, session_timeout: %s, rebalance_timeout: %s, heartbeat_interval: 100ms}\n",
		w.topics.requests, drainTimeout, sessionTimeout, sessionTimeout)
	fmt.Fprintf(&y, "wechat: {base_url: %q}\n", baseURL)
	y.WriteString(anyPort)
	// With the race detector, and other tests beside it, the daemon takes longer to gather a batch.
	fmt.Fprintf(&y, "batch: {linger: 100ms}\n")
	fmt.Fprintf(&y, "retry: {initial_interval: 50ms, max_interval: 200ms, max_elapsed: 2s, max_age: 10m, delays: [%s]}\n", strings.Join(retryDelays, ", "))
	y.WriteString("corps:\n")
	for _, c := range corps {
		fmt.Fprintf(&y, "  - {corp_id: %s, token: {source: gettoken, secret_file: %q}}\n", c, secret)
	}
	w.config = filepath.Join(dir, "consentd.yaml")
	w.write(w.config, y.String())
}

// change has the configuration say something else in the place of a text.
func (w *world) change(from, to string) {
	w.t.Helper()
	text, err := os.ReadFile(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		w.t.Fatalf("the configuration has no %q:\n%s", from, text)
	}
	w.write(w.config, strings.Replace(string(text), from, to, 1))
}

func (w *world) write(file, content string) {
	w.t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// searchCanary looks for secrets and tokens in all that the daemon wrote.
func (w *world) searchCanary() {
	texts := map[string][]byte{}
	for i, l := range w.logs {
		texts[fmt.Sprintf("log of daemon %d", i)] = l.Bytes()
	}
	for _, topic := range append(w.retryTopics(), w.topics.forward, w.topics.results, w.topics.status, w.topics.deadLetters) {
		for _, r := range readAll(w.t, w.broker.Addr(), topic) {
			texts[fmt.Sprintf("%s/%d/%d", topic, r.Partition, r.Offset)] = fmt.Appendf(nil, "%s %s %s", r.Key, r.Value, r.Headers)
		}
	}
	for where, text := range texts {
		for _, secret := range append(w.sim.Tokens(), canary) {
			if bytes.Contains(text, []byte(secret)) {
				w.t.Errorf("%s has a secret or token: %s", where, text)
			}
		}
	}
}

// readAll is kafkatest.ReadAll for cleanups, when the test's own context has ended.
func readAll(t testing.TB, addr, topic string) []*kgo.Record {
	return kafkatest.ReadAll(withContext{t}, addr, topic)
}

type withContext struct{ testing.TB }

func (withContext) Context() context.Context { return context.Background() }

// lockedBuffer is what a process writes to and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	// written has a value when something was written since awaitLog looked.
	written chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.written <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b.Bytes())
}

// process is consentd in a process of its own.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	log    *lockedBuffer
	exited chan struct{}
	err    error
}

// command starts consentd with a command line.
func command(t testing.TB, args ...string) *process {
	t.Helper()
	return commandWith(t, nil, args...)
}

// commandWith is command with more variables in its environment.
func commandWith(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, args...), log: &lockedBuffer{written: make(chan struct{}, 1)}, exited: make(chan struct{})}
	p.cmd.Env = environ(env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
		if t.Failed() {
			t.Logf("log of %s:\n%s", args, p.log.Bytes())
		}
	})
	return p
}

// start starts the daemon.
func (w *world) start() *process {
	w.t.Helper()
	p := command(w.t, "run", "--config", w.config)
	w.logs = append(w.logs, p.log)
	return p
}

// awaitLog returns when all texts stand in one line of the log.
func (p *process) awaitLog(texts ...string) {
	p.t.Helper()
	timeout := time.After(time.Minute)
	for {
		for line := range strings.Lines(string(p.log.Bytes())) {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
				return
			}
		}
		select {
		case <-p.log.written:
		case <-timeout:
			p.t.Fatalf("no line with %q in the log:\n%s", texts, p.log.Bytes())
		}
	}
}

// wait returns the exit code, when the process has ended.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(2 * time.Minute):
		p.t.Fatalf("still running:\n%s", p.log.Bytes())
		return 0
	}
}

// stop ends the daemon with SIGTERM and wants exit code 0.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitDone {
		p.t.Fatalf("exit code %d after SIGTERM, want 0:\n%s", code, p.log.Bytes())
	}
}

// kill ends the process at once.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// event is a result as a subscriber sees it.
type event struct {
	ID, Type, Subject string // from the headers
	Offset            int64

	CorpID           string `json:"corp_id"`
	Kind             string `json:"kind"`
	OpenUserID       string `json:"open_userid"`
	ExternalUserID   string `json:"external_userid"`
	ChatID           string `json:"chatid"`
	AgreeStatus      string `json:"agree_status"`
	StatusChangeTime int64  `json:"status_change_time"`
	Consented        bool   `json:"consented"`
	Source           string `json:"source"`
	Change           string `json:"change"`
	Previous         *consent
	Current          *consent
	Version          int64 `json:"version"`
	Error            struct {
		Class   string `json:"class"`
		Errcode int    `json:"errcode"`
		Message string `json:"message"`
	} `json:"error"`
	Request struct {
		ID    string `json:"id"`
		Index int    `json:"index"`
		Count int    `json:"count"`
	} `json:"request"`
	Context json.RawMessage `json:"context"`
}

type consent struct {
	AgreeStatus      string `json:"agree_status"`
	StatusChangeTime int64  `json:"status_change_time"`
}

func (e *event) terminal() bool { return e.Type == "consent.checked" || e.Type == "consent.failed" }

// item names what a terminal event answers.
func (e *event) item() string { return fmt.Sprintf("%s#%d", e.Request.ID, e.Request.Index) }

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func decodeEvent(t testing.TB, r *kgo.Record) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(r.Value, &e); err != nil {
		t.Fatalf("result %d/%d: %v: %s", r.Partition, r.Offset, err, r.Value)
	}
	e.ID, e.Type, e.Subject, e.Offset = header(r, "ce_id"), header(r, "ce_type"), header(r, "ce_subject"), r.Offset
	return e
}

// await follows the results until so many terminal events with distinct ids are there, and returns all events.
func (w *world) await(distinct int) []event {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	seen, looked := make(map[string]bool), 0
	records := kafkatest.Follow(ctx, w.t, w.broker.Addr(), w.topics.results, func(all []*kgo.Record) bool {
		for ; looked < len(all); looked++ {
			if header(all[looked], "ce_type") != "consent.changed" {
				seen[header(all[looked], "ce_id")] = true
			}
		}
		return len(seen) >= distinct
	})
	return w.decode(records)
}

// events returns all events that are there.
func (w *world) events() []event {
	w.t.Helper()
	return w.decode(kafkatest.ReadAll(w.t, w.broker.Addr(), w.topics.results))
}

func (w *world) decode(records []*kgo.Record) []event {
	w.t.Helper()
	events := make([]event, len(records))
	for i, r := range records {
		events[i] = decodeEvent(w.t, r)
	}
	return events
}

// request returns a record for the request topic.
func (w *world) request(key, value string) *kgo.Record {
	r := &kgo.Record{Topic: w.topics.requests, Value: []byte(value)}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}
