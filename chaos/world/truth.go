package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"consentd/chaos/check"
)

// What is asked for: few conversations, so that many requests meet in each.
const (
	corps         = 10
	pairsPerCorp  = 30
	roomsPerCorp  = 4
	mostMembers   = 5
	firstChangeAt = 1_700_000_000 // unix seconds
)

// Corps are those that the daemons are configured for.
func Corps() []string {
	var all []string
	for i := range corps {
		all = append(all, fmt.Sprintf("ww%d", i+1))
	}
	return all
}

// truth is what the simulated WeCom says of each conversation: it is told here first.
type truth struct {
	sim *simulator
	mu  sync.Mutex
	// state is by conversation key; times of changes go up.
	state map[string]check.State
	clock int64
}

// conversation is one that can be asked for.
type conversation struct {
	corp, open, external, chat string
}

func (c conversation) key() string {
	if c.chat != "" {
		return c.corp + "/room/" + c.chat
	}
	return c.corp + "/single/" + c.open + "/" + c.external
}

// conversations are all pairs of a corp, then its rooms.
func conversations(corp string) (all []conversation) {
	for i := range pairsPerCorp {
		all = append(all, conversation{corp: corp, open: fmt.Sprintf("staff%d", i%3), external: fmt.Sprintf("wm%d", i)})
	}
	for i := range roomsPerCorp {
		all = append(all, conversation{corp: corp, chat: fmt.Sprintf("wr%d", i)})
	}
	return all
}

// status is what the simulator takes.
type statusBody struct {
	Corp   string       `json:"corp_id"`
	Single []singleBody `json:"single,omitempty"`
	Room   []roomBody   `json:"room,omitempty"`
}

type singleBody struct {
	Open     string `json:"open_userid"`
	External string `json:"external_userid"`
	check.Consent
}

type roomBody struct {
	Chat    string         `json:"chatid"`
	Members []check.Member `json:"members"`
}

// newTruth sets every conversation.
func newTruth(ctx context.Context, sim *simulator, r *rand.Rand) (*truth, error) {
	t := &truth{sim: sim, state: map[string]check.State{}, clock: firstChangeAt}
	for _, corp := range Corps() {
		if err := t.change(ctx, r, corp, conversations(corp)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// flip lets some conversations of a corp change.
func (t *truth) flip(ctx context.Context, r *rand.Rand) error {
	corp := Corps()[r.IntN(corps)]
	all := conversations(corp)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return t.change(ctx, r, corp, all[:1+r.IntN(4)])
}

func (t *truth) change(ctx context.Context, r *rand.Rand, corp string, all []conversation) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	body := statusBody{Corp: corp}
	for _, c := range all {
		state := t.next(r, c, t.state[c.key()])
		t.state[c.key()] = state
		if c.chat == "" {
			body.Single = append(body.Single, singleBody{c.open, c.external, state[""]})
			continue
		}
		room := roomBody{Chat: c.chat, Members: []check.Member{}}
		for name, consent := range state {
			room.Members = append(room.Members, check.Member{External: name, Consent: consent})
		}
		body.Room = append(body.Room, room)
	}
	return t.sim.set(ctx, body)
}

func (t *truth) next(r *rand.Rand, c conversation, before check.State) check.State {
	if c.chat == "" {
		return check.State{"": t.consent(r, before[""].Word)}
	}
	// Some stay as they are, some change, some come, some go.
	state := check.State{}
	for i := range mostMembers {
		name := fmt.Sprintf("wm%d", i)
		known, was := before[name]
		switch roll := r.Float64(); {
		case was && roll < 0.5:
			state[name] = known
		case was && roll < 0.75, !was && roll < 0.5:
			state[name] = t.consent(r, known.Word)
		}
	}
	return state
}

// consent is another word than before, mostly Agree or Disagree.
func (t *truth) consent(r *rand.Rand, before string) check.Consent {
	words := slices.DeleteFunc([]string{"Agree", "Agree", "Agree", "Disagree", "Disagree", "Pending"}, func(w string) bool {
		return w == before && r.Float64() < 0.9
	})
	t.clock++
	return check.Consent{Word: words[r.IntN(len(words))], Time: t.clock}
}

// all is a copy of what is true now.
func (t *truth) all() map[string]check.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]check.State, len(t.state))
	for key, state := range t.state {
		all[key] = state // states are replaced, never changed
	}
	return all
}

// flipEvery changes something until ctx ends.
func (t *truth) flipEvery(ctx context.Context, r *rand.Rand, interval time.Duration) error {
	for ctx.Err() == nil {
		if err := t.flip(context.WithoutCancel(ctx), r); err != nil {
			return err
		}
		pause(ctx, interval)
	}
	return nil
}
