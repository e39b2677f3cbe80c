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
	committed int64
	end       int64     // the high watermark
	newest    time.Time // of the records taken up; zero: none was
}

func newLag() *lag {
	labels := []string{"topic", "partition"}
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
		out <- prometheus.MustNewConstMetric(l.records, prometheus.GaugeValue, float64(behind), tp.Topic, partition)
		out <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, age, tp.Topic, partition)
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

// Assigned replaces the partitions that are this instance's by those of a new generation; nil: none.
func (m *Metrics) Assigned(generation int32, homes int, positions map[broker.TopicPartition]broker.Offset) {
	partitions := make(map[broker.TopicPartition]*progress, len(positions))
	for tp, position := range positions {
		partitions[tp] = &progress{committed: position.At, end: position.At}
	}
	m.generation.Set(float64(generation))
	m.homes.Set(float64(homes))
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
