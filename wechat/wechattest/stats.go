package wechattest

import (
	"maps"
	"sync"
)

// Stats is what the simulator was asked since it exists or since ResetStats.
type Stats struct {
	Calls Calls `json:"calls"`
	// Items is how many pairs were asked for, in calls that could be read.
	Items int64 `json:"items"`
	// Faults is how many calls met a fault.
	Faults int64 `json:"faults"`
	// Errors counts replies by errcode, other than 0.
	Errors map[int]int64 `json:"errors"`
	// Corps is by corp id. Calls of no corp that exists, and those with an access_token that nobody has, are in none.
	Corps map[string]CorpStats `json:"corps"`
}

// Calls counts calls when they arrive.
type Calls struct {
	Single   int64 `json:"single"`
	Room     int64 `json:"room"`
	GetToken int64 `json:"gettoken"`
}

// CorpStats is what the simulator was asked about one corp.
type CorpStats struct {
	Calls Calls `json:"calls"`
	Items int64 `json:"items"`
	// MaxConcurrency is the most single and room calls that were there at the same time.
	MaxConcurrency int `json:"max_concurrency"`
	// BatchSizes counts single calls by the number of their pairs.
	BatchSizes map[int]int64 `json:"batch_sizes"`
	Errors     map[int]int64 `json:"errors"`
}

// Stats returns a copy of the statistics.
func (s *Simulator) Stats() Stats {
	r := &s.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.all
	stats.Errors = maps.Clone(stats.Errors)
	stats.Corps = make(map[string]CorpStats, len(r.corps))
	for id, c := range r.corps {
		corp := c.CorpStats
		corp.BatchSizes, corp.Errors = maps.Clone(corp.BatchSizes), maps.Clone(corp.Errors)
		stats.Corps[id] = corp
	}
	return stats
}

// ResetStats begins the statistics anew. Calls that are there at that moment count for the concurrency only.
func (s *Simulator) ResetStats() {
	r := &s.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = newStats()
	for id, c := range r.corps {
		if c.inFlight == 0 {
			delete(r.corps, id)
			continue
		}
		r.corps[id] = newCorpRecord(c.inFlight)
	}
}

// recorder keeps the statistics.
type recorder struct {
	mu    sync.Mutex
	all   Stats // its Corps are not used
	corps map[string]*corpRecord
}

type corpRecord struct {
	CorpStats
	inFlight int
}

func newStats() Stats { return Stats{Errors: make(map[int]int64)} }

func newCorpRecord(inFlight int) *corpRecord {
	return &corpRecord{
		CorpStats: CorpStats{
			MaxConcurrency: inFlight, BatchSizes: make(map[int]int64), Errors: make(map[int]int64),
		},
		inFlight: inFlight,
	}
}

// arrive counts a call; leave must follow.
func (r *recorder) arrive(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Calls.add(c.kind)
	r.all.Items += int64(len(c.pairs))
	if c.corp == "" {
		return
	}
	corp := r.corp(c.corp)
	corp.Calls.add(c.kind)
	corp.Items += int64(len(c.pairs))
	if len(c.pairs) > 0 {
		corp.BatchSizes[len(c.pairs)]++
	}
	if c.kind != GetToken {
		corp.inFlight++
		corp.MaxConcurrency = max(corp.MaxConcurrency, corp.inFlight)
	}
}

func (r *recorder) leave(c *call) {
	if c.corp == "" || c.kind == GetToken {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.corp(c.corp).inFlight--
}

func (r *recorder) fault() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Faults++
}

func (r *recorder) refused(c *call, errcode int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Errors[errcode]++
	if c.corp != "" {
		r.corp(c.corp).Errors[errcode]++
	}
}

// corp is called with mu held.
func (r *recorder) corp(id string) *corpRecord {
	c := r.corps[id]
	if c == nil {
		c = newCorpRecord(0)
		r.corps[id] = c
	}
	return c
}

func (c *Calls) add(kind Kind) {
	switch kind {
	case Single:
		c.Single++
	case Room:
		c.Room++
	case GetToken:
		c.GetToken++
	}
}
