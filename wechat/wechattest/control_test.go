package wechattest

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// control makes a control call that must be answered with the HTTP status.
func (w *world) control(method, path, body string, status int) string {
	w.t.Helper()
	a, err := w.do(method, "/simulator/"+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if a.status != status {
		w.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
	return a.body
}

func TestControl_SetsManyStatusesAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.control("POST", "status", `{"corp_id":"ww1",
		"single":[{"open_userid":"a","external_userid":"wm1","agree_status":"Disagree","status_change_time":5},
		          {"open_userid":"a","external_userid":"wm2","agree_status":"Agree"}],
		"room":[{"chatid":"wr1","members":[{"external_userid":"wm3","agree_status":"Agree","status_change_time":6}]},
		        {"chatid":"wr2","members":[]}]}`, http.StatusNoContent)
	a := w.single(pair{"a", "wm1"}, pair{"a", "wm2"})
	if got, want := a.words(), "a/wm1=Disagree a/wm2=Agree"; got != want || a.AgreeInfo[0].StatusChangeTime != 5 || a.AgreeInfo[1].StatusChangeTime != 0 {
		t.Errorf("got %s, want %s, since 5 and 0", a.body, want)
	}
	if a := w.room("wr1"); a.words() != "wm3=Agree" || a.AgreeInfo[0].StatusChangeTime != 6 {
		t.Errorf("got %s", a.body)
	}
	if a := w.room("wr2"); len(a.AgreeInfo) != 0 {
		t.Errorf("got %s", a.body)
	}
}

func TestControl_FlipsAndSaysWhatChanged(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	if got := strings.TrimSpace(w.control("POST", "flip", `{"fraction":1}`, http.StatusOK)); got != "[]" {
		t.Errorf("flipping nobody: %s, want an empty list", got)
	}
	w.control("POST", "remember", `{"remember":true}`, http.StatusNoContent)
	asked := pairs(40)
	before := w.statuses(asked)
	var flips []Flipped
	if err := json.Unmarshal([]byte(w.control("POST", "flip", `{"fraction":0.05,"seed":1}`, http.StatusOK)), &flips); err != nil {
		t.Fatal(err)
	}
	after := w.statuses(asked)
	if len(flips) != 2 {
		t.Fatalf("%d flips, want 2", len(flips))
	}
	for _, f := range flips {
		if before[f.key()] != f.Previous || after[f.key()] != f.Current || f.Previous == f.Current {
			t.Errorf("flip %+v: the API said %v and then %v", f, before[f.key()], after[f.key()])
		}
	}
}

func TestControl_ShowsAndResetsTheStatistics(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.single(pairs(3)...)
	w.call(http.MethodPost, singleOf(w.token), `{}`)
	var got Stats
	if err := json.Unmarshal([]byte(w.control("GET", "stats", "", http.StatusOK)), &got); err != nil {
		t.Fatal(err)
	}
	if want := w.sim.Stats(); !reflect.DeepEqual(got, want) || want.Items != 3 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	w.control("DELETE", "stats", "", http.StatusNoContent)
	if got := w.sim.Stats().Calls; got != (Calls{}) {
		t.Errorf("after a reset %+v", got)
	}
}

func TestControl_ChangesTheLimitsThatItNames(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Limits: Limits{CallsPerMinute: 10, Corp: CorpLimits{CallsPerMinute: 3, Concurrency: 4}}})
	want := func(limits Limits, own map[string]CorpLimits) {
		t.Helper()
		if got := w.sim.quotas; got.limits != limits || !maps.Equal(got.own, own) {
			t.Errorf("limits %+v, of corps %+v, want %+v and %+v", got.limits, got.own, limits, own)
		}
	}
	w.control("POST", "limits", `{"corp_calls_per_minute":2}`, http.StatusNoContent)
	want(Limits{10, CorpLimits{2, 4}}, nil)
	w.control("POST", "limits", `{"corp_id":"ww2","corp_concurrency":1}`, http.StatusNoContent)
	w.control("POST", "limits", `{"corp_id":"ww2","corp_calls_per_minute":7}`, http.StatusNoContent)
	w.control("POST", "limits", `{"calls_per_minute":5,"corp_concurrency":0}`, http.StatusNoContent)
	want(Limits{5, CorpLimits{2, 0}}, map[string]CorpLimits{"ww2": {7, 1}})
	w.room("wr1").want(t, 0)
	w.room("wr1").want(t, 0)
	w.room("wr1").want(t, 45009)
	w.control("DELETE", "limits", "", http.StatusNoContent)
	want(Limits{}, nil)
	w.room("wr1").want(t, 0)
}

