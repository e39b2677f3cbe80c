package gather

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"consentd/schemas"
)

const (
	// pairsPerRequest is what one call of the API takes.
	pairsPerRequest = 100
	// maxHeld bounds the pairs that wait for others of their corp: about 100 bytes each.
	maxHeld = 50_000
)

// Request is about conversations of one corp: up to 100 pairs, or a room.
type Request struct {
	CorpID string
	Items  int
	// Value is the request as messages.md has it.
	Value []byte
}

// Gatherer gathers conversations. Not safe for concurrent use.
type Gatherer struct {
	// idPrefix begins the requests' ids, which are numbered; empty: they have none.
	idPrefix string
	made     int
	pairs    map[string][]pair // by corp
	// bySize has the corps that hold so many pairs, so that the fullest is found without a look at every corp.
	bySize [pairsPerRequest + 1]map[string]struct{}
	held   int
}

type pair struct {
	OpenUserID     string `json:"open_userid"`
	ExternalUserID string `json:"external_userid"`
}

// New returns a gatherer whose requests have ids that begin so; empty: they have none.
func New(idPrefix string) *Gatherer {
	g := &Gatherer{idPrefix: idPrefix, pairs: make(map[string][]pair)}
	for n := range g.bySize {
		g.bySize[n] = make(map[string]struct{})
	}
	return g
}

// Add takes a conversation and returns the request that it completes, if it does.
func (g *Gatherer) Add(c schemas.Conversation) (Request, bool) {
	if c.Kind == schemas.Room {
		return g.request(c.CorpID, c.ChatID, nil), true
	}
	n := len(g.pairs[c.CorpID])
	g.pairs[c.CorpID] = append(g.pairs[c.CorpID], pair{c.OpenUserID, c.ExternalUserID})
	delete(g.bySize[n], c.CorpID)
	g.bySize[n+1][c.CorpID] = struct{}{}
	g.held++
	switch {
	case n+1 == pairsPerRequest:
		return g.take(c.CorpID), true
	case g.held > maxHeld:
		return g.take(g.fullest()), true
	}
	return Request{}, false
}

// Flush returns requests of all that is left.
func (g *Gatherer) Flush() []Request {
	var all []Request
	for _, corpID := range slices.Sorted(maps.Keys(g.pairs)) {
		all = append(all, g.take(corpID))
	}
	return all
}

func (g *Gatherer) fullest() string {
	for _, corps := range slices.Backward(g.bySize[:]) {
		for corpID := range corps {
			return corpID
		}
	}
	return ""
}

func (g *Gatherer) take(corpID string) Request {
	pairs := g.pairs[corpID]
	delete(g.pairs, corpID)
	delete(g.bySize[len(pairs)], corpID)
	g.held -= len(pairs)
	return g.request(corpID, "", pairs)
}

func (g *Gatherer) request(corpID, chatID string, pairs []pair) Request {
	v := struct {
		RequestID string       `json:"request_id,omitempty"`
		CorpID    string       `json:"corp_id"`
		Kind      schemas.Kind `json:"kind"`
		ChatID    string       `json:"chatid,omitempty"`
		Items     []pair       `json:"items,omitempty"`
	}{CorpID: corpID, Kind: schemas.Single, ChatID: chatID, Items: pairs}
	if chatID != "" {
		v.Kind = schemas.Room
	}
	if g.idPrefix != "" {
		g.made++
		v.RequestID = fmt.Sprintf("%s-%d", g.idPrefix, g.made)
	}
	value, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("texts are always JSON: %v", err))
	}
	return Request{CorpID: corpID, Items: max(1, len(pairs)), Value: value}
}
