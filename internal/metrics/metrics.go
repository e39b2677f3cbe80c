// Package metrics has what the daemon counts and measures, in the names and units of Prometheus. What is worth an alarm,
// and what to do then, is in docs/metrics.md.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"consentd/schemas"
)

// Metrics are those of one process. Safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests, items, changes, parked, deadLetters *prometheus.CounterVec
	calls                                         *prometheus.CounterVec
	transactions                                  *prometheus.CounterVec
	aborts                                        prometheus.Counter
	tokenFetches                                  *prometheus.CounterVec
	rechecks                                      prometheus.Counter
	requestSeconds, transactionSeconds            prometheus.Histogram
	callSeconds                                   *prometheus.HistogramVec
	callPairs                                     prometheus.Histogram
	inFlightItems, inFlightBytes                  prometheus.Gauge
	lanes                                         *prometheus.GaugeVec
	corpsInTrouble                                *prometheus.GaugeVec
	outage                                        prometheus.Gauge
	conversations                                 *prometheus.GaugeVec
	starving                                      prometheus.Gauge
	homes, allHomes, generation                   prometheus.Gauge
	restoreSeconds, restoreShare                  prometheus.Gauge
	lag                                           *lag

	// These are counted for every item, so they are looked up once.
	checkedAPI, checkedStatus, taken prometheus.Counter
}

// maxCorpsInTrouble bounds the corps that have a metric of their own.
const maxCorpsInTrouble = 100

// New returns the metrics of a process of that version.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), lag: newLag()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string) prometheus.Gauge { return gauges(name, help).WithLabelValues() }
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		m.registry.MustRegister(h)
		return h
	}
	seconds := prometheus.ExponentialBuckets(0.001, 2, 16) // to 33 s

	m.requests = counter("consentd_requests_total", "Requests taken up, by what was done with them: asked, forwarded, forget or invalid.", "fate")
	m.rechecks = counter("consentd_rechecks_total", "Conversations that were asked about again by the schedule.").WithLabelValues()
	m.items = counter("consentd_items_total", "Items answered, by outcome (checked or an error class) and source (api or status).", "outcome", "source")
	m.changes = counter("consentd_changes_total", "Change events, by kind of change.", "change")
	m.parked = counter("consentd_parked_requests_total", "Records put into retry topics, by error class.", "class")
	m.deadLetters = counter("consentd_dead_letters_total", "Dead letters, by error class.", "class")
	m.requestSeconds = histogram("consentd_request_duration_seconds", "From when a request was written, or first taken up if it was forwarded or parked, to when its answer was published.", prometheus.ExponentialBuckets(0.005, 2, 18))
	m.calls = counter("consentd_api_calls_total", "Calls of the API, by kind (single or room) and error class (none: ok).", "kind", "class")
	m.callSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "consentd_api_call_duration_seconds", Help: "How long the API took for a call.", Buckets: seconds,
	}, []string{"kind"})
	m.registry.MustRegister(m.callSeconds)
	m.callPairs = histogram("consentd_api_call_pairs", "Pairs of a single call.", []float64{1, 2, 5, 10, 25, 50, 75, 99, 100})
	m.transactions = counter("consentd_transactions_total", "Batches published, by result: published or failed.", "result")
	m.aborts = counter("consentd_transaction_aborts_total", "Transactions that failed and were begun anew or given up.").WithLabelValues()
	m.transactionSeconds = histogram("consentd_transaction_duration_seconds", "How long publishing a batch took.", seconds)
	m.inFlightItems = gauge("consentd_in_flight_items", "Items taken up and not yet published.")
	m.inFlightBytes = gauge("consentd_in_flight_bytes", "Bytes of the requests taken up and not yet published.")
	m.lanes = gauges("consentd_corps", "Corps that were asked about lately, by state: idle, working, failing, paused or stopped.", "state")
	m.corpsInTrouble = gauges("consentd_corp_in_trouble", "1 for each corp that is failing, paused or stopped; at most 100 of them.", "corp_id", "state", "errcode")
	m.outage = gauge("consentd_api_outage", "1 while the API is down for all corps.")
	m.starving = gauge("consentd_api_budget_waiting_corps", "Corps that wait for a call of the quota that all share.")
	m.tokenFetches = counter("consentd_token_fetches_total", "Fetches of tokens, by the kind of their source and result (ok or an error class).", "source", "result")
	m.conversations = gauges("consentd_status_conversations", "Conversations whose status is known here, by kind (single or room).", "kind")
	m.allHomes = gauge("consentd_status_partitions", "Homes that there are, of all instances together: the partitions of the status topic; 0: not known yet.")
	m.homes = gauge("consentd_homes", "Homes of corps that this instance owns.")
	m.generation = gauge("consentd_group_generation", "The group's generation that this instance works in; 0: none.")
	m.restoreSeconds = gauge("consentd_restore_seconds", "How long restoring the status took at the last assignment.")
	m.restoreShare = gauge("consentd_restore_progress_ratio", "Share of the status that is restored; 1: all, or nothing to restore.")
	m.restoreShare.Set(1)
	build := gauges("consentd_build_info", "1, with the version.", "version")
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.lag, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	m.checkedAPI = m.items.WithLabelValues("checked", string(schemas.SourceAPI))
	m.checkedStatus = m.items.WithLabelValues("checked", string(schemas.SourceStatus))
	m.taken = m.requests.WithLabelValues("asked")
	m.zero()
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Asked counts a request that is checked here.
func (m *Metrics) Asked() { m.taken.Inc() }

