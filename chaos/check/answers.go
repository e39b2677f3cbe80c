package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"consentd/chaos/history"
)

// failures are the classes that end an item.
var failures = []string{"invalid_request", "unknown_corp", "not_found", "out_of_scope", "no_answer", "rejected", "expired"}

// answers gives each terminal event to its item, and looks whether each item has one that fits.
func (c *checker) answers() {
	for _, e := range c.events {
		switch {
		case e.bad != "":
			c.broken(AnswerFits, e.Position(), "an event can't be read: "+e.bad, e.Record)
		case e.terminal():
			c.giveToItem(e)
		case e.body.Type != "consent.changed":
			c.broken(AnswerFits, e.Position(), fmt.Sprintf("an event is of the type %q", e.body.Type), e.Record)
		}
	}
	for _, record := range c.h.Requests {
		r := c.requests[record.Position()]
		for i := range r.items {
			switch it := &r.items[i]; len(it.terminal) {
			case 0:
				c.broken(OneTerminalEvent, r.subject(i), "the item has no terminal event", c.trail(r, nil)...)
			case 1:
				c.fits(r, it, it.terminal[0], i)
			default:
				c.broken(OneTerminalEvent, r.subject(i), fmt.Sprintf("the item has %d terminal events", len(it.terminal)), c.trail(r, it.terminal)...)
			}
		}
	}
}

// giveToItem finds the item by the event's id, topic/partition/offset/index of what was asked.
func (c *checker) giveToItem(e *event) {
	position, text, _ := cutLast(e.id)
	index, err := strconv.Atoi(text)
	r := c.requests[position]
	if r == nil || err != nil {
		c.broken(OnlyCommitted, "ce_id "+e.id, "an event answers a request that is not in the requests topic", e.Record)
		return
	}
	i := slices.IndexFunc(r.items, func(it item) bool { return it.index == index })
	if i < 0 {
		c.broken(OnlyCommitted, "ce_id "+e.id, "an event answers an item that its request does not have", r.record, e.Record)
		return
	}
	r.items[i].terminal = append(r.items[i].terminal, e)
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// fits compares an item with its only event.
func (c *checker) fits(r *request, it *item, e *event, i int) {
	var wrong []string
	want := func(what string, got, want any) {
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", what, got, want))
		}
	}
	b := &e.body
	want("request.id", b.Request.ID, r.id)
	want("request.index", b.Request.Index, it.index)
	want("request.count", b.Request.Count, r.count)
	want("context", compact(b.Context), compact([]byte(r.context)))
	want("ce_subject", e.Headers["ce_subject"], it.conversation)
	switch {
	case r.broken || it.conversation == "":
		want("type", b.Type, "consent.failed")
		want("error.class", b.Error.Class, "invalid_request")
		want("the key", string(e.Key), string(r.record.Key))
	default:
		want("the conversation", b.conversation(), it.conversation)
		want("the key", string(e.Key), it.conversation)
		switch {
		case !c.known(r):
			want("error.class", b.Error.Class, "unknown_corp")
		case b.Type == "consent.failed" && !slices.Contains(failures, b.Error.Class):
			wrong = append(wrong, fmt.Sprintf("error.class is %q, which is no end", b.Error.Class))
		}
	}
	if len(wrong) > 0 {
		c.broken(AnswerFits, r.subject(i), strings.Join(wrong, "; "), r.record, e.Record)
	}
}

// compact is JSON without the space between its tokens.
func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// trail is the way that a request went: its record, those forwarded, parked and given up, and the events.
func (c *checker) trail(r *request, events []*event) []history.Record {
	records := []history.Record{r.record}
	for _, topic := range [][]history.Record{c.h.Forward, c.h.Retry, c.h.DeadLetters} {
		for _, record := range topic {
			if record.Headers["consentd-origin"] == r.record.Position() {
				records = append(records, record)
			}
		}
	}
	for _, e := range events {
		records = append(records, e.Record)
	}
	return records
}
