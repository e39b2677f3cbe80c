package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"consentd/internal/broker"
)

// lag is how far this instance is behind, partition by partition. It is computed when it is asked for: time goes on also
// when nothing else does.
type lag struct {
	records, seconds *prometheus.Desc

	mu         sync.Mutex
	partitions map[broker.TopicPartition]*progress
}

// progress is how far a partition is done.
type progress struct {
	role      string
	committed int64
	end       int64     // the high watermark
	newest    time.Time // of the records taken up; zero: none was
}

func newLag() *lag {
	labels := []string{"topic", "partition", "role"}
	return &lag{
		records: prometheus.NewDesc("consentd_lag_records", "Records between the committed offset and the end of the partition.", labels, nil),
		seconds: prometheus.NewDesc("consentd_lag_seconds", "Age of the newest record taken up of a partition that is not read to its end.", labels, nil),
	}
}

func (l *lag) Describe(descs chan<- *prometheus.Desc) {
	descs <- l.records
	descs <- l.seconds
}

func (l *lag) Collect(out chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tp, p := range l.partitions {
		behind := max(0, p.end-p.committed)
		age := 0.0
		if behind > 0 && !p.newest.IsZero() {
			age = max(0, time.Since(p.newest).Seconds())
		}
		partition := strconv.Itoa(int(tp.Partition))
		out <- prometheus.MustNewConstMetric(l.records, prometheus.GaugeValue, float64(behind), tp.Topic, partition, p.role)
		out <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, age, tp.Topic, partition, p.role)
	}
}

// of lets f see and set a partition's progress, if it is this instance's.
func (l *lag) of(tp broker.TopicPartition, f func(*progress)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.partitions[tp]; p != nil {
		f(p)
	}
}

// Assignment is what an instance has in a generation. Its zero value is none.
type Assignment struct {
	Generation int32
	// Homes are this instance's, AllHomes those that there are.
	Homes, AllHomes int
	Positions       map[broker.TopicPartition]broker.Offset
	// Requests and Forward are topics; all others are for retries.
	Requests, Forward string
}

func (a *Assignment) role(topic string) string {
	switch topic {
	case a.Requests:
		return "requests"
	case a.Forward:
		return "forward"
	}
	return "retry"
}

// Assigned replaces what is this instance's by what it has in a new generation.
func (m *Metrics) Assigned(a Assignment) {
	partitions := make(map[broker.TopicPartition]*progress, len(a.Positions))
	for tp, position := range a.Positions {
		partitions[tp] = &progress{role: a.role(tp.Topic), committed: position.At, end: position.At}
	}
	m.generation.Set(float64(a.Generation))
	m.homes.Set(float64(a.Homes))
	if a.AllHomes > 0 {
		m.allHomes.Set(float64(a.AllHomes)) // it stays known between two assignments
	}
	m.lag.mu.Lock()
	defer m.lag.mu.Unlock()
	m.lag.partitions = partitions
}

// Taken notes the newest record of a partition that was read.
func (m *Metrics) Taken(tp broker.TopicPartition, newest time.Time) {
	m.lag.of(tp, func(p *progress) { p.newest = newest })
}

// Committed notes a partition's committed offset.
func (m *Metrics) Committed(tp broker.TopicPartition, at int64) {
	m.lag.of(tp, func(p *progress) { p.committed, p.end = at, max(p.end, at) })
}

// Ends notes the partitions' high watermarks.
func (m *Metrics) Ends(ends map[broker.TopicPartition]int64) {
	for tp, end := range ends {
		m.lag.of(tp, func(p *progress) { p.end = max(end, p.committed) })
	}
}
