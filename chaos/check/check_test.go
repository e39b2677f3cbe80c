package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"consentd/chaos/history"
)

// story is a history in the making, with one partition a topic.
type story struct {
	*history.History
	clock time.Time
}

func (s *story) add(topic string, list *[]history.Record, key, value string, headers ...string) *history.Record {
	s.clock = s.clock.Add(time.Second)
	r := history.Record{
		Topic: topic, Offset: int64(len(*list)), Time: s.clock, Key: []byte(key), Value: []byte(value), Headers: map[string]string{},
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers[headers[i]] = headers[i+1]
	}
	*list = append(*list, r)
	return &(*list)[len(*list)-1]
}

func (s *story) request(value string, headers ...string) {
	s.add("requests", &s.Requests, "k", value, headers...)
}

// event adds an event; about is the key and ce_subject, and the key alone where it is not a conversation's.
func (s *story) event(id, kind, about, fields string) {
	subject := about
	if !strings.Contains(about, "/") {
		subject = ""
	}
	value := fmt.Sprintf(`{"type":%q,%s}`, kind, fields)
	s.add("results", &s.Results, about, value, "ce_id", id, "ce_type", kind, "ce_subject", subject)
}

func (s *story) status(key, value string) { s.add("status", &s.Status, key, value) }

const (
	ann  = `"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"ann"`
	bob  = `"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"bob"`
	room = `"corp_id":"ww1","kind":"room","chatid":"wr1"`
)

