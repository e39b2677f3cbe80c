package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"consentd/chaos/history"
)

// statusBody is a record of the status topic.
type statusBody struct {
	Consent
	Members []Member `json:"members"`
	Version int      `json:"version"`
}

// status compares the latest record of each key with what the events say, and with the truth.
func (c *checker) status() {
	latest := map[string]*history.Record{}
	bodies := map[string]statusBody{}
	for i := range c.h.Status {
		r := &c.h.Status[i]
		key := string(r.Key)
		corp, _, _ := strings.Cut(key, "/")
		if p := partitionOf(corp, c.h.Partitions[r.Topic]); p != int(r.Partition) {
			c.broken(StatusIsTheEvents, key, fmt.Sprintf("the status is in partition %d, its corp belongs to %d", r.Partition, p), *r)
		}
		var b statusBody
		if err := json.Unmarshal(r.Value, &b); err != nil {
			c.broken(StatusIsTheEvents, key, "the status can't be read: "+err.Error(), *r)
			continue
		}
		if before, ok := bodies[key]; ok && b.Version < before.Version {
			c.broken(StatusIsTheEvents, key, fmt.Sprintf("the status goes back from version %d to %d", before.Version, b.Version), *latest[key], *r)
		}
		latest[key], bodies[key] = r, b
	}
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		c.statusEquals(key, *latest[key], bodies[key])
	}
	for _, key := range slices.Sorted(maps.Keys(c.chain)) {
		if latest[key] == nil {
			c.broken(StatusIsTheEvents, key, "the events tell of a conversation that the status topic does not have", c.chain[key].tail()...)
		}
	}
	c.truth(latest, bodies)
}

func (c *checker) statusEquals(key string, record history.Record, b statusBody) {
	ch := c.chainOf(key)
	var wrong []string
	if b.Version != ch.version {
		wrong = append(wrong, fmt.Sprintf("its version is %d, the last change's %d", b.Version, ch.version))
	}
	if got := b.state(key); got.String() != ch.state.String() {
		wrong = append(wrong, fmt.Sprintf("it says %v, the events %v", got, ch.state))
	}
	if len(wrong) > 0 && !ch.broken {
		c.broken(StatusIsTheEvents, key, strings.Join(wrong, "; "), append(ch.tail(), record)...)
	}
}

func (b *statusBody) state(key string) State {
	if strings.Contains(key, "/room/") {
		return roomState(b.Members)
	}
	return State{"": b.Consent}
}

// tail is the last change.
func (ch *chain) tail() []history.Record {
	if ch.latest == nil {
		return nil
	}
	return []history.Record{ch.latest.Record}
}

// truth looks whether a change was swallowed.
func (c *checker) truth(latest map[string]*history.Record, bodies map[string]statusBody) {
	for _, key := range slices.Sorted(maps.Keys(c.o.Truth)) {
		want := c.o.Truth[key]
		if latest[key] == nil {
			c.broken(StatusIsTheTruth, key, fmt.Sprintf("the API says %v, the status topic has nothing", want))
			continue
		}
		b := bodies[key]
		if got := b.state(key); got.String() != want.String() {
			c.broken(StatusIsTheTruth, key, fmt.Sprintf("the API says %v, the status %v", want, got), append(c.chainOf(key).tail(), *latest[key])...)
		}
	}
}