// Forwarded counts a request that another instance checks.
func (m *Metrics) Forwarded() { m.requests.WithLabelValues("forwarded").Inc() }

// Forgetting counts a request to forget conversations.
func (m *Metrics) Forgetting() { m.requests.WithLabelValues("forget").Inc() }

// Rechecked counts conversations that the schedule asks about again.
func (m *Metrics) Rechecked(n int) { m.rechecks.Add(float64(n)) }

// Invalid counts a request that can't be decoded.
func (m *Metrics) Invalid() { m.requests.WithLabelValues("invalid").Inc() }

// Checked counts an item that is answered.
func (m *Metrics) Checked(source schemas.Source) {
	if source == schemas.SourceAPI {
		m.checkedAPI.Inc()
		return
	}
	m.checkedStatus.Inc()
}

// Failed counts an item that failed for good.
func (m *Metrics) Failed(class schemas.Class) { m.items.WithLabelValues(string(class), "").Inc() }

// Changed counts a change event.
func (m *Metrics) Changed(change schemas.Change) { m.changes.WithLabelValues(string(change)).Inc() }

// Parked counts a record that is put into a retry topic.
func (m *Metrics) Parked(class schemas.Class) { m.parked.WithLabelValues(string(class)).Inc() }

// DeadLetter counts a dead letter.
func (m *Metrics) DeadLetter(class schemas.Class) { m.deadLetters.WithLabelValues(string(class)).Inc() }

// Answered notes how long after a request its answer is published.
func (m *Metrics) Answered(after time.Duration) { m.requestSeconds.Observe(after.Seconds()) }

// Called counts a call that ended; class is empty when it succeeded.
func (m *Metrics) Called(kind schemas.Kind, class schemas.Class, pairs int, took time.Duration) {
	if class == "" {
		class = "ok"
	}
	m.calls.WithLabelValues(string(kind), string(class)).Inc()
	m.callSeconds.WithLabelValues(string(kind)).Observe(took.Seconds())
	if kind == schemas.Single {
		m.callPairs.Observe(float64(pairs))
	}
}

// Published counts a batch.
func (m *Metrics) Published(took time.Duration, err error) {
	result := "published"
	if err != nil {
		result = "failed"
	}
	m.transactions.WithLabelValues(result).Inc()
	m.transactionSeconds.Observe(took.Seconds())
}

// Aborted counts a transaction that failed and was begun anew, or given up.
func (m *Metrics) Aborted() { m.aborts.Inc() }
