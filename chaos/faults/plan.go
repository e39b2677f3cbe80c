package faults

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Options are what a plan is made for.
type Options struct {
	// Duration is how long new faults begin.
	Duration time.Duration
	// Instances and Brokers are how many there are.
	Instances, Brokers int
	// SessionTimeout is for how long an instance may be silent before it loses its partitions.
	SessionTimeout time.Duration
	// Corps are those whose calls may fail.
	Corps []string
}

// Plan makes a plan in the order of time: in a minute two to four faults of each kind.
func Plan(seed uint64, o Options) []Fault {
	var all []Fault
	for i, plan := range []func(*planner) []Fault{(*planner).instances, (*planner).brokers, (*planner).links, (*planner).api, (*planner).apiFaults} {
		all = append(all, plan(&planner{rand.New(rand.NewPCG(seed, uint64(i))), o})...)
	}
	all = slices.DeleteFunc(all, func(f Fault) bool { return f.At >= o.Duration })
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return all
}

type planner struct {
	*rand.Rand
	o Options
}

// between is a random duration.
func (p *planner) between(low, high time.Duration) time.Duration {
	return low + time.Duration(p.Int64N(int64(high-low)+1))
}

// mostly is one of n, or in some cases all of them.
func (p *planner) mostly(n int, all float64) int {
	if p.Float64() < all {
		return All
	}
	return p.IntN(n)
}

// Instances and brokers fail in waves. Whoever joins the group while a dead member still has its place there has all others wait,
// and when the group's broker goes, dead members have their place for another session timeout: were all of this spread evenly,
// hardly any time would be left in which the daemons work. So members lose their places together at the begin of a wave. When
// these are given away a calm follows: in its first half instances restart in good order and brokers fail while everybody is at
// work, in its second half there is nothing but trouble with connections and the API.
const (
	losses = 1500 * time.Millisecond // within which instances are killed and stalled
	calm   = 20 * time.Second        // what is left of a wave after the session timeout
)

func (p *planner) waves(plan func(begin time.Duration) []Fault) []Fault {
	var all []Fault
	for begin := 2 * time.Second; begin < p.o.Duration; begin += p.o.SessionTimeout + calm {
		all = append(all, plan(begin)...)
	}
	return all
}

func (p *planner) instances() []Fault {
	// How many are killed and how many stalled in a wave, by turns.
	turns := [][2]int{{1, 1}, {2, 1}, {1, 2}}
	switch p.o.Instances {
	case 1:
		turns = [][2]int{{1, 0}, {0, 1}}
	case 2:
		turns = [][2]int{{1, 1}}
	}
	turn := p.IntN(len(turns))
	return p.waves(func(begin time.Duration) (all []Fault) {
		kills, stalls := turns[turn%len(turns)][0], turns[turn%len(turns)][1]
		turn++
		for i, instance := range p.Perm(p.o.Instances)[:kills+stalls] {
			f := Fault{At: begin + p.between(0, losses), Kind: InstanceKill, Instance: instance}
			f.Length = p.o.SessionTimeout + p.between(300*time.Millisecond, 1500*time.Millisecond)
			switch {
			case i >= kills:
				f.Kind = InstanceStall
			case p.o.Instances == 1 || p.Float64() < 0.3:
				f.Length = p.between(50*time.Millisecond, 2*time.Second) // back while its old place is still taken
			}
			all = append(all, f)
		}
		at := begin + p.o.SessionTimeout + 2*time.Second
		for range 2 {
			at += p.between(500*time.Millisecond, 3*time.Second)
			all = append(all, Fault{At: at, Kind: InstanceRestart, Instance: p.IntN(p.o.Instances)})
		}
		return all
	})
}

func (p *planner) brokers() []Fault {
	return p.waves(func(begin time.Duration) (all []Fault) {
		kill := func(at time.Duration) {
			all = append(all, Fault{At: at, Kind: BrokerKill, Broker: p.IntN(p.o.Brokers), Length: p.between(0, 3*time.Second)})
		}
		roll := p.Float64()
		if roll < 0.7 {
			kill(begin + p.between(0, 2*losses))
		}
		if roll > 0.3 {
			kill(begin + p.o.SessionTimeout + p.between(3*time.Second, 9*time.Second))
		}
		return all
	})
}

