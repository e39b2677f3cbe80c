package check

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/chaos/history"
)

// chain is what the events of a conversation say.
type chain struct {
	state   State
	last    map[string]*event // the last change, by member
	latest  *event            // the last change of all
	version int
	told    map[string]bool // every state there was
	// Told of already: what follows from it is not.
	broken, doubted bool
}

// chains follows the changes of each conversation through its partition.
func (c *checker) chains() {
	c.chain = map[string]*chain{}
	for _, e := range c.events {
		if e.bad != "" {
			continue
		}
		key := e.body.conversation()
		switch e.body.Type {
		case "consent.changed":
			c.change(key, e)
		case "consent.checked":
			c.answerIsKnown(key, e)
		}
	}
	c.figures.Conversations = len(c.chain)
}

func (c *checker) chainOf(key string) *chain {
	ch := c.chain[key]
	if ch == nil {
		ch = &chain{state: State{}, last: map[string]*event{}, told: map[string]bool{}}
		if strings.Contains(key, "/room/") {
			ch.told[ch.state.String()] = true // nobody may be there
		}
		c.chain[key] = ch
	}
	return ch
}

func (c *checker) change(key string, e *event) {
	ch := c.chainOf(key)
	b := &e.body
	member := ""
	if b.Kind == "room" {
		member = b.External
	}
	known, wasKnown := ch.state[member]
	var before *Consent
	if wasKnown {
		before = &known
	}

	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if b.Version != ch.version+1 {
		add("version %d comes after %d", b.Version, ch.version)
	}
	if !same(b.Previous, before) {
		add("previous is %v, the last current was %v", b.Previous, before)
	}
	if !kindFits(b, ch.latest) {
		add("from %v to %v is no %q", b.Previous, b.Current, b.Change)
	}
	if string(e.Key) != key || e.Headers["ce_subject"] != key {
		add("the key is %q and ce_subject %q, want %q", e.Key, e.Headers["ce_subject"], key)
	}
	if p := partitionOf(key, c.h.Partitions[e.Topic]); p != int(e.Partition) {
		add("it is in partition %d, its key belongs to %d", e.Partition, p)
	}
	if len(wrong) > 0 && !ch.broken {
		ch.broken = true
		c.broken(ChainOfChanges, key, strings.Join(wrong, "; "), ch.around(member, e)...)
	}
	if !c.asked(key, e) {
		c.broken(OnlyCommitted, key, "a change names a request that did not ask for this conversation", e.Record)
	}

	// What follows is measured by what was said last.
	ch.version, ch.latest, ch.last[member] = b.Version, e, e
	if b.Current == nil {
		delete(ch.state, member)
	} else {
		ch.state[member] = *b.Current
	}
	ch.told[ch.state.String()] = true
}

// around is the part of the chain that shows what is wrong with its next event.
func (ch *chain) around(member string, e *event) []history.Record {
	var records []history.Record
	if ch.latest != nil {
		records = append(records, ch.latest.Record)
	}
	if last := ch.last[member]; last != nil {
		records = append(records, last.Record)
	}
	return append(records, e.Record)
}

func same(a, b *Consent) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// kindFits says whether the change's name is that of what changed; latest is the change before it in the conversation.
func kindFits(b *body, latest *event) bool {
	switch {
	case b.Previous == nil && b.Current == nil:
		return false
	case b.Previous == nil && b.Kind == "room":
		// A room may have been known with nobody in it.
		return b.Change == "joined" || b.Change == "first_seen" && (latest == nil || latest.body.Change == "first_seen")
	case b.Previous == nil:
		return b.Change == "first_seen"
	case b.Current == nil:
		return b.Change == "left" && b.Kind == "room"
	case b.Previous.Word == b.Current.Word:
		return b.Change == "updated" && b.Previous.Time != b.Current.Time
	case b.Current.Word == "Agree":
		return b.Change == "granted"
	case b.Previous.Word == "Agree":
		return b.Change == "withdrawn"
	}
	return b.Change == "updated"
}

// asked says whether the request that a change names has the conversation where the change says.
func (c *checker) asked(key string, e *event) bool {
	for _, r := range c.byID[e.body.Request.ID] {
		for _, it := range r.items {
			if it.index == e.body.Request.Index && it.conversation == key && r.count == e.body.Request.Count {
				return true
			}
		}
	}
	return false
}

// answerIsKnown says whether an answer is a state that the changes before it have told of.
func (c *checker) answerIsKnown(key string, e *event) {
	state := State{"": e.body.Consent}
	if e.body.Kind == "room" {
		state = roomState(e.body.Members)
	}
	ch := c.chainOf(key)
	if ch.told[state.String()] || ch.broken || ch.doubted {
		return
	}
	ch.doubted = true
	records := []history.Record{e.Record}
	if ch.latest != nil {
		records = append(records, ch.latest.Record)
	}
	c.broken(AnswerKnown, key, fmt.Sprintf("the answer says %v, which no change before it does", state), records...)
}

// partitionOf is where Java's default partitioner puts a key.
func partitionOf(key string, partitions int) int {
	if partitions == 0 {
		return -1
	}
	return kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, partitions)
}
