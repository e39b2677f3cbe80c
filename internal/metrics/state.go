package metrics

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"consentd/checker"
	"consentd/schemas"
)

// State is what a pipeline has under way.
type State struct {
	Items, Bytes int
	// Pairs and Rooms are known; Starving corps wait for a call of the budget that all share.
	Pairs, Rooms, Starving int
	Outage                 bool
	Lanes                  []checker.LaneState
}

// Observe replaces what is known of the pipeline's state.
func (m *Metrics) Observe(s State) {
	m.inFlightItems.Set(float64(s.Items))
	m.inFlightBytes.Set(float64(s.Bytes))
	m.conversations.WithLabelValues(string(schemas.Single)).Set(float64(s.Pairs))
	m.conversations.WithLabelValues(string(schemas.Room)).Set(float64(s.Rooms))
	m.starving.Set(float64(s.Starving))
	m.outage.Set(0)
	if s.Outage {
		m.outage.Set(1)
	}
	counts := make(map[string]int)
	for _, state := range checker.LaneStates() {
		counts[state] = 0
	}
	var trouble []checker.LaneState
	for _, l := range s.Lanes {
		counts[l.State]++
		if l.Failure != nil {
			trouble = append(trouble, l)
		}
	}
	// The same ones are named each time, so that those who watch see them last.
	slices.SortFunc(trouble, func(a, b checker.LaneState) int {
		return cmp.Or(cmp.Compare(severity(a), severity(b)), cmp.Compare(a.CorpID, b.CorpID))
	})
	m.corpsInTrouble.Reset()
	for _, l := range trouble[:min(len(trouble), maxCorpsInTrouble)] {
		m.corpsInTrouble.WithLabelValues(l.CorpID, l.State, strconv.Itoa(l.Failure.Errcode)).Set(1)
	}
	for state, n := range counts {
		m.lanes.WithLabelValues(state).Set(float64(n))
	}
}

// severity puts those first that wait for a person.
func severity(l checker.LaneState) int {
	if l.State == checker.Stopped {
		return 0
	}
	return 1
}

// Restoring notes which share of the status is restored, from 0 to 1.
func (m *Metrics) Restoring(share float64) { m.restoreShare.Set(share) }

// Restored notes how long the status took to be restored.
func (m *Metrics) Restored(took time.Duration) {
	m.restoreShare.Set(1)
	m.restoreSeconds.Set(took.Seconds())
}