// goodStory is one in which every promise was kept: two pairs asked for at once, one of them again after it had changed; a room
// whose members change; a request that can't be understood, and an item.
func goodStory() *story {
	s := &story{clock: time.Unix(1_800_000_000, 0), History: &history.History{
		Partitions: map[string]int{"requests": 1, "results": 1, "status": 1},
		Commits:    []history.Commit{{Topic: "requests", Offset: 7, End: 8}},
	}}
	s.request(`{"request_id":"r-0","corp_id":"ww1","kind":"single","items":[{"open_userid":"a","external_userid":"ann"},{"open_userid":"a","external_userid":"bob"}],"context":{"n": 1}}`)
	s.event("c-0", "consent.changed", "ww1/single/a/ann", ann+`,"change":"first_seen","previous":null,"current":{"agree_status":"Agree","status_change_time":5},"version":1,"request":{"id":"r-0","index":0,"count":2}`)
	s.event("c-1", "consent.changed", "ww1/single/a/bob", bob+`,"change":"first_seen","previous":null,"current":{"agree_status":"Agree","status_change_time":6},"version":1,"request":{"id":"r-0","index":1,"count":2}`)
	s.event("requests/0/0/0", "consent.checked", "ww1/single/a/ann", ann+`,"agree_status":"Agree","status_change_time":5,"request":{"id":"r-0","index":0,"count":2},"context":{"n":1}`)
	s.event("requests/0/0/1", "consent.checked", "ww1/single/a/bob", bob+`,"agree_status":"Agree","status_change_time":6,"request":{"id":"r-0","index":1,"count":2},"context":{"n":1}`)

	s.request(`{"request_id":"r-1","corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"ann"}`)
	s.event("c-2", "consent.changed", "ww1/single/a/ann", ann+`,"change":"withdrawn","previous":{"agree_status":"Agree","status_change_time":5},"current":{"agree_status":"Disagree","status_change_time":9},"version":2,"request":{"id":"r-1","index":0,"count":1}`)
	s.event("requests/0/1/0", "consent.checked", "ww1/single/a/ann", ann+`,"agree_status":"Disagree","status_change_time":9,"request":{"id":"r-1","index":0,"count":1}`)

	s.request(`{"corp_id":"ww1","kind":"room","chatid":"wr1"}`)
	s.event("requests/0/2/0", "consent.checked", "ww1/room/wr1", room+`,"members":[],"request":{"id":"requests/0/2","index":0,"count":1}`)
	s.request(`{"request_id":"r-3","corp_id":"ww1","kind":"room","chatid":"wr1"}`)
	s.event("c-3", "consent.changed", "ww1/room/wr1", room+`,"external_userid":"ann","change":"joined","previous":null,"current":{"agree_status":"Agree","status_change_time":3},"version":1,"request":{"id":"r-3","index":0,"count":1}`)
	s.event("requests/0/3/0", "consent.checked", "ww1/room/wr1", room+`,"members":[{"external_userid":"ann","agree_status":"Agree","status_change_time":3}],"request":{"id":"r-3","index":0,"count":1}`)

	s.request(`no JSON`)
	s.event("requests/0/4/0", "consent.failed", "k", `"error":{"class":"invalid_request"},"request":{"id":"requests/0/4","index":0,"count":1}`)
	s.add("dead-letters", &s.DeadLetters, "k", "no JSON", "consentd-origin", "requests/0/4", "consentd-error-class", "invalid_request")
	s.request(`{"request_id":"r-5","corp_id":"ww1","kind":"single","items":[{"open_userid":"a","external_userid":"?"},{"open_userid":"a","external_userid":"bob"}]}`,
		"consentd-item-indexes", "3,17", "consentd-item-count", "20")
	s.event("requests/0/5/17", "consent.checked", "ww1/single/a/bob", bob+`,"agree_status":"Agree","status_change_time":6,"request":{"id":"r-5","index":17,"count":20}`)
	s.event("requests/0/5/3", "consent.failed", "k", `"corp_id":"ww1","kind":"single","error":{"class":"invalid_request"},"request":{"id":"r-5","index":3,"count":20}`)
	s.add("dead-letters", &s.DeadLetters, "k", "", "consentd-origin", "requests/0/5", "consentd-error-class", "invalid_request", "consentd-item-indexes", "3")
	s.request(`{"request_id":"r-6","corp_id":"ww-other","kind":"room","chatid":"wr1"}`)
	s.event("requests/0/6/0", "consent.failed", "ww-other/room/wr1", `"corp_id":"ww-other","kind":"room","chatid":"wr1","error":{"class":"unknown_corp"},"request":{"id":"r-6","index":0,"count":1}`)
	s.add("dead-letters", &s.DeadLetters, "k", "", "consentd-origin", "requests/0/6", "consentd-error-class", "unknown_corp")

	s.status("ww1/single/a/bob", `{"agree_status":"Agree","status_change_time":6,"version":1}`)
	s.status("ww1/single/a/ann", `{"agree_status":"Agree","status_change_time":5,"version":1}`)
	s.status("ww1/single/a/ann", `{"agree_status":"Disagree","status_change_time":9,"version":2}`)
	s.status("ww1/room/wr1", `{"members":[],"version":0}`)
	s.status("ww1/room/wr1", `{"members":[{"external_userid":"ann","agree_status":"Agree","status_change_time":3}],"version":1}`)
	return s
}

func goodOptions() Options {
	return Options{Corps: []string{"ww1"}, Truth: map[string]State{
		"ww1/single/a/ann": {"": {Word: "Disagree", Time: 9}},
		"ww1/single/a/bob": {"": {Word: "Agree", Time: 6}},
		"ww1/room/wr1":     {"ann": {Word: "Agree", Time: 3}},
	}}
}

func TestCheck_FindsNothingInAGoodHistory(t *testing.T) {
	t.Parallel()
	violations, figures := Check(goodStory().History, goodOptions())
	for _, v := range violations {
		t.Errorf("%s: %s: %s", v.Promise, v.Subject, v.What)
	}
	if figures.Requests != 7 || figures.Items != 9 || figures.Checked != 6 || figures.Failed["invalid_request"] != 2 ||
		figures.Changes["withdrawn"] != 1 || figures.Conversations != 3 || figures.Events != 13 {
		t.Errorf("the figures are %+v", figures)
	}
}

// byID finds an event.
func (s *story) byID(id string) *history.Record {
	return &s.Results[slices.IndexFunc(s.Results, func(r history.Record) bool { return r.Headers["ce_id"] == id })]
}

