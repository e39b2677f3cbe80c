package replay

import (
	"slices"

	"consentd/internal/broker"
	"consentd/schemas"
)

// verdict is what becomes of a record.
type verdict int

const (
	outside    verdict = iota // of the range of times
	unselected                // by the filters
	superseded                // by a later one of the same conversations
	tooOften                  // replayed already
	unfit                     // nothing that can be replayed
	picked                    // to be replayed
)

// picker decides on records, the same way whenever it is asked. Not safe for concurrent use.
type picker struct {
	selection *Selection
	latest    latest // nil: not only the latest are wanted
	earlier   []earlier
	// room is how large a record may be that is published; 0: it is not known.
	room   int
	looker looker
}

// pick decides on a record. All facts are there when all are wanted, else those that were needed.
func (p *picker) pick(partition int32, r *broker.Record, all bool) (facts, verdict) {
	if !p.selection.covers(r) {
		return facts{}, outside
	}
	filter := &p.selection.Filter
	f := p.looker.look(r, all || filter.needsContent(r))
	switch {
	case !filter.match(r, f):
		return f, unselected
	case p.latest != nil && !p.latest.has(partition, r):
		return f, superseded
	case p.unfit(r):
		return f, unfit
	}
	f.replays += p.replayed(partition, r.Offset, r, f)
	if f.replays >= p.selection.MaxReplays {
		return f, tooOften
	}
	return f, picked
}

// unfit tells whether a record can't be replayed: one that was cut when it was dead-lettered, a command, which would be taken for
// a request, or one that with a replay's headers is too large for the topic.
func (p *picker) unfit(r *broker.Record) bool {
	for _, h := range r.Headers {
		if h.Key == schemas.HeaderTruncated || h.Key == schemas.HeaderCommand {
			return true
		}
	}
	return p.room > 0 && broker.RecordSize(r.Key, r.Value, r.Headers)+replayHeaders > p.room
}

// covers tells whether a record was written within the range of times.
func (s *Selection) covers(r *broker.Record) bool {
	return (s.From.IsZero() || r.Timestamp >= s.From.UnixMilli()) && (s.Until.IsZero() || r.Timestamp < s.Until.UnixMilli())
}

// needsContent tells whether the value must be read to decide.
func (f *Filter) needsContent(r *broker.Record) bool {
	return len(f.Corps) > 0 || (len(f.Classes) > 0 || len(f.Errcodes) > 0) && isEvent(r)
}

func (f *Filter) match(r *broker.Record, have facts) bool {
	return oneOf(f.Classes, have.class) && oneOf(f.Errcodes, have.errcode) && oneOf(f.Corps, have.corp) &&
		(len(f.Keys) == 0 || r.Key != nil && slices.Contains(f.Keys, string(r.Key))) && f.matchHeaders(r.Headers)
}

// oneOf tells whether a value is among those wanted; none wanted: any will do.
func oneOf[T comparable](wanted []T, value T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, value)
}

func (f *Filter) matchHeaders(headers []schemas.Header) bool {
	for name, values := range f.Headers {
		value, ok := schemas.LastHeader(headers, name)
		if !ok || !slices.Contains(values, string(value)) {
			return false
		}
	}
	return true
}
