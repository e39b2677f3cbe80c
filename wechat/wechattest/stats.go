package wechattest

import (
	"maps"
	"sync"
)

// Stats is what the simulator was asked since it exists or since ResetStats: in all, and by corp and suite.
type Stats struct {
	Counters
	// Corps is by corp id. Calls of no corp that exists, and those with a token that nobody has, are in none.
	Corps map[string]Counters `json:"corps"`
	// Suites is by suite id: get_suite_token, and get_corp_token as far as its suite_access_token tells the suite.
	Suites map[string]Counters `json:"suites"`
}

// Counters counts calls, each when it arrives, and their answers.
type Counters struct {
	Calls Calls `json:"calls"`
	// Items is how many pairs were asked for, in calls that could be read.
	Items int64 `json:"items"`
	// BatchSizes counts single calls by the number of their pairs.
	BatchSizes map[int]int64 `json:"batch_sizes"`
	// Concurrency is how many single and room calls are there now, MaxConcurrency the most at the same time.
	Concurrency    int `json:"concurrency"`
	MaxConcurrency int `json:"max_concurrency"`
	// BusiestMinute is the most calls in any 60 s, wherever they begin.
	BusiestMinute BusiestMinute `json:"busiest_minute"`
	// TokenFetches counts what calls for tokens were answered; those that met a fault instead of an answer are in neither.
	// By suite it counts get_suite_token alone, by corp all others.
	TokenFetches TokenFetches `json:"token_fetches"`
	// Faults is how many calls met a fault.
	Faults int64 `json:"faults"`
	// Errors counts answers by errcode, other than 0.
	Errors map[int]int64 `json:"errors"`
}

// Calls counts calls by what is called.
type Calls struct {
	Single        int64 `json:"single"`
	Room          int64 `json:"room"`
	GetToken      int64 `json:"gettoken"`
	GetSuiteToken int64 `json:"get_suite_token"`
	GetCorpToken  int64 `json:"get_corp_token"`
	TokenService  int64 `json:"token_service"`
}

// BusiestMinute is the most calls in 60 s, of each kind for itself.
type BusiestMinute struct {
	Single int64 `json:"single"`
	Room   int64 `json:"room"`
}

// TokenFetches counts calls for tokens that were answered with one, and with an errcode.
type TokenFetches struct {
	Good    int64 `json:"good"`
	Refused int64 `json:"refused"`
}

// Stats returns a copy of the statistics.
func (s *Simulator) Stats() Stats {
	r := s.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := Stats{
		Counters: r.all.counters(),
		Corps:    make(map[string]Counters, len(r.corps)), Suites: make(map[string]Counters, len(r.suites)),
	}
	for id, t := range r.corps {
		stats.Corps[id] = t.counters()
	}
	for id, t := range r.suites {
		stats.Suites[id] = t.counters()
	}
	return stats
}

// ResetStats begins the statistics anew. Calls that are there at that moment count for the concurrency only, and for what
// they are answered from then on.
func (s *Simulator) ResetStats() {
	r := s.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.reset()
	for _, tallies := range []map[string]*tally{r.corps, r.suites} {
		for id, t := range tallies {
			if t.present == 0 {
				delete(tallies, id)
				continue
			}
			t.reset()
		}
	}
}

// recorder keeps the statistics.
type recorder struct {
	clock clock

	mu            sync.Mutex
	all           *tally
	corps, suites map[string]*tally
}

func newRecorder(c clock) *recorder {
	return &recorder{clock: c, all: newTally(), corps: make(map[string]*tally), suites: make(map[string]*tally)}
}

// tally is the statistics of all, of a corp or of a suite.
type tally struct {
	Counters
	single, room minute
	present      int // calls of any kind that are there
}

func newTally() *tally {
	return &tally{Counters: Counters{BatchSizes: make(map[int]int64), Errors: make(map[int]int64)}}
}

func (t *tally) reset() {
	fresh := newTally()
	fresh.Concurrency, fresh.MaxConcurrency, fresh.present = t.Concurrency, t.Concurrency, t.present
	*t = *fresh
}

// counters returns a copy.
func (t *tally) counters() Counters {
	c := t.Counters
	c.BatchSizes, c.Errors = maps.Clone(c.BatchSizes), maps.Clone(c.Errors)
	c.BusiestMinute = BusiestMinute{t.single.most, t.room.most}
	return c
}

// arrive counts a call; leave must follow.
func (r *recorder) arrive(c *call, faulty bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.assign(c)
	c.present = true
	now := r.clock.now()
	for _, t := range c.tallies {
		t.present++
		t.Items += int64(len(c.pairs))
		if len(c.pairs) > 0 {
			t.BatchSizes[len(c.pairs)]++
		}
		if faulty {
			t.Faults++
		}
		switch c.kind {
		case Single:
			t.Calls.Single++
			t.single.add(now)
		case Room:
			t.Calls.Room++
			t.room.add(now)
		case GetToken:
			t.Calls.GetToken++
		case GetSuiteToken:
			t.Calls.GetSuiteToken++
		case GetCorpToken:
			t.Calls.GetCorpToken++
		case TokenService:
			t.Calls.TokenService++
		}
		if !c.kind.fetches() {
			t.Concurrency++
			t.MaxConcurrency = max(t.MaxConcurrency, t.Concurrency)
		}
	}
}

func (r *recorder) leave(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range c.tallies {
		t.present--
		if !c.kind.fetches() {
			t.Concurrency--
		}
	}
}

// assign finds where a call is counted. It is called with mu held.
func (r *recorder) assign(c *call) {
	c.tallies = append(c.tallies, r.all)
	if c.corp != "" {
		c.fetcher = tallyOf(r.corps, c.corp)
		c.tallies = append(c.tallies, c.fetcher)
	}
	if c.suite != "" {
		suite := tallyOf(r.suites, c.suite)
		c.tallies = append(c.tallies, suite)
		if c.kind == GetSuiteToken {
			c.fetcher = suite
		}
	}
}

func tallyOf(tallies map[string]*tally, id string) *tally {
	t := tallies[id]
	if t == nil {
		t = newTally()
		tallies[id] = t
	}
	return t
}

// fetched counts a call that is answered with a token.
func (r *recorder) fetched(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.TokenFetches.Good++
	if c.fetcher != nil {
		c.fetcher.TokenFetches.Good++
	}
}

// refused counts a call that is answered with an errcode.
func (r *recorder) refused(c *call, errcode int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range c.tallies {
		t.Errors[errcode]++
	}
	if !c.kind.fetches() {
		return
	}
	r.all.TokenFetches.Refused++
	if c.fetcher != nil {
		c.fetcher.TokenFetches.Refused++
	}
}