func TestControl_SetsSecretsAndTickets(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Corps: map[string]string{corpID: secret}, Suites: map[string]string{"s1": secret}})
	a := asker{t, w.sim}
	w.control("POST", "secrets", `{"corp_id":"ww1","secret":"other"}`, http.StatusNoContent)
	w.getToken(corpID, secret).want(t, 40001)
	w.control("POST", "secrets", `{"corp_id":"ww1","secret":""}`, http.StatusNoContent)
	w.getToken(corpID, secret).want(t, 0)
	w.control("POST", "secrets", `{"suite_id":"s1","secret":"other"}`, http.StatusNoContent)
	a.suiteToken(secret, "t1").want(t, 40080)
	w.control("POST", "secrets", `{"suite_id":"s1","secret":"s3cret"}`, http.StatusNoContent)
	w.control("POST", "tickets", `{"suite_id":"s1","ticket":"t2","ttl_ms":3600000}`, http.StatusNoContent)
	a.suiteToken(secret, "t1").want(t, 40085)
	if f := a.suiteToken(secret, "t2"); f.SuiteAccessToken == "" {
		t.Errorf("got %+v, want a token", f)
	}
}

func TestControl_EndsTheTokensOfASuite(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	a := asker{t, w.sim}
	for end, errcodes := range map[string][2]int{"expire": {42009, 42001}, "revoke": {40082, 40014}} {
		suiteToken, corpToken := a.mustFetch()
		w.control("POST", "tokens/"+end, `{"suite_id":"s1"}`, http.StatusNoContent)
		a.corpToken(suiteToken, corpID, "code").want(t, errcodes[0])
		if got := a.single(corpToken); got != errcodes[1] {
			t.Errorf("%s: errcode %d, want %d", end, got, errcodes[1])
		}
	}
}

func TestControl_RemovesTheFaultsOfACorp(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.Script(Fault{Corp: corpID, Errcode: 48002}, Fault{ID: "wr2", Errcode: 86001})
	for query, problem := range map[string]string{
		"?corp_id=w%20w": "want a corp", "?corp_id=": "want a corp", "?corp=ww1": "want corp_id alone", "?corp_id=ww1&id=wr2": "want corp_id alone",
	} {
		if got := w.control("DELETE", "faults"+query, "", http.StatusBadRequest); !strings.Contains(got, problem) {
			t.Errorf("%s: %s, want %q", query, got, problem)
		}
	}
	w.room("wr1").want(t, 48002)
	w.control("DELETE", "faults?corp_id=ww1", "", http.StatusNoContent)
	w.room("wr1").want(t, 0)
	w.room("wr2").want(t, 86001)
}

func TestControl_AddsAndRemovesFaults(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.control("POST", "faults", `{"corp_id":"ww1","kind":"room","id":"wr1","skip":1,"count":1,"errcode":45009,"delay_ms":1}`, http.StatusNoContent)
	w.room("wr1").want(t, 0)
	w.room("wr1").want(t, 45009)
	w.room("wr1").want(t, 0)
	w.control("POST", "faults", `{"omit":["wm1"],"header":{"X":"y"}}`, http.StatusNoContent)
	if a := w.single(pair{"a", "wm1"}); len(a.AgreeInfo) != 0 || a.header.Get("X") != "y" {
		t.Errorf("got %s", a.body)
	}
	w.control("DELETE", "faults", "", http.StatusNoContent)
	if a := w.single(pair{"a", "wm1"}); len(a.AgreeInfo) != 1 {
		t.Errorf("got %s", a.body)
	}
}