func (p *planner) links() []Fault {
	cut := false
	return p.every(6*time.Second, 9*time.Second, func(at time.Duration) Fault {
		cut = !cut
		f := Fault{At: at, Kind: BrokerSlow, Instance: p.mostly(p.o.Instances, 0.2), Broker: p.mostly(p.o.Brokers, 0.4)}
		if cut {
			f.Kind, f.Length = BrokerCut, p.between(20*time.Millisecond, 3*time.Second)
			return f
		}
		f.Length, f.Toxic = p.between(time.Second, 5*time.Second), p.toxic(20, 600)
		return f
	})
}

func (p *planner) api() []Fault {
	cut := false
	return p.every(6*time.Second, 9*time.Second, func(at time.Duration) Fault {
		cut = !cut
		f := Fault{At: at, Kind: APISlow, Instance: p.mostly(p.o.Instances, 0.4)}
		if cut {
			f.Kind, f.Length = APICut, p.between(20*time.Millisecond, 4*time.Second)
			return f
		}
		f.Length, f.Toxic = p.between(time.Second, 6*time.Second), p.toxic(100, 3000)
		return f
	})
}

// toxic delays what goes over a connection, by a number of ms, or lets through only some kB a second.
func (p *planner) toxic(low, high int) string {
	stream := []string{"upstream", "downstream"}[p.IntN(2)]
	if p.Float64() < 0.3 {
		return fmt.Sprintf(`{"type":"bandwidth","stream":%q,"attributes":{"rate":%d}}`, stream, 2+p.IntN(40))
	}
	ms := low + p.IntN(high-low)
	return fmt.Sprintf(`{"type":"latency","stream":%q,"attributes":{"latency":%d,"jitter":%d}}`, stream, ms, ms/2)
}

// apiWords are what the simulated WeCom does wrong; %s is the corp.
var apiWords = []struct{ path, body string }{
	{"faults", `{"corp_id":%q,"errcode":-1}`},
	{"faults", `{"corp_id":%q,"errcode":6000,"probability":0.5}`},
	{"faults", `{"corp_id":%q,"errcode":45033,"count":3}`},
	{"faults", `{"corp_id":%q,"errcode":40014,"count":2}`},
	{"faults", `{"corp_id":%q,"kind":"single","errcode":301061,"probability":0.3}`},
	{"faults", `{"corp_id":%q,"http_status":500}`},
	{"faults", `{"corp_id":%q,"http_status":502,"body":"<html>bad gateway</html>","probability":0.5}`},
	{"faults", `{"corp_id":%q,"reset_connection":true}`},
	{"faults", `{"corp_id":%q,"close_connection":true,"probability":0.5}`},
	{"faults", `{"corp_id":%q,"hang":true,"count":3}`},
	{"faults", `{"corp_id":%q,"truncate":true,"probability":0.5}`},
	{"faults", `{"corp_id":%q,"delay_ms":1500}`},
	{"faults", `{"corp_id":%q,"kind":"single","shuffle":true,"add":2}`},
	{"faults", `{"corp_id":%q,"kind":"single","drop":1,"count":3}`},
	{"faults", `{"corp_id":%q,"kind":"gettoken","http_status":503}`},
	{"tokens/revoke", `{"corp_id":%q}`},
	{"tokens/expire", `{"corp_id":%q}`},
}

// rateLimited holds up a kind of a corp's calls for a minute, so there are few of it and only where that minute fits.
const rateLimited = `{"corp_id":%q,"errcode":45009,"count":1}`

func (p *planner) apiFaults() []Fault {
	order := p.Perm(len(apiWords))
	n := 0
	return p.every(5*time.Second, 9*time.Second, func(at time.Duration) Fault {
		word := apiWords[order[n%len(order)]]
		n++
		if n%6 == 0 && at < p.o.Duration-45*time.Second {
			word.path, word.body = "faults", rateLimited
		}
		return Fault{
			At: at, Kind: APIFault, Length: p.between(time.Second, 5*time.Second),
			Path: word.path, Body: fmt.Sprintf(word.body, p.o.Corps[p.IntN(len(p.o.Corps))]),
		}
	})
}

// every makes faults one after the other, so far apart.
func (p *planner) every(low, high time.Duration, next func(at time.Duration) Fault) []Fault {
	var all []Fault
	for at := p.between(low/2, high/2); at < p.o.Duration; at += p.between(low, high) {
		all = append(all, next(at))
	}
	return all
}
