package replay

import (
	"context"
	"slices"
	"strings"

	"consentd/internal/broker"
)

// mostEarlier bounds how many earlier replays are looked at, the newest of them.
const mostEarlier = 200

// earlier is what a replay before this one, with the same destination, took of a partition of the same topic.
type earlier struct {
	partition int32
	span      span
	selection Selection
}

// findEarlier finds out what other replays of the topic have published to the same one, as far as the brokers still know: it counts
// towards how often a record was replayed. A cluster that does not tell is taken to have none.
func (r *Replay) findEarlier(ctx context.Context) error {
	groups, err := r.cluster.Groups(ctx)
	if err != nil {
		r.config.Log.Warn().Err(err).Str("hint", "the user may need the right to describe groups").
			Msg("which records were replayed before is known from their headers alone")
		return nil
	}
	ids := slices.DeleteFunc(groups, func(group string) bool { return !strings.HasPrefix(group, groupPrefix) || group == groupPrefix+r.id })
	slices.Sort(ids)       // by time
	r.picker.earlier = nil // this may be another try
	for _, group := range ids[max(0, len(ids)-mostEarlier):] {
		offsets, err := r.cluster.CommittedNow(ctx, group, nil)
		if err != nil {
			return err
		}
		for tp, o := range offsets {
			s, selection, err := parseProgress(o)
			if err == nil && tp.Topic == r.selection.Topic && selection.To == r.selection.To && s.published > 0 {
				r.picker.earlier = append(r.picker.earlier, earlier{tp.Partition, s, selection})
			}
		}
	}
	return nil
}

// replayed returns how often earlier replays have taken a record. Of one that took only the latest of each conversation, it is
// assumed that this was among them.
func (p *picker) replayed(partition int32, offset int64, r *broker.Record, f facts) int {
	n := 0
	for i := range p.earlier {
		e := &p.earlier[i]
		if e.partition != partition || offset < e.span.begin || offset >= e.span.next || !e.selection.covers(r) ||
			f.replays >= e.selection.MaxReplays {
			continue
		}
		if e.selection.Filter.needsContent(r) && !p.selection.Filter.needsContent(r) {
			p.looker.content(r.Value, isEvent(r), &f)
		}
		if e.selection.Filter.match(r, f) {
			n++
		}
	}
	return n
}
