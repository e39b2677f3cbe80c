package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"consentd/internal/kafkatest"
	"consentd/schemas"
	"consentd/wechat/wechattest"
)

// collected is what a collector was sent.
type collected struct {
	mu     sync.Mutex
	bodies [][]byte
	keys   []string // of the header x-key
	spans  []*otlp.Span
}

// collect starts a collector, which stalls until release is closed unless that is nil.
func collect(t *testing.T, release <-chan struct{}) (*collected, string) {
	t.Helper()
	c := &collected{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if release != nil {
			<-release
		}
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies, c.keys = append(c.bodies, body), append(c.keys, r.Header.Get("X-Key"))
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(server.Close)
	return c, server.URL
}

// named are the spans of a name.
func (c *collected) named(name string) (spans []*otlp.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

func attributeOf(s *otlp.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return strings.Trim(strings.SplitN(a.GetValue().String(), ":", 2)[1], `"`)
		}
	}
	return ""
}

// linked tells whether a is b's parent or child, or has a link to it.
func linked(a, b *otlp.Span) bool {
	if bytes.Equal(a.GetParentSpanId(), b.GetSpanId()) || bytes.Equal(b.GetParentSpanId(), a.GetSpanId()) {
		return true
	}
	for _, l := range a.GetLinks() {
		if bytes.Equal(l.GetSpanId(), b.GetSpanId()) {
			return true
		}
	}
	return false
}

const tracesKey = canary + "-of-the-collector"

// startTraced starts the daemon with traces that go to a collector.
func (w *world) startTraced(url string) *process {
	w.t.Helper()
	p := commandWith(w.t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_EXPORTER_OTLP_HEADERS=x-key=" + tracesKey}, "run", "--config", w.config)
	w.logs = append(w.logs, p.log)
	return p
}

func TestTraces_FollowARequestFromItsTraceParentToItsResult(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	c, url := collect(t, nil)
	const requests = 5
	var records []*kgo.Record
	parents := make(map[string]string) // by request
	for i := range requests {
		r := w.request("ww1", fmt.Sprintf(`{"request_id":"r%d","corp_id":"ww1","kind":"single","items":[{"open_userid":"wo%d","external_userid":"customer-%d"}]}`, i, i, i))
		parents[fmt.Sprint("r", i)] = fmt.Sprintf("00-%032x-%016x-01", i+1, i+100)
		r.Headers = []kgo.RecordHeader{{Key: schemas.HeaderTraceParent, Value: []byte(parents[fmt.Sprint("r", i)])}}
		records = append(records, r)
	}
	unsampled := w.request("ww1", `{"request_id":"unsampled","corp_id":"ww1","kind":"single","items":[{"open_userid":"wo1","external_userid":"wm1"}]}`)
	unsampled.Headers = []kgo.RecordHeader{{Key: schemas.HeaderTraceParent, Value: []byte("00-0000000000000000000000000000ffff-00000000000000ff-00")}}
	failing := w.request("ww1", `{"request_id":"failing","corp_id":"nobody","kind":"single","items":[{"open_userid":"wo1","external_userid":"wm1"}]}`)
	kafkatest.Produce(t, w.broker.Addr(), append(records, unsampled, failing)...)
	d := w.startTraced(url)
	w.await(requests + 2)
	d.stop()

	for _, r := range kafkatest.ReadAll(t, w.broker.Addr(), w.topics.results) {
		if e := decodeEvent(t, r); parents[e.Request.ID] != "" && header(r, schemas.HeaderTraceParent) != parents[e.Request.ID] {
			t.Errorf("the traceparent of %s became %q", e.Request.ID, header(r, schemas.HeaderTraceParent))
		}
	}
	calls, publications := c.named("check_single_agree"), c.named("publish")
	if len(calls) == 0 || len(publications) == 0 {
		t.Fatalf("%d calls and %d publications were traced", len(calls), len(publications))
	}
	byID := make(map[string]*otlp.Span)
	for _, s := range c.named("process " + w.topics.requests) {
		byID[attributeOf(s, "consentd.request_id")] = s
	}
	for id, parent := range parents {
		s := byID[id]
		if s == nil {
			t.Errorf("%s was not traced", id)
			continue
		}
		if got := fmt.Sprintf("00-%s-%s-01", hex.EncodeToString(s.GetTraceId()), hex.EncodeToString(s.GetParentSpanId())); got != parent {
			t.Errorf("%s goes on from %s, want %s", id, got, parent)
		}
		if outcome := attributeOf(s, "consentd.outcome"); outcome != "answered" {
			t.Errorf("the outcome of %s is %q", id, outcome)
		}
		for _, others := range [][]*otlp.Span{calls, publications} {
			found := false
			for _, other := range others {
				found = found || linked(s, other) && linked(other, s)
			}
			if !found {
				t.Errorf("%s is not tied to any %s", id, others[0].GetName())
			}
		}
	}
	if byID["unsampled"] != nil {
		t.Error("a request was traced whose traceparent says that it is not sampled")
	}
	if s := byID["failing"]; s == nil || s.GetStatus().GetCode() != otlp.Status_STATUS_CODE_ERROR ||
		attributeOf(s, "error.type") != "unknown_corp" || attributeOf(s, "consentd.outcome") != "dead_lettered" {
		t.Errorf("the request that failed is traced as %v", s)
	}
	for _, body := range c.bodies {
		for _, secret := range append(w.sim.Tokens(), canary, "customer-") {
			if bytes.Contains(body, []byte(secret)) {
				t.Error("a secret, a token or a customer is in the traces")
			}
		}
	}
	if len(c.keys) == 0 || c.keys[0] != tracesKey {
		t.Errorf("the collector's key did not arrive: %q", c.keys)
	}
}

func TestTraces_NobodyWaitsForACollectorThatStalls(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	release := make(chan struct{})
	_, url := collect(t, release)
	t.Cleanup(func() { close(release) })
	d := w.startTraced(url)
	w.await(w.load(3000))
	d.stop()
	d.awaitLog(`"level":"warn"`, "traces can't be exported", `"hint"`)
}

func TestTraces_AVariableThatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	p := commandWith(t, []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_HEADERS=" + canary},
		"run", "--config", w.config)
	w.logs = append(w.logs, p.log)
	if code := p.wait(); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	p.awaitLog("OTEL_EXPORTER_OTLP_PROTOCOL", `"grpc": want http/protobuf`)
	p.awaitLog("OTEL_EXPORTER_OTLP_HEADERS", "want name=value")
}

func TestTraces_OnTheConsoleAreJSON(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	p := commandWith(t, []string{"OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=10"}, "run", "--config", w.config)
	w.logs = append(w.logs, p.log)
	w.await(w.load(1))
	p.stop()
	p.awaitLog(`"Name":"publish"`, `"SpanContext"`)
}
