package daemon

import (
	"context"
	"math"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/pipeline"
	"consentd/schemas"
)

const (
	// recheckOffsets bounds what is held of the status topic at a time.
	recheckOffsets = 20_000
	// recheckChunk is how many records are handed over at a time.
	recheckChunk = 200
)

// rechecker asks again, every now and then, about what was last checked long ago.
type rechecker struct {
	config   config.Recheck
	cluster  *broker.Cluster
	statuses []broker.TopicPartition
	pipeline *pipeline.Pipeline
	// share is the part of all homes that is here.
	share float64
	log   zerolog.Logger

	// Of a pass: before when a conversation was checked that is due, how fast to ask, and how many were asked.
	before time.Time
	limit  *rate.Limiter
	asked  int
}

// run begins a pass every so often until ctx ends.
func (r *rechecker) run(ctx context.Context) {
	for {
		began := time.Now()
		if err := r.pass(ctx, began); err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Str("hint", "nothing to do once; if it lasts, look at the brokers").
				Msg("checking again what was last checked long ago was interrupted: it begins anew when recheck.every is over")
		}
		select {
		case <-time.After(time.Until(began.Add(r.config.Every))):
		case <-ctx.Done():
			return
		}
	}
}

func (r *rechecker) pass(ctx context.Context, now time.Time) error {
	r.before, r.asked = now.Add(-r.config.OlderThan), 0
	had, err := r.pipeline.Recheck(ctx, nil, r.before, false)
	if err != nil {
		return err
	}
	r.limit = r.pace(had.Due)
	begins, err := r.cluster.Earliest(ctx, r.statuses)
	if err != nil {
		return err
	}
	ends, err := r.cluster.HighWatermarks(ctx, r.statuses)
	if err != nil {
		return err
	}
	for _, tp := range r.statuses {
		for from := begins[tp]; from < ends[tp]; from += recheckOffsets {
			if err := r.part(ctx, tp, from, min(from+recheckOffsets, ends[tp])); err != nil {
				return err
			}
		}
	}
	if _, err := r.pipeline.Recheck(ctx, nil, r.before, true); err != nil {
		return err
	}
	r.log.Info().Int("asked", r.asked).Dur("took", time.Since(now)).Msg("all that was last checked long ago is asked about again")
	return nil
}

// pace spreads a pass over most of the time that it has, if the rate allows it.
func (r *rechecker) pace(due int) *rate.Limiter {
	perSecond := min(float64(r.config.Rate)*r.share, math.Max(1, 1.1*float64(due)/r.config.Every.Seconds()))
	limit := rate.NewLimiter(rate.Limit(perSecond), recheckChunk)
	limit.AllowN(time.Now(), recheckChunk)
	return limit
}

// part looks at a part of a partition.
func (r *rechecker) part(ctx context.Context, tp broker.TopicPartition, from, to int64) error {
	var known []pipeline.Known
	one := func(offset int64) map[broker.TopicPartition]int64 { return map[broker.TopicPartition]int64{tp: offset} }
	err := r.cluster.ReadRange(ctx, one(from), one(to), r.log, func(_ broker.TopicPartition, record *broker.Record) error {
		if k, ok := knownOf(record); ok && k.StoredAt.Before(r.before) {
			known = append(known, k)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for len(known) > 0 {
		n := min(recheckChunk, len(known))
		done, err := r.pipeline.Recheck(ctx, known[:n], r.before, false)
		if err != nil {
			return err
		}
		r.asked += done.Asked
		if err := r.limit.WaitN(ctx, done.Asked); err != nil {
			return err
		}
		known = known[n:]
	}
	return nil
}

// knownOf reads a status record; what is no status was reported when the status was restored.
func knownOf(r *broker.Record) (pipeline.Known, bool) {
	if r.Value == nil {
		return pipeline.Known{}, false
	}
	c, err := schemas.ParseKey(string(r.Key))
	if err != nil {
		return pipeline.Known{}, false
	}
	s, err := schemas.DecodeStatus(c.Kind, r.Value)
	if err != nil {
		return pipeline.Known{}, false
	}
	return pipeline.Known{Conversation: c, Hash: schemas.HashKey(r.Key), StoredAt: s.CheckedAt}, true
}
