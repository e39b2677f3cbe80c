package schemas_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
)

// eventJSON has the fields of all events, as a consumer in another program would declare them.
type eventJSON struct {
	Type             string            `json:"type"`
	CorpID           string            `json:"corp_id"`
	Kind             schemas.Kind      `json:"kind"`
	OpenUserID       string            `json:"open_userid"`
	ExternalUserID   string            `json:"external_userid"`
	ChatID           string            `json:"chatid"`
	AgreeStatus      string            `json:"agree_status"`
	StatusChangeTime int64             `json:"status_change_time"`
	Members          *[]schemas.Member `json:"members"`
	Consented        bool              `json:"consented"`
	Source           schemas.Source    `json:"source"`
	CheckedAt        time.Time         `json:"checked_at"`
	Error            *struct {
		Class    schemas.Class `json:"class"`
		Errcode  int           `json:"errcode"`
		Message  string        `json:"message"`
		Attempts int           `json:"attempts"`
	} `json:"error"`
	FailedAt   time.Time           `json:"failed_at"`
	Change     schemas.Change      `json:"change"`
	Previous   *schemas.Consent    `json:"previous"`
	Current    *schemas.Consent    `json:"current"`
	Version    int64               `json:"version"`
	ObservedAt time.Time           `json:"observed_at"`
	Request    *schemas.RequestRef `json:"request"`
	Context    json.RawMessage     `json:"context"`
}

func (e *eventJSON) conversation() schemas.Conversation {
	return schemas.Conversation{CorpID: e.CorpID, Kind: e.Kind, OpenUserID: e.OpenUserID, ExternalUserID: e.ExternalUserID, ChatID: e.ChatID}
}

