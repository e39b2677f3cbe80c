package replay

import (
	"cmp"
	"slices"
	"time"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Plan says what a replay would do, or has left to do.
type Plan struct {
	// ID is that of a replay that was begun; empty: it was not.
	ID    string `json:"id,omitempty"`
	Topic string `json:"topic"`
	To    string `json:"to"`
	// Records are to be published, Bytes their size: keys, values and headers.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// Published were published before, when the replay was begun.
	Published int64 `json:"published_before,omitempty"`
	// Read are all records of the range, Superseded those left out because of a later one of the same conversation.
	Read       int64 `json:"read"`
	Superseded int64 `json:"superseded"`
	// TooOften are left out because they were replayed so often already, Unfit because they can't be: too large for the topic,
	// cut when they were dead-lettered, or no request but a command.
	TooOften Places `json:"replayed_too_often"`
	Unfit    Places `json:"unfit"`
	// Later would be published too, but for the bound on their number.
	Later int64 `json:"left_for_later,omitempty"`
	// Waiting: the daemon takes these requests up by itself, so that they are answered twice.
	Waiting bool `json:"waiting,omitempty"`
	// Before were published by earlier replays of the topic, and are again by this one.
	Before int64 `json:"replayed_before,omitempty"`
	// Partitions are all that are read.
	Partitions []PartitionPlan `json:"partitions"`
	// Classes and Corps count the records to be published; those without one under the empty word.
	Classes map[schemas.Class]int64 `json:"error_classes"`
	Corps   map[string]int64        `json:"corps"`
	// MoreCorps are the records of corps that are not in Corps, which has the first 10,000.
	MoreCorps int64 `json:"more_corps,omitempty"`
	// Oldest and Newest are the first and last time at which one of the records was written; zero: there is none.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// First are a few of the records, the oldest.
	First []Sample `json:"first"`
	// Rate is how many a second are to be published; 0: as many as can be. Seconds is how long that will take, about.
	Rate    float64 `json:"rate,omitempty"`
	Seconds float64 `json:"seconds"`
}

// PartitionPlan is the part that a partition has.
type PartitionPlan struct {
	Partition int32 `json:"partition"`
	// Begin is the first offset that is read, End the one behind the last.
	Begin   int64 `json:"begin"`
	End     int64 `json:"end"`
	Records int64 `json:"records"`
}

// Sample is a record for a person to look at.
type Sample struct {
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
	Time      time.Time     `json:"time"`
	Key       string        `json:"key"`
	Class     schemas.Class `json:"error_class,omitempty"`
	Errcode   int           `json:"errcode,omitempty"`
	Corp      string        `json:"corp_id,omitempty"`
	Replays   int           `json:"replays,omitempty"`
	Bytes     int           `json:"bytes"`
	// Value is the beginning of the record's.
	Value string `json:"value"`
}

const (
	samples     = 5
	sampleBytes = 200
	mostCorps   = 10_000
	// usualRate is what is reckoned with where no rate is set, in records a second.
	usualRate = 50_000
)

// counter makes a plan of the records that it is shown.
type counter struct {
	plan       *Plan
	partitions map[int32]*PartitionPlan
	// first are the first few of each partition.
	first map[int32][]Sample
}

func newCounter(p *Plan) *counter {
	p.Classes, p.Corps, p.TooOften, p.Unfit = make(map[schemas.Class]int64), make(map[string]int64), newPlaces(), newPlaces()
	return &counter{plan: p, partitions: make(map[int32]*PartitionPlan), first: make(map[int32][]Sample)}
}

// count takes a record into account.
func (c *counter) count(partition int32, r *broker.Record, f facts, v verdict) {
	p := c.plan
	if v == outside {
		return
	}
	p.Read++
	switch v {
	case superseded:
		p.Superseded++
		return
	case tooOften:
		p.TooOften.add(partition, r.Offset)
		return
	case unfit:
		p.Unfit.add(partition, r.Offset)
		return
	case unselected:
		return
	}
	p.Records++
	if f.replays > 0 {
		p.Before++
	}
	p.Bytes += int64(schemas.RecordBytes(r.Key, r.Value, r.Headers))
	c.partitions[partition].Records++
	p.Classes[f.class]++
	if _, known := p.Corps[f.corp]; known || len(p.Corps) < mostCorps {
		p.Corps[f.corp]++
	} else {
		p.MoreCorps++
	}
	at := time.UnixMilli(r.Timestamp).UTC()
	if p.Oldest.IsZero() || at.Before(p.Oldest) {
		p.Oldest = at
	}
	if at.After(p.Newest) {
		p.Newest = at
	}
	if len(c.first[partition]) < samples {
		c.first[partition] = append(c.first[partition], sampleOf(partition, r, f))
	}
}

// done completes the plan.
func (c *counter) done() {
	p := c.plan
	for _, part := range c.partitions {
		p.Partitions = append(p.Partitions, *part)
	}
	slices.SortFunc(p.Partitions, func(a, b PartitionPlan) int { return cmp.Compare(a.Partition, b.Partition) })
	p.First = []Sample{}
	for _, first := range c.first {
		p.First = append(p.First, first...)
	}
	slices.SortFunc(p.First, func(a, b Sample) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	p.First = p.First[:min(samples, len(p.First))]
	p.reckon()
}

// reckon says how long it will take.
func (p *Plan) reckon() { p.Seconds = float64(p.Records) / cmp.Or(p.Rate, usualRate) }

func sampleOf(partition int32, r *broker.Record, f facts) Sample {
	return Sample{
		Partition: partition, Offset: r.Offset, Time: time.UnixMilli(r.Timestamp).UTC(), Key: string(r.Key[:min(sampleBytes, len(r.Key))]),
		Class: f.class, Errcode: f.errcode, Corp: f.corp, Replays: f.replays,
		Bytes: schemas.RecordBytes(r.Key, r.Value, r.Headers), Value: string(r.Value[:min(sampleBytes, len(r.Value))]),
	}
}