func (s *story) drop(id string) {
	s.Results = slices.DeleteFunc(s.Results, func(r history.Record) bool { return r.Headers["ce_id"] == id })
}

func (s *story) edit(r *history.Record, old, with string) {
	text := strings.Replace(string(r.Value), old, with, 1)
	if text == string(r.Value) {
		panic("nothing to edit: " + old)
	}
	r.Value = []byte(text)
}

func TestCheck_FindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		plant   func(s *story, o *Options)
		promise string
		what    string   // a part of it
		shown   []string // positions of its records
	}{
		{
			"a lost item", func(s *story, _ *Options) { s.drop("requests/0/0/1") },
			OneTerminalEvent, "no terminal event",
			[]string{"requests/0/0"},
		},
		{"a lost item that was forwarded and parked", func(s *story, _ *Options) {
			s.drop("requests/0/1/0")
			s.add("forward", &s.Forward, "ww1", "", "consentd-origin", "requests/0/1")
			s.add("retry", &s.Retry, "ww1", "", "consentd-origin", "requests/0/1")
		}, OneTerminalEvent, "no terminal event", []string{"requests/0/1", "forward/0/0", "retry/0/0"}},
		{"two terminal events", func(s *story, _ *Options) {
			s.Results = append(s.Results, *s.byID("requests/0/1/0"))
			s.Results[len(s.Results)-1].Offset = 99
		}, OneTerminalEvent, "2 terminal events", []string{"requests/0/1", "results/0/5", "results/0/99"}},
		{"a repeated event", func(s *story, _ *Options) {
			s.Results = append(s.Results, *s.byID("requests/0/1/0"))
			s.Results[len(s.Results)-1].Offset = 99
		}, UniqueIDs, "same ce_id", []string{"results/0/5", "results/0/99"}},
		{
			"an event without an id", func(s *story, _ *Options) { s.byID("c-0").Headers["ce_id"] = "" },
			UniqueIDs, "no ce_id",
			[]string{"results/0/0"},
		},
		{
			"an answer to another request", func(s *story, _ *Options) { s.edit(s.byID("requests/0/1/0"), `"r-1"`, `"r-0"`) },
			AnswerFits, "request.id is r-0, want r-1",
			[]string{"requests/0/1", "results/0/5"},
		},
		{"an answer about another pair", func(s *story, _ *Options) {
			e := s.byID("requests/0/0/1")
			s.edit(e, `"bob"`, `"ann"`)
			s.edit(e, `:6`, `:5`)
		}, AnswerFits, "want ww1/single/a/bob", []string{"requests/0/0", "results/0/3"}},
		{
			"a wrong index", func(s *story, _ *Options) { s.edit(s.byID("requests/0/5/17"), `"index":17`, `"index":1`) },
			AnswerFits, "request.index is 1, want 17", nil,
		},
		{
			"a wrong count", func(s *story, _ *Options) { s.edit(s.byID("requests/0/5/17"), `"count":20`, `"count":2`) },
			AnswerFits, "request.count is 2, want 20", nil,
		},
		{
			"another context", func(s *story, _ *Options) { s.edit(s.byID("requests/0/0/1"), `{"n":1}`, `{"n":2}`) },
			AnswerFits, "context is", nil,
		},
		{"a context of nowhere", func(s *story, _ *Options) {
			s.edit(s.byID("requests/0/1/0"), `"request"`, `"context":{},"request"`)
		}, AnswerFits, "context is", nil},
		{
			"another key", func(s *story, _ *Options) { s.byID("requests/0/0/1").Key = []byte("ww1") },
			AnswerFits, "the key is ww1", nil,
		},
		{"an answer where a failure belongs", func(s *story, _ *Options) {
			e := s.byID("requests/0/4/0")
			s.edit(e, "consent.failed", "consent.checked")
			e.Headers["ce_type"] = "consent.checked"
		}, AnswerFits, "type is consent.checked", nil},
		{"a failure that is no end", func(s *story, _ *Options) {
			e := s.byID("requests/0/1/0")
			s.edit(e, `"consent.checked"`, `"consent.failed","error":{"class":"transient"}`)
			e.Headers["ce_type"] = "consent.failed"
		}, AnswerFits, `"transient", which is no end`, nil},
		{
			"an unreadable event", func(s *story, _ *Options) { s.byID("c-0").Value = []byte("{") },
			AnswerFits, "can't be read",
			[]string{"results/0/0"},
		},
		{
			"another type in the headers", func(s *story, _ *Options) { s.byID("c-0").Headers["ce_type"] = "consent.checked" },
			AnswerFits, `ce_type is "consent.checked"`, nil,
		},
		{"an answer to an aborted request", func(s *story, _ *Options) {
			s.event("requests/0/77/0", "consent.checked", "ww1/single/a/ann", ann+`,"agree_status":"Agree","status_change_time":5,"request":{"id":"aborted","index":0,"count":1}`)
		}, OnlyCommitted, "not in the requests topic", []string{"results/0/13"}},
		{
			"an answer to an item that was not asked for", func(s *story, _ *Options) { s.byID("requests/0/5/3").Headers["ce_id"] = "requests/0/5/4" },
			OnlyCommitted, "does not have",
			[]string{"requests/0/5", "results/0/11"},
		},
		{
			"a change by an aborted request", func(s *story, _ *Options) { s.edit(s.byID("c-2"), `"r-1"`, `"aborted"`) },
			OnlyCommitted, "did not ask",
			[]string{"results/0/4"},
		},
		{
			"a gap in the versions", func(s *story, _ *Options) { s.edit(s.byID("c-2"), `"version":2`, `"version":3`) },
			ChainOfChanges, "version 3 comes after 1",
			[]string{"results/0/0", "results/0/4"},
		},
		{
			"a repeated version", func(s *story, _ *Options) { s.edit(s.byID("c-2"), `"version":2`, `"version":1`) },
			ChainOfChanges, "version 1 comes after 1",
			[]string{"results/0/0", "results/0/4"},
		},
		{
			"a lost change", func(s *story, _ *Options) { s.drop("c-0") },
			ChainOfChanges, "version 2 comes after 0",
			[]string{"results/0/4"},
		},
		{
			"a wrong previous", func(s *story, _ *Options) { s.edit(s.byID("c-2"), `"status_change_time":5`, `"status_change_time":4`) },
			ChainOfChanges, "previous is Agree since 4, the last current was Agree since 5",
			[]string{"results/0/0", "results/0/4"},
		},
		{"no previous", func(s *story, _ *Options) {
			s.edit(s.byID("c-2"), `{"agree_status":"Agree","status_change_time":5}`, `null`)
		}, ChainOfChanges, "previous is nothing", nil},
		{
			"the wrong name of a change", func(s *story, _ *Options) { s.edit(s.byID("c-2"), "withdrawn", "granted") },
			ChainOfChanges, `is no "granted"`, nil,
		},
		{
			"a change in another partition", func(s *story, _ *Options) { s.byID("c-2").Partition = 1 },
			ChainOfChanges, "its key belongs to 0", nil,
		},
		{"an answer before its change", func(s *story, _ *Options) {
			at := slices.IndexFunc(s.Results, func(r history.Record) bool { return r.Headers["ce_id"] == "c-2" })
			s.Results[at], s.Results[at+1] = s.Results[at+1], s.Results[at]
		}, AnswerKnown, "[Disagree since 9]", nil},
		{
			"an answer that nobody gave", func(s *story, _ *Options) { s.edit(s.byID("requests/0/3/0"), ":3", ":4") },
			AnswerKnown, "[ann Agree since 4]", nil,
		},
		{
			"a status of another version", func(s *story, _ *Options) { s.edit(&s.Status[2], `"version":2`, `"version":1`) },
			StatusIsTheEvents, "version is 1, the last change's 2",
			[]string{"results/0/4", "status/0/2"},
		},
		{
			"a status that goes back", func(s *story, _ *Options) { s.Status[1], s.Status[2] = s.Status[2], s.Status[1] },
			StatusIsTheEvents, "goes back from version 2 to 1", nil,
		},
		{
			"another status", func(s *story, _ *Options) { s.edit(&s.Status[2], "Disagree", "Agree") },
			StatusIsTheEvents, "it says [Agree since 9], the events [Disagree since 9]",
			[]string{"results/0/4", "status/0/2"},
		},
		{"a status without events", func(s *story, _ *Options) {
			s.status("ww1/single/a/cid", `{"agree_status":"Agree","version":1}`)
		}, StatusIsTheEvents, "the last change's 0", []string{"status/0/5"}},
		{
			"no status", func(s *story, _ *Options) { s.Status = s.Status[1:] },
			StatusIsTheEvents, "does not have",
			[]string{"results/0/1"},
		},
		{
			"a status that can't be read", func(s *story, _ *Options) { s.Status[0].Value = nil },
			StatusIsTheEvents, "can't be read",
			[]string{"status/0/0"},
		},
		{
			"a status in another partition", func(s *story, _ *Options) { s.Status[0].Partition = 3 },
			StatusIsTheEvents, "its corp belongs to 0", nil,
		},
		{
			"a swallowed change", func(_ *story, o *Options) { o.Truth["ww1/single/a/ann"] = State{"": {Word: "Agree", Time: 10}} },
			StatusIsTheTruth, "the API says [Agree since 10]",
			[]string{"results/0/4", "status/0/2"},
		},
		{
			"a conversation that was never told of", func(_ *story, o *Options) { o.Truth["ww1/single/a/cid"] = State{} },
			StatusIsTheTruth, "has nothing", nil,
		},
		{"an offset that was not committed", func(s *story, _ *Options) {
			s.Commits[0].Offset, s.Commits[0].Beyond = 6, s.Requests[6:]
		}, OffsetsCommitted, "committed is 6, and 1 records", []string{"requests/0/6"}},
		{
			"an offset beyond the end", func(s *story, _ *Options) { s.Commits[0].Offset = 9 },
			OffsetsCommitted, "beyond the end", nil,
		},
		{
			"an open transaction", func(s *story, _ *Options) { s.Commits[0].Open = true },
			OffsetsCommitted, "a transaction is open", nil,
		},
		{
			"no dead letter", func(s *story, _ *Options) { s.DeadLetters = s.DeadLetters[1:] },
			DeadLetters, "0 dead letters",
			[]string{"results/0/9"},
		},
		{"a dead letter too many", func(s *story, _ *Options) {
			s.add("dead-letters", &s.DeadLetters, "", "", "consentd-origin", "requests/0/1", "consentd-error-class", "rejected", "consentd-errcode", "40058")
		}, DeadLetters, "0 items failed so", []string{"dead-letters/0/3"}},
		{
			"a dead letter for other items", func(s *story, _ *Options) { s.DeadLetters[1].Headers["consentd-item-indexes"] = "17" },
			DeadLetters, `for the items "17", failed have "3"`, nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, o := goodStory(), goodOptions()
			tc.plant(s, &o)
			violations, _ := Check(s.History, o)
			for _, v := range violations {
				if v.Promise != tc.promise || !strings.Contains(v.What, tc.what) {
					continue
				}
				var shown []string
				for _, r := range v.Records {
					shown = append(shown, r.Position())
				}
				if tc.shown != nil && !slices.Equal(shown, tc.shown) {
					t.Errorf("it shows %q, want %q", shown, tc.shown)
				}
				return
			}
			t.Errorf("not found; broken are %q", promises(violations))
		})
	}
}

func TestCheck_TellsOnceOfEachConversation(t *testing.T) {
	t.Parallel()
	s, o := goodStory(), goodOptions()
	s.drop("c-0") // every answer and every change that follows is wrong
	violations, _ := Check(s.History, o)
	if got := promises(violations); !slices.Equal(got, []string{ChainOfChanges, AnswerKnown}) && !slices.Equal(got, []string{AnswerKnown, ChainOfChanges}) {
		t.Errorf("broken are %q", got)
	}
}

func promises(violations []Violation) (all []string) {
	for _, v := range violations {
		all = append(all, v.Promise)
	}
	return all
}
