package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"consentd/chaos/history"
)

// event is a record of the results topic.
type event struct {
	history.Record
	id   string // ce_id
	body body
	bad  string // what can't be read of it
}

// body has the fields of all three events.
type body struct {
	Type     string `json:"type"`
	Corp     string `json:"corp_id"`
	Kind     string `json:"kind"`
	Open     string `json:"open_userid"`
	External string `json:"external_userid"`
	Chat     string `json:"chatid"`
	Consent
	Members []Member `json:"members"`
	Error   struct {
		Class   string `json:"class"`
		Errcode int    `json:"errcode"`
	} `json:"error"`
	Change   string   `json:"change"`
	Previous *Consent `json:"previous"`
	Current  *Consent `json:"current"`
	Version  int      `json:"version"`
	Request  struct {
		ID    string `json:"id"`
		Index int    `json:"index"`
		Count int    `json:"count"`
	} `json:"request"`
	Context json.RawMessage `json:"context"`
}

// Consent is the API's word of one customer.
type Consent struct {
	Word string `json:"agree_status"`
	Time int64  `json:"status_change_time"`
}

func (c *Consent) String() string {
	if c == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s since %d", c.Word, c.Time)
}

// Member is a customer in a room.
type Member struct {
	External string `json:"external_userid"`
	Consent
}

// State is what is known of a conversation: of a pair one consent, under the empty name, of a room its members'.
type State map[string]Consent

// String is the same for equal states.
func (s State) String() string {
	parts := []string{}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		consent := s[name]
		parts = append(parts, strings.TrimSpace(name+" "+consent.String()))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func roomState(members []Member) State {
	s := State{}
	for _, m := range members {
		s[m.External] = m.Consent
	}
	return s
}

// conversation is the key of what the event is about; empty when its ids don't say.
func (b *body) conversation() string {
	switch {
	case b.Kind == "room" && b.Chat != "":
		return b.Corp + "/room/" + b.Chat
	case b.Kind == "single" && b.Open != "" && b.External != "":
		return b.Corp + "/single/" + b.Open + "/" + b.External
	}
	return ""
}

func (e *event) terminal() bool {
	return e.body.Type == "consent.checked" || e.body.Type == "consent.failed"
}

func (c *checker) readEvents() {
	for _, record := range c.h.Results {
		e := &event{Record: record, id: record.Headers["ce_id"]}
		if err := json.Unmarshal(record.Value, &e.body); err != nil {
			e.bad = err.Error()
		} else if e.body.Type != record.Headers["ce_type"] {
			e.bad = fmt.Sprintf("ce_type is %q", record.Headers["ce_type"])
		}
		c.events = append(c.events, e)
		switch e.body.Type {
		case "consent.checked":
			c.figures.Checked++
		case "consent.failed":
			c.figures.Failed[e.body.Error.Class]++
		case "consent.changed":
			c.figures.Changes[e.body.Change]++
		}
	}
}

// ids finds events that have the same id.
func (c *checker) ids() {
	first := map[string]*event{}
	for _, e := range c.events {
		switch other := first[e.id]; {
		case e.id == "":
			c.broken(UniqueIDs, e.Position(), "an event has no ce_id", e.Record)
		case other != nil:
			c.broken(UniqueIDs, "ce_id "+e.id, "two events have the same ce_id", other.Record, e.Record)
		default:
			first[e.id] = e
		}
	}
}