// decodeEvent checks an event by its own schema and by that of all events, and reads it.
func decodeEvent(t *rapid.T, own, any schema, text []byte) eventJSON {
	for _, s := range []schema{own, any} {
		if err := s.validate(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	var e eventJSON
	if err := decodeStrictly(text, &e); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// readable is what is left of s in a message: bytes that are no UTF-8 become U+FFFD.
func readable(s string) string { return string([]rune(s)) }

func readableConsent(c *schemas.Consent) *schemas.Consent {
	if c == nil {
		return nil
	}
	return &schemas.Consent{AgreeStatus: readable(c.AgreeStatus), StatusChangeTime: c.StatusChangeTime}
}

func readableMembers(members []schemas.Member) []schemas.Member {
	readables := make([]schemas.Member, 0, len(members))
	for _, m := range members {
		readables = append(readables, schemas.Member{ExternalUserID: readable(m.ExternalUserID), Consent: *readableConsent(&m.Consent)})
	}
	return readables
}

func checkEnvelope(t *rapid.T, e *eventJSON, env *schemas.Envelope) {
	if *e.Request != env.Request || string(e.Context) != env.Context {
		t.Fatalf("request %+v context %q, want %+v %q", *e.Request, e.Context, env.Request, env.Context)
	}
}

func TestAppendChecked_IsValidBySchemaAndReadsBack(t *testing.T) {
	t.Parallel()
	own, all := loadSchema(t, "checked"), loadSchema(t, "event")
	rapid.Check(t, func(t *rapid.T) {
		c := genConversation.Draw(t, "conversation")
		a := genAnswer(c.Kind).Draw(t, "answer")
		source := rapid.SampledFrom([]schemas.Source{schemas.SourceAPI, schemas.SourceStatus}).Draw(t, "source")
		env := genEnvelope.Draw(t, "envelope")
		e := decodeEvent(t, own, all, schemas.AppendChecked(nil, c, &a, source, &env))
		checkEnvelope(t, &e, &env)
		if e.Type != schemas.TypeChecked || e.conversation() != c || e.Source != source || !e.CheckedAt.Equal(a.CheckedAt) {
			t.Fatalf("got %+v", e)
		}
		consented := a.AgreeStatus == "Agree"
		if c.Kind == schemas.Room {
			consented = len(a.Members) > 0 && !slices.ContainsFunc(a.Members, func(m schemas.Member) bool { return m.AgreeStatus != "Agree" })
			if want := readableMembers(a.Members); e.Members == nil || !slices.Equal(*e.Members, want) {
				t.Fatalf("members %+v, want %+v", e.Members, want)
			}
		} else if e.AgreeStatus != readable(a.AgreeStatus) || e.StatusChangeTime != a.StatusChangeTime {
			t.Fatalf("got %+v", e)
		}
		if e.Consented != consented {
			t.Fatalf("consented is %v", e.Consented)
		}
	})
}

func TestAppendFailed_IsValidBySchemaAndReadsBack(t *testing.T) {
	t.Parallel()
	own, all := loadSchema(t, "failed"), loadSchema(t, "event")
	rapid.Check(t, func(t *rapid.T) {
		c := genConversation.Draw(t, "conversation")
		switch rapid.IntRange(0, 2).Draw(t, "known") {
		case 0: // the request can't be decoded
			c = schemas.Conversation{}
		case 1: // ids of an invalid item
			c.OpenUserID, c.ExternalUserID = genText.Draw(t, "bad open_userid"), ""
			if c.Kind == schemas.Room {
				c.OpenUserID = ""
			}
			c = c.ValidIDs()
		}
		f := schemas.Failure{
			Class:    rapid.SampledFrom(schemas.Classes()).Draw(t, "class"),
			Errcode:  rapid.IntRange(-1, 1e6).Draw(t, "errcode"),
			Message:  genText.Draw(t, "message"),
			Attempts: rapid.IntRange(0, 100).Draw(t, "attempts"),
		}
		at, env := genTime.Draw(t, "at"), genEnvelope.Draw(t, "envelope")
		e := decodeEvent(t, own, all, schemas.AppendFailed(nil, c, &f, at, &env))
		checkEnvelope(t, &e, &env)
		got := schemas.Failure{Class: e.Error.Class, Errcode: e.Error.Errcode, Message: e.Error.Message, Attempts: e.Error.Attempts}
		f.Message = readable(f.Message)
		if e.Type != schemas.TypeFailed || e.conversation() != c || got != f || !e.FailedAt.Equal(at) {
			t.Fatalf("got %+v", e)
		}
	})
}

func TestAppendChanged_IsValidBySchemaAndReadsBack(t *testing.T) {
	t.Parallel()
	own, all := loadSchema(t, "changed"), loadSchema(t, "event")
	rapid.Check(t, func(t *rapid.T) {
		c := genConversation.Draw(t, "conversation")
		tr := genTransition(c.Kind).Draw(t, "transition")
		at, env := genTime.Draw(t, "at"), genEnvelope.Draw(t, "envelope")
		e := decodeEvent(t, own, all, schemas.AppendChanged(nil, c, &tr, at, &env))
		checkEnvelope(t, &e, &env)
		if c.Kind == schemas.Room {
			c.ExternalUserID = tr.ExternalUserID
		}
		if e.Type != schemas.TypeChanged || e.conversation() != c || e.Change != tr.Change || e.Version != tr.Version ||
			!e.ObservedAt.Equal(at) ||
			!reflect.DeepEqual(e.Previous, readableConsent(tr.Previous)) || !reflect.DeepEqual(e.Current, readableConsent(tr.Current)) {
			t.Fatalf("got %+v", e)
		}
	})
}

// TestEvents_AreByteForByteTheContractsExamples also says which file each example of the contract is in.
func TestEvents_AreByteForByteTheContractsExamples(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 1, 2, 3, 456_000_000, time.UTC)
	pair := schemas.Conversation{CorpID: "ww1", Kind: schemas.Single, OpenUserID: "a", ExternalUserID: "wm1"}
	other := pair
	other.ExternalUserID = "wm2"
	room := schemas.Conversation{CorpID: "ww1", Kind: schemas.Room, ChatID: "wr1"}
	agreed := schemas.Consent{AgreeStatus: "Agree", StatusChangeTime: 1562766651}
	withdrawn := schemas.Consent{AgreeStatus: "Disagree", StatusChangeTime: 1562800000}
	first := schemas.Envelope{Request: schemas.RequestRef{ID: "r-2", Count: 2}}
	second := schemas.Envelope{Request: schemas.RequestRef{ID: "r-2", Index: 1, Count: 2}}
	third := schemas.Envelope{Request: schemas.RequestRef{ID: "r-3", Count: 1}}
	ofPair := schemas.Answer{Consent: agreed, CheckedAt: at}
	ofRoom := schemas.Answer{Members: []schemas.Member{{ExternalUserID: "wm1", Consent: agreed}}, CheckedAt: at}
	notFound := schemas.Failure{Class: schemas.NotFound, Errcode: 301061, Message: "no such user or customer", Attempts: 1}
	withContext := first
	withContext.Context = `{"msgid":"77"}`
	for file, got := range map[string][]byte{
		"checked-pair": schemas.AppendChecked(nil, pair, &ofPair, schemas.SourceAPI, &withContext),
		"checked-room": schemas.AppendChecked(nil, room, &ofRoom, schemas.SourceAPI, &third),
		"failed-item":  schemas.AppendFailed(nil, other, &notFound, at, &second),
		"changed-pair": schemas.AppendChanged(nil, pair, &schemas.Transition{
			Change: schemas.Withdrawn, Previous: &agreed, Current: &withdrawn, Version: 4,
		}, at, &first),
		"status-pair": schemas.AppendStatus(nil, schemas.Single, &schemas.Status{Answer: ofPair, Version: 4}),
		"status-room": schemas.AppendStatus(nil, schemas.Room, &schemas.Status{Answer: ofRoom, Version: 2}),
	} {
		var want bytes.Buffer
		if err := json.Compact(&want, readExample(t, file)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s:\n got %s\nwant %s", file, got, want.Bytes())
		}
	}
}

func readExample(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestExamples_AreValidByTheSchemaTheyAreNamedAfter(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != 9 {
		t.Fatalf("want the 9 examples of the contract: %v %v", files, err)
	}
	for _, file := range files {
		example := strings.TrimSuffix(filepath.Base(file), ".json")
		name, _, _ := strings.Cut(example, "-")
		if err := loadSchema(t, name).validate(readExample(t, example)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestSchemas_RefuseEventsThatContradictThemselves makes sure that the schemas say more than which fields there are.
func TestSchemas_RefuseEventsThatContradictThemselves(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, example, old, new string }{
		{"consent without Agree", "checked-pair", `"Agree"`, `"Default_Agree"`},
		{"no consent with Agree", "checked-pair", `"consented":true`, `"consented":false`},
		{"consent of a room where one did not agree", "checked-room", `"Agree"`, `"Disagree"`},
		{"consent of an empty room", "checked-room", `{"external_userid":"wm1","agree_status":"Agree","status_change_time":1562766651}`, ``},
		{"a pair with members", "checked-pair", `"consented"`, `"members":[],"consented"`},
		{"a room with a word", "checked-room", `"consented"`, `"agree_status":"Agree","consented"`},
		{"a room without chatid", "checked-room", `"chatid":"wr1",`, ``},
		{"an unknown field", "checked-pair", `"consented"`, `"surprise":1,"consented"`},
		{"another source", "checked-pair", `"api"`, `"cache"`},
		{"a time without zone", "checked-pair", `03.456Z`, `03.456`},
		{"a time that is none", "checked-pair", `2026-11-23T`, `2026-13-23T`},
		{"an index over the limit", "checked-pair", `"index":0`, `"index":1000`},
		{"no request", "checked-room", `,"request":{"id":"r-3","index":0,"count":1}`, ``},
		{"an unknown class", "failed-item", `"not_found"`, `"lost"`},
		{"errcode 0", "failed-item", `301061`, `0`},
		{"a kind without corp", "failed-item", `"corp_id":"ww1",`, ``},
		{"a pair's failure with chatid", "failed-item", `"kind"`, `"chatid":"wr1","kind"`},
		{"withdrawn to Agree", "changed-pair", `"Disagree"`, `"Agree"`},
		{"granted to Disagree", "changed-pair", `"withdrawn"`, `"granted"`},
		{"first seen with something before", "changed-pair", `"withdrawn"`, `"first_seen"`},
		{"left, of a pair", "changed-pair", `"change":"withdrawn"`, `"change":"left"`},
		{"version 0", "changed-pair", `"version":4`, `"version":0`},
		{"a status of pair and room", "status-pair", `"version"`, `"members":[],"version"`},
		{"a pair's status of version 0", "status-pair", `"version":4`, `"version":0`},
		{"a status without version", "status-room", `,"version":2`, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			example := string(readExample(t, tc.example))
			if strings.Count(example, tc.old) == 0 {
				t.Fatalf("%s has no %s", tc.example, tc.old)
			}
			name, _, _ := strings.Cut(tc.example, "-")
			if loadSchema(t, name).validate([]byte(strings.Replace(example, tc.old, tc.new, 1))) == nil {
				t.Error("valid by the schema")
			}
		})
	}
}

func TestSupersedes_TheLaterWordCountsAndNoConsentAtTheSameTime(t *testing.T) {
	t.Parallel()
	agree := func(at int64) schemas.Consent {
		return schemas.Consent{AgreeStatus: schemas.Agree, StatusChangeTime: at}
	}
	disagree := func(at int64) schemas.Consent { return schemas.Consent{AgreeStatus: "Disagree", StatusChangeTime: at} }
	for _, tc := range []struct {
		name        string
		loser, wins schemas.Consent
	}{
		{"later consent", disagree(1), agree(2)},
		{"later withdrawal", agree(1), disagree(2)},
		{"a known time over none", disagree(0), agree(1)},
		{"at the same time, no consent", agree(1), disagree(1)},
	} {
		if !tc.wins.Supersedes(tc.loser) || tc.loser.Supersedes(tc.wins) {
			t.Errorf("%s: %v and %v", tc.name, tc.loser, tc.wins)
		}
	}
	if agree(1).Supersedes(agree(1)) {
		t.Error("a consent supersedes its like")
	}
}

func TestFailure_SaysItsErrcodeWhereItHasOne(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]schemas.Failure{
		"not_found (errcode 301061): no such user": {Class: schemas.NotFound, Errcode: 301061, Message: "no such user"},
		"unknown_corp: ww9":                        {Class: schemas.UnknownCorp, Message: "ww9"},
	} {
		if got := f.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
