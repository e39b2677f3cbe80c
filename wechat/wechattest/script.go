package wechattest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Script adds faults. A call is struck by the first of all that selects it, in the order in which they were added; those
// after it don't see the call. A fault strikes before the call's own rules are looked at: also a call that would be refused.
// Thousands of faults cost a call nothing as long as they select other corps or ids.
func (s *Simulator) Script(faults ...Fault) {
	l := s.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range faults {
		l.added++
		added := &scripted{
			Fault: f, order: l.added, cleared: make(chan struct{}), random: rand.New(rand.NewPCG(l.seed, uint64(l.added))),
		}
		l.list = append(l.list, added)
		l.index(added)
	}
}

// ClearFaults removes all faults and ends the calls that hang.
func (s *Simulator) ClearFaults() { s.faults.clear(func(*Fault) bool { return true }) }

// ClearCorpFaults removes the faults whose Corp this is, and ends their calls that hang.
func (s *Simulator) ClearCorpFaults(corpID string) {
	s.faults.clear(func(f *Fault) bool { return f.Corp == corpID })
}

// faults are those that were scripted.
type faults struct {
	seed uint64
	none scripted // what a call meets that meets no fault

	mu    sync.Mutex
	list  []*scripted
	added int
	// byID has those that select an id, by that of the customer if it is a pair's; byCorp all others, by their corp or
	// an empty one.
	byID, byCorp map[string][]*scripted
	candidates   []*scripted // memory for strike
}

func newFaults(seed uint64) *faults {
	return &faults{seed: seed, byID: make(map[string][]*scripted), byCorp: make(map[string][]*scripted)}
}

// scripted is a fault with what became of it. The Fault itself is never changed.
type scripted struct {
	Fault
	order        int
	cleared      chan struct{} // closed when the fault is removed
	random       *rand.Rand
	seen, struck int
}

func (l *faults) clear(which func(*Fault) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.byID)
	clear(l.byCorp)
	l.list = slices.DeleteFunc(l.list, func(f *scripted) bool {
		if which(&f.Fault) {
			close(f.cleared)
			return true
		}
		l.index(f)
		return false
	})
	if len(l.list) == 0 {
		l.added = 0 // the same faults in the next test strike the same calls
	}
}

// index is called with mu held.
func (l *faults) index(f *scripted) {
	if f.ID == "" {
		l.byCorp[f.Corp] = append(l.byCorp[f.Corp], f)
		return
	}
	id := f.ID[strings.LastIndexByte(f.ID, '/')+1:]
	l.byID[id] = append(l.byID[id], f)
}

// strike returns the fault that the call meets, and whether it meets one.
func (l *faults) strike(c *call) (*scripted, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		return &l.none, false
	}
	for _, f := range l.candidatesOf(c) {
		if f.strikes(c) {
			return f, true
		}
	}
	return &l.none, false
}

// candidatesOf returns the faults that may select the call, in their order. It is called with mu held.
func (l *faults) candidatesOf(c *call) []*scripted {
	found := append(l.candidates[:0], l.byCorp[""]...)
	if c.corp != "" {
		found = append(found, l.byCorp[c.corp]...)
	}
	if len(l.byID) > 0 {
		for _, p := range c.pairs {
			found = append(found, l.byID[p.staff]...)
			found = append(found, l.byID[p.customer]...)
		}
		found = append(found, l.byID[c.chatID]...)
		found = append(found, l.byID[c.suite]...)
	}
	slices.SortFunc(found, func(a, b *scripted) int { return cmp.Compare(a.order, b.order) })
	l.candidates = slices.Compact(found)
	return l.candidates
}

func (f *scripted) strikes(c *call) bool {
	if f.Corp != "" && f.Corp != c.corp || f.Kind != "" && f.Kind != c.kind || f.ID != "" && !c.asksFor(f.ID) {
		return false
	}
	f.seen++
	if f.seen <= f.Skip || f.Count > 0 && f.struck >= f.Count {
		return false
	}
	if f.Probability > 0 && f.random.Float64() >= f.Probability {
		return false
	}
	f.struck++
	return true
}