func TestControl_EveryEffectOfAFaultHasAField(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"delay_ms":1}`, `{"hang":true}`, `{"close_connection":true}`, `{"reset_connection":true}`, `{"redirect":"/"}`, `{"http_status":502}`, `{"body":"x"}`,
		`{"header":{"a":"b"}}`, `{"errcode":1}`, `{"errmsg":"Warning: wrong json format."}`, `{"string_errcode":true}`,
		`{"omit":["wm1"]}`, `{"drop":1}`, `{"add":1}`, `{"repeat":true}`, `{"shuffle":true}`, `{"pad_bytes":1}`, `{"truncate":true}`,
	} {
		w := setup(t, Options{})
		w.control("POST", "faults", body, http.StatusNoContent)
		var want map[string]any
		if err := json.Unmarshal([]byte(body), &want); err != nil {
			t.Fatal(err)
		}
		got := reflect.ValueOf(w.sim.faults.list[0].Fault)
		set := 0
		for i := range got.NumField() {
			if !got.Field(i).IsZero() {
				set++
			}
		}
		if set != len(want) {
			t.Errorf("%s: %d fields set, want %d: %+v", body, set, len(want), got)
		}
	}
}

func TestControl_IssuesAndEndsTokens(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	var issued answer
	if err := json.Unmarshal([]byte(w.control("POST", "tokens", `{"corp_id":"ww1"}`, http.StatusOK)), &issued); err != nil {
		t.Fatal(err)
	}
	if issued.ExpiresIn != 7200 {
		t.Errorf("expires_in %d, want 7200", issued.ExpiresIn)
	}
	w.token = issued.AccessToken
	w.room("wr1").want(t, 0)
	w.control("POST", "tokens/expire", `{"corp_id":"ww1"}`, http.StatusNoContent)
	w.room("wr1").want(t, 42001)
	w.token = w.sim.Token(corpID)
	w.control("POST", "tokens/revoke", `{"corp_id":"ww1"}`, http.StatusNoContent)
	w.room("wr1").want(t, 40014)
}

func TestControl_SetsTheDelay(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.control("POST", "delay", `{"ms":20}`, http.StatusNoContent)
	if got := w.sim.delay.Load(); got != 20_000_000 {
		t.Errorf("delay %d ns, want 20 ms", got)
	}
}

func TestControl_RefusesWhatItCannotUnderstand(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Corps: map[string]string{corpID: secret}, Suites: map[string]string{"s1": secret}})
	for _, c := range []struct{ path, body, want string }{
		{"delay", ``, "want one JSON value"},
		{"delay", `{`, "want one JSON value"},
		{"delay", `{}`, "ms: want milliseconds"},
		{"delay", `{"ms":-1}`, "ms -1: want 0 to"},
		{"delay", `{"ms":"20"}`, "/ms has the wrong type or range"},
		{"delay", `[]`, "the value has the wrong type"},
		{"delay", `{"ms":1,"ms":2}`, "duplicate object member name"},
		{"delay", `{"ms":1,}`, "want one JSON value"},
		{"delay", `{"ms":1}{}`, "want one JSON value"},
		{"delay", `{"ms":1,"s":2}`, "unknown field /s"},
		{"flip", `{"seed":1}`, "fraction: want 0 to 1"},
		{"flip", `{"fraction":2}`, "fraction: want 0 to 1"},
		{"flip", `{"fraction":1,"seed":-1}`, "/seed has the wrong type or range"},
		{"remember", `{}`, "remember: want true or false"},
		{"tokens", `{"corp_id":"ww9"}`, `corp_id "ww9": want a corp that the simulator knows`},
		{"tokens/expire", `{}`, `corp_id ""`},
		{"tokens/revoke", `{"corp_id":"ww9"}`, `corp_id "ww9"`},
		{"faults", `{"corp_id":"ww1"}`, "no effect"},
		{"faults", `{"errcode":-1,"kind":"rooms"}`, `kind "rooms": want one of`},
		{"faults", `{"errcode":-1,"probability":1.5}`, "probability 1.5: want 0 to 1"},
		{"faults", `{"errcode":-1,"skip":-1}`, "skip -1: want 0 to"},
		{"faults", `{"http_status":99}`, "http_status 99: want 200 to 599"},
		{"faults", `{"add":1000000}`, "add 1000000: want 0 to"},
		{"faults", `{"delay_ms":-5}`, "delay_ms -5: want 0 to"},
		{"faults", `{"Errcode":-1}`, "unknown field /Errcode"},
		{"faults", `{"errcode":-1,"corp_id":"ww9"}`, `corp_id "ww9"`},
		{"faults", `{"errcode":-1,"id":"a/b/c"}`, `id "a/b/c": want one id, or open_userid/external_userid`},
		{"faults", `{"errcode":-1,"id":"a/"}`, `id "a/": want one id`},
		{"faults", `{"drop":-1}`, "drop -1: want 0 to"},
		{"limits", `{}`, "want calls_per_minute, corp_calls_per_minute or corp_concurrency"},
		{"limits", `{"corp_id":"ww1"}`, "want calls_per_minute, corp_calls_per_minute or corp_concurrency"},
		{"limits", `{"calls_per_minute":-1}`, "calls_per_minute -1: want 0 to"},
		{"limits", `{"corp_calls_per_minute":-1}`, "corp_calls_per_minute -1: want 0 to"},
		{"limits", `{"corp_concurrency":3000000000}`, "corp_concurrency 3000000000: want 0 to"},
		{"limits", `{"corp_concurrency":1.5}`, "/corp_concurrency has the wrong type or range"},
		{"limits", `{"corp_id":"ww9","corp_concurrency":1}`, `corp_id "ww9"`},
		{"limits", `{"corp_id":"ww1","calls_per_minute":1}`, "is of all corps together"},
		{"limits", `{"concurrency":1}`, "unknown field /concurrency"},
		{"secrets", `{"secret":"x"}`, `corp_id "": want a valid id`},
		{"secrets", `{"corp_id":"w w","secret":"x"}`, `corp_id "w w": want a valid id`},
		{"secrets", `{"suite_id":"s s","secret":"x"}`, `suite_id "s s": want a valid id`},
		{"secrets", `{"corp_id":"ww1","suite_id":"s1","secret":"x"}`, "corp_id, suite_id: want one of them"},
		{"secrets", `{"corp_id":"ww1"}`, "secret: want the right one"},
		{"tickets", `{"suite_id":"s9","ticket":"t"}`, `suite_id "s9": want a suite that the simulator knows`},
		{"tickets", `{"suite_id":"s1"}`, "ticket: want a suite_ticket"},
		{"tickets", `{"suite_id":"s1","ticket":"t","ttl_ms":-1}`, "ttl_ms -1: want 0 to"},
		{"tokens/revoke", `{"corp_id":"ww1","suite_id":"s1"}`, "corp_id, suite_id: want one of them"},
		{"tokens/revoke", `{"suite_id":"s9"}`, `suite_id "s9"`},
		{"status", `{"corp_id":"ww1"}`, "want single or room"},
		{"status", `{"corp_id":"ww9","room":[{"chatid":"wr1","members":[]}]}`, `corp_id "ww9"`},
		{"status", `{"corp_id":"ww1","room":[{"chatid":"wr1"}]}`, "room 0: want members"},
		{"status", `{"corp_id":"ww1","room":[{"chatid":"wr1","members":[{"external_userid":"wm1"}]}]}`, "room 0, member 0: want agree_status"},
		{"status", `{"corp_id":"ww1","single":[{"open_userid":"a","external_userid":"wm1","agree_status":"Agree"},{"open_userid":"a"}]}`, `single 1: external_userid "": want a valid id`},
	} {
		var refusal struct{ Error string }
		body := w.control("POST", c.path, c.body, http.StatusBadRequest)
		if err := json.Unmarshal([]byte(body), &refusal); err != nil || !strings.Contains(refusal.Error, c.want) {
			t.Errorf("%s %s: %s, %v: want %q", c.path, c.body, body, err, c.want)
		}
		if strings.Contains(refusal.Error, "wechattest") {
			t.Errorf("%s %s: %s: want JSON's terms, not Go's", c.path, c.body, body)
		}
	}
	if w.sim.delay.Load() != 0 || len(w.sim.faults.list) != 0 || len(w.sim.book.pairs)+len(w.sim.book.rooms) != 0 ||
		w.sim.quotas.limits != (Limits{}) || len(w.sim.quotas.own) != 0 || len(w.sim.registry.tickets) != 0 || len(w.sim.registry.corps.byID) != 1 {
		t.Error("something of what was refused was done")
	}
}
