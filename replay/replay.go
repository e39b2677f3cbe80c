package replay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
)

// Config is what the configuration says.
type Config struct {
	// Cluster says how the brokers are reached; its Topics are set here.
	Cluster broker.Options
	Topics  Topics
	// ExactlyOnce publishes in transactions, which the brokers abort when one is left open for TransactionTimeout. Without,
	// a replay that is interrupted may publish up to 5,000 records twice.
	ExactlyOnce        bool
	TransactionTimeout time.Duration
	// Progress is told how far reading or publishing has come, now and then, of a total; nil: nobody is told.
	Progress func(step Step, done, total int64)
	Log      zerolog.Logger
}

// Step is what takes its time.
type Step string

// The steps. Reading is counted in offsets, Publishing in records.
const (
	Reading    Step = "reading"
	Publishing Step = "publishing"
)

// Replay is one that may be executed. Not safe for concurrent use.
type Replay struct {
	config    Config
	id        string
	selection Selection
	cluster   *broker.Cluster
	// spans are the parts of the partitions that it is about; resumed: they come from an earlier run.
	spans   map[broker.TopicPartition]*span
	resumed bool
	picker  picker
	plan    Plan
}

// Open looks at what a selection comes to. Nothing is written. An *InputError says what is wrong with it; the cluster is
// tried for 30 s before that is an error, and what is read then for as long as ctx allows. The caller closes the replay.
func Open(ctx context.Context, c Config, s Selection) (*Replay, error) {
	if err := s.settle(c.Topics); err != nil {
		return nil, err
	}
	if err := checkMetadata(&s); err != nil {
		return nil, err
	}
	r := newReplay(c, time.Now().UTC().Format("20060102T150405Z-")+strings.ToLower(rand.Text()[:8]), s)
	if err := r.look(ctx, r.openSpans); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Resume looks at what a replay has left to do: it goes on as it was begun, but at another rate when there is one. Else it
// is as Open.
func Resume(ctx context.Context, c Config, id string, perSecond *float64) (*Replay, error) {
	if !onlyHas(id, "-_.") {
		return nil, wrong("--resume %.60q is no id of a replay", id)
	}
	spans, s, err := committed(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if perSecond != nil {
		s.Rate = *perSecond
		if err := checkRate(s.Rate); err != nil {
			return nil, err
		}
	}
	r := newReplay(c, id, s)
	r.spans, r.resumed = spans, true
	if err := r.look(ctx, nil); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func newReplay(c Config, id string, s Selection) *Replay {
	c.Cluster.Topics = []string{s.Topic, s.To}
	if c.Progress == nil {
		c.Progress = func(Step, int64, int64) {}
	}
	r := &Replay{config: c, id: id, selection: s, cluster: broker.Open(c.Cluster)}
	r.picker.selection = &r.selection
	return r
}

// try asks the cluster until it answers.
func (c *Config) try(ctx context.Context, ask func(context.Context) error) error {
	final := func(err error) bool { return errors.As(err, new(*InputError)) || broker.Permanent(err) }
	return broker.Try(ctx, c.Cluster.Brokers, c.Log, final, ask)
}

// Close gives back the connections.
func (r *Replay) Close() { r.cluster.Close() }

// ID names the replay, for Resume.
func (r *Replay) ID() string { return r.id }

// Plan says what Execute would do.
func (r *Replay) Plan() Plan { return r.plan }

// committed returns how far a replay has come.
func committed(ctx context.Context, c Config, id string) (map[broker.TopicPartition]*span, Selection, error) {
	c.Cluster.Topics = nil // not known yet
	cluster := broker.Open(c.Cluster)
	defer cluster.Close()
	var offsets map[broker.TopicPartition]broker.Offset
	err := c.try(ctx, func(ctx context.Context) (err error) {
		offsets, err = cluster.Committed(ctx, groupPrefix+id, nil)
		if errors.Is(err, kafka.GroupIdNotFound) {
			return nil // so it has no offsets
		}
		return err
	})
	if err != nil {
		return nil, Selection{}, err
	}
	if len(offsets) == 0 {
		return nil, Selection{}, wrong("--resume %s: there is no such replay: no progress was ever committed, or it is so long ago that the brokers have forgotten it", id)
	}
	spans := make(map[broker.TopicPartition]*span, len(offsets))
	var selection Selection
	for tp, o := range offsets {
		s, sel, err := parseProgress(o)
		if err != nil {
			return nil, Selection{}, fmt.Errorf("replay %s, %s: %w", id, tp, err)
		}
		spans[tp], selection = &s, sel
		selection.Topic = tp.Topic
	}
	return spans, selection, nil
}

// look finds out what is to be replayed: the topics, the spans, the records.
func (r *Replay) look(ctx context.Context, openSpans func(context.Context, int32) error) error {
	err := r.config.try(ctx, func(ctx context.Context) error {
		have, err := r.cluster.Partitions(ctx, r.selection.Topic, r.selection.To)
		if err != nil {
			return err
		}
		for _, topic := range []string{r.selection.Topic, r.selection.To} {
			if _, ok := have[topic]; !ok {
				return wrong("topic %s does not exist", topic)
			}
		}
		if openSpans == nil {
			return nil
		}
		return openSpans(ctx, have[r.selection.Topic])
	})
	if err != nil {
		return err
	}
	for _, find := range []func(context.Context) error{r.findRoom, r.findEarlier} {
		if err := r.config.try(ctx, find); err != nil {
			return err
		}
	}
	if err := r.findLatest(ctx); err != nil {
		return err
	}
	if err := r.boundSpans(ctx); err != nil {
		return err
	}
	return r.makePlan(ctx)
}

// openSpans finds out where each partition's part begins and ends. The ends are those of now, whatever comes later.
func (r *Replay) openSpans(ctx context.Context, partitions int32) error {
	tps, err := r.partitions(partitions)
	if err != nil {
		return err
	}
	ends, err := r.cluster.LastStable(ctx, tps)
	if err != nil {
		return err
	}
	begins, err := r.cluster.Earliest(ctx, tps)
	if err != nil {
		return err
	}
	if !r.selection.From.IsZero() {
		since, err := r.cluster.StableSince(ctx, tps, r.selection.From)
		if err != nil {
			return err
		}
		for _, tp := range tps {
			begins[tp] = ends[tp]
			if first, ok := since[tp]; ok {
				begins[tp] = first
			}
		}
	}
	r.spans = make(map[broker.TopicPartition]*span, len(tps))
	for _, tp := range tps {
		s := &span{begin: begins[tp], end: ends[tp]}
		if o, ok := r.selection.Offsets[tp.Partition]; ok {
			s.begin = max(s.begin, o.First)
			if o.Last < s.end { // so that it has a next one
				s.end = o.Last + 1
			}
		}
		if s.begin < s.end {
			s.next, s.whole = s.begin, s.end
			r.spans[tp] = s
		}
	}
	return nil
}

// partitions are those to read of a topic that has so many.
func (r *Replay) partitions(have int32) ([]broker.TopicPartition, error) {
	s := &r.selection
	for p := range s.Offsets {
		if p >= have {
			return nil, wrong("--offsets: topic %s has no partition %d: they are 0 to %d", s.Topic, p, have-1)
		}
	}
	for _, p := range s.Partitions {
		if p < 0 || p >= have {
			return nil, wrong("--partition: topic %s has no partition %d: they are 0 to %d", s.Topic, p, have-1)
		}
	}
	var tps []broker.TopicPartition
	for p := range have {
		_, ranged := s.Offsets[p]
		if (s.Offsets == nil || ranged) && oneOf(s.Partitions, p) {
			tps = append(tps, broker.TopicPartition{Topic: s.Topic, Partition: p})
		}
	}
	if len(tps) == 0 {
		return nil, wrong("the range is empty: --partition and --offsets have no partition in common")
	}
	return tps, nil
}

// findRoom finds out how large a record may be. Who may not know that finds out by the brokers' refusal.
func (r *Replay) findRoom(ctx context.Context) error {
	value, err := r.cluster.Config(ctx, r.selection.To, "max.message.bytes")
	if broker.Permanent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	r.picker.room, err = strconv.Atoi(value)
	return err
}

// findLatest reads all of it for the latest record of each conversation, if only those are wanted.
func (r *Replay) findLatest(ctx context.Context) error {
	if !r.selection.Dedupe {
		return nil
	}
	found := make(latest)
	err := r.scan(ctx, (*span).all, func(tp broker.TopicPartition, rec *broker.Record) {
		if _, v := r.picker.pick(tp.Partition, rec, false); v == picked || v == tooOften {
			found.add(tp.Partition, rec)
		}
	})
	r.picker.latest = found
	return err
}

// boundSpans moves the ends to where the oldest so many records end, if there is a bound.
func (r *Replay) boundSpans(ctx context.Context) error {
	if r.selection.Max == 0 || r.resumed {
		return nil
	}
	o, seen := newOldest(r.selection.Max), int64(0)
	err := r.scan(ctx, (*span).left, func(tp broker.TopicPartition, rec *broker.Record) {
		if _, v := r.picker.pick(tp.Partition, rec, false); v == picked {
			o.add(tp.Partition, rec)
			seen++
		}
	})
	if err != nil {
		return err
	}
	if ends, bounded := o.ends(seen); bounded {
		r.plan.Later = seen - int64(r.selection.Max)
		for tp, s := range r.spans {
			s.end = max(ends[tp.Partition], s.begin)
		}
	}
	return nil
}

// makePlan counts what is left to do.
func (r *Replay) makePlan(ctx context.Context) error {
	r.plan.Topic, r.plan.To, r.plan.Rate = r.selection.Topic, r.selection.To, r.selection.Rate
	r.plan.Waiting = slices.Contains(r.config.Topics.Waiting, r.selection.Topic)
	if r.resumed {
		r.plan.ID = r.id
	}
	c := newCounter(&r.plan)
	for tp, s := range r.spans {
		if s.begin < s.end {
			c.partitions[tp.Partition] = &PartitionPlan{Partition: tp.Partition, Begin: s.next, End: s.end}
		}
		r.plan.Published += s.published
	}
	err := r.scan(ctx, (*span).left, func(tp broker.TopicPartition, rec *broker.Record) {
		f, v := r.picker.pick(tp.Partition, rec, true)
		c.count(tp.Partition, rec, f, v)
	})
	if err != nil {
		return err
	}
	c.done()
	s := &r.selection
	ranged := s.Offsets != nil || s.Partitions != nil || !s.From.IsZero() || !s.Until.IsZero()
	if ranged && r.plan.Read == 0 && !r.resumed {
		return wrong("the range is empty: topic %s has no records in it", s.Topic)
	}
	return nil
}

// left is what a span has left to do, all is what it looks at.
func (s *span) left() (from, to int64) { return s.next, s.end }
func (s *span) all() (from, to int64)  { return s.begin, s.whole }

// scan shows the records of a part of each span.
func (r *Replay) scan(ctx context.Context, part func(*span) (from, to int64), see func(broker.TopicPartition, *broker.Record)) error {
	positions, ends, total := make(map[broker.TopicPartition]int64), make(map[broker.TopicPartition]int64), int64(0)
	for tp, s := range r.spans {
		positions[tp], ends[tp] = part(s)
		total += ends[tp] - positions[tp]
	}
	done := int64(0)
	reading := reading{cluster: r.cluster, log: r.config.Log}
	at := make(map[broker.TopicPartition]int64, len(positions))
	for tp, p := range positions {
		at[tp] = p
	}
	reading.take = func(_ context.Context, tp broker.TopicPartition, records []broker.Record, next int64) error {
		for i := range records {
			see(tp, &records[i])
		}
		done, at[tp] = done+next-at[tp], next
		r.config.Progress(Reading, done, total)
		return nil
	}
	return reading.run(ctx, positions, ends)
}
