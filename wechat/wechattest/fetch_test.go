package wechattest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fetched is a reply to a call for a token.
type fetched struct {
	Errcode          *int   `json:"errcode"`
	Errmsg           string `json:"errmsg"`
	AccessToken      string `json:"access_token"`
	SuiteAccessToken string `json:"suite_access_token"`
	ExpiresIn        int64  `json:"expires_in"`
}

func (a asker) fetch(method, target, body string) fetched {
	a.t.Helper()
	var f fetched
	reply := serve(a.sim, method, target, body)
	if err := json.Unmarshal([]byte(reply), &f); err != nil {
		a.t.Fatalf("%s: %v", reply, err)
	}
	return f
}

func (a asker) suiteToken(secret, suiteTicket string) fetched {
	a.t.Helper()
	return a.fetch(http.MethodPost, suiteTokenPath, `{"suite_id":"s1","suite_secret":"`+secret+`","suite_ticket":"`+suiteTicket+`"}`)
}

func (a asker) corpToken(suiteToken, corp, code string) fetched {
	a.t.Helper()
	return a.fetch(http.MethodPost, corpTokenPath+"?suite_access_token="+url.QueryEscape(suiteToken),
		`{"auth_corpid":"`+corp+`","permanent_code":"`+code+`"}`)
}

// mustFetch returns the tokens that the suite and the corp get.
func (a asker) mustFetch() (suiteToken, corpToken string) {
	a.t.Helper()
	suiteToken = a.suiteToken("s3cret", "ticket").SuiteAccessToken
	corpToken = a.corpToken(suiteToken, corpID, "code").AccessToken
	if suiteToken == "" || corpToken == "" {
		a.t.Fatalf("no tokens: suite %q, corp %q", suiteToken, corpToken)
	}
	return suiteToken, corpToken
}

// single asks for a pair with an access_token and returns the errcode.
func (a asker) single(token string) int {
	a.t.Helper()
	return a.errcode(serve(a.sim, http.MethodPost, singleOf(token), singleBodyOf(pair{"a", "wm1"})))
}

func (f fetched) want(t *testing.T, errcode int) {
	t.Helper()
	if f.Errcode == nil || *f.Errcode != errcode {
		t.Errorf("errcode %v (%s), want %d", f.Errcode, f.Errmsg, errcode)
	}
	if f.AccessToken+f.SuiteAccessToken != "" {
		t.Errorf("a token beside errcode %d", errcode)
	}
}

func TestSuite_GivesTokensToItsCorps(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Corps: map[string]string{corpID: "code"}, Suites: map[string]string{"s1": "s3cret"}})
	w.sim.SetSuiteTicket("s1", "ticket", 0)
	post := func(path, body string) (reply map[string]any) {
		t.Helper()
		a, err := w.do(http.MethodPost, path, body)
		if err != nil || json.Unmarshal([]byte(a.body), &reply) != nil || a.header.Get("Error-Code") != "" {
			t.Fatalf("%v: %s, headers %v", err, a.body, a.header)
		}
		return reply
	}
	suite := post("/cgi-bin/service/get_suite_token", `{"suite_id":"s1","suite_secret":"s3cret","suite_ticket":"ticket"}`)
	suiteToken, _ := suite["suite_access_token"].(string)
	// That errcode is missing means success.
	if len(suite) != 2 || suiteToken == "" || len(suiteToken) > 512 || suite["expires_in"] != 7200. {
		t.Fatalf("got %v, want suite_access_token and expires_in alone", suite)
	}
	corp := post("/cgi-bin/service/get_corp_token?suite_access_token="+url.QueryEscape(suiteToken),
		`{"auth_corpid":"ww1","permanent_code":"code"}`)
	w.token, _ = corp["access_token"].(string)
	if len(corp) != 2 || w.token == "" || w.token == suiteToken || corp["expires_in"] != 7200. {
		t.Fatalf("got %v, want access_token and expires_in alone", corp)
	}
	w.single(pairs(3)...).want(t, 0)
	stats := w.sim.Stats()
	want := Counters{
		Calls: Calls{GetSuiteToken: 1, GetCorpToken: 1}, TokenFetches: TokenFetches{Good: 1},
		BatchSizes: map[int]int64{}, Errors: map[int]int64{},
	}
	if got := stats.Suites["s1"]; !reflect.DeepEqual(got, want) {
		t.Errorf("of the suite %+v, want %+v", got, want)
	}
	if got, want := stats.Corps[corpID].Calls, (Calls{Single: 1, GetCorpToken: 1}); got != want {
		t.Errorf("of the corp %+v, want %+v", got, want)
	}
	if got, want := stats.TokenFetches, (TokenFetches{Good: 2}); got != want {
		t.Errorf("token fetches %+v, want %+v", got, want)
	}
}

func TestSuite_Rules(t *testing.T) {
	t.Parallel()
	a := asker{t, New(Options{Corps: map[string]string{corpID: "code"}, Suites: map[string]string{"s1": "s3cret"}})}
	a.sim.SetSuiteTicket("s1", "ticket", 0)
	suiteToken, corpToken := a.mustFetch()
	const suiteIDs, code = `"suite_id":"s1","suite_secret":"s3cret"`, `"permanent_code":"code"`
	for _, c := range []struct {
		name, path, body string
		errcode          int
	}{
		{"no suite id", suiteTokenPath, `{"suite_secret":"s3cret","suite_ticket":"ticket"}`, 41021},
		{"no secret", suiteTokenPath, `{"suite_id":"s1","suite_ticket":"ticket"}`, 41004},
		{"no ticket", suiteTokenPath, `{` + suiteIDs + `}`, 41023},
		{"unknown suite", suiteTokenPath, `{"suite_id":"s2","suite_secret":"s3cret","suite_ticket":"ticket"}`, 40083},
		{"wrong secret", suiteTokenPath, `{"suite_id":"s1","suite_secret":"x","suite_ticket":"ticket"}`, 40080},
		{"wrong ticket", suiteTokenPath, `{` + suiteIDs + `,"suite_ticket":"x"}`, 40085},
		{"unknown field", suiteTokenPath, `{` + suiteIDs + `,"ticket":"ticket"}`, 40035},
		{"wrong type", suiteTokenPath, `{"suite_id":1}`, 40035},
		{"no JSON", suiteTokenPath, ``, 40035},
		{"no suite token", corpTokenPath, `{"auth_corpid":"ww1",` + code + `}`, 41022},
		{"nobody's suite token", corpTokenPath + "?suite_access_token=x", `{"auth_corpid":"ww1",` + code + `}`, 40082},
		{"a corp's token", corpTokenPath + "?suite_access_token=" + corpToken, `{"auth_corpid":"ww1",` + code + `}`, 40082},
		{"no corp id", corpTokenPath + "?suite_access_token=" + suiteToken, `{` + code + `}`, 41002},
		{"unknown corp", corpTokenPath + "?suite_access_token=" + suiteToken, `{"auth_corpid":"ww2",` + code + `}`, 40013},
		{"no code", corpTokenPath + "?suite_access_token=" + suiteToken, `{"auth_corpid":"ww1"}`, 41025},
		{"wrong code", corpTokenPath + "?suite_access_token=" + suiteToken, `{"auth_corpid":"ww1","permanent_code":"x"}`, 40084},
		{"trailing comma", corpTokenPath + "?suite_access_token=" + suiteToken, `{"auth_corpid":"ww1",}`, 40035},
	} {
		t.Run(c.name, func(t *testing.T) { a.fetch(http.MethodPost, c.path, c.body).want(t, c.errcode) })
	}
	if got := a.single(suiteToken); got != 40014 {
		t.Errorf("asked with a suite's token: errcode %d, want 40014", got)
	}
	if got := a.sim.Stats().TokenFetches; got != (TokenFetches{Good: 2, Refused: 17}) {
		t.Errorf("token fetches %+v", got)
	}
	if got := a.sim.Stats().Suites["s1"].TokenFetches; got != (TokenFetches{Good: 1, Refused: 5}) {
		t.Errorf("token fetches of the suite %+v, want those of get_suite_token that name it", got)
	}
}

func TestSuite_TakesAnyCredentialsUntilSomeAreSet(t *testing.T) {
	t.Parallel()
	a := asker{t, New(Options{})}
	a.mustFetch()
	a.sim.SetSuiteSecret("s1", "other")
	a.suiteToken("s3cret", "ticket").want(t, 40080)
	a.sim.SetSuiteSecret("s1", "s3cret")
	a.sim.SetSecret(corpID, "other")
	a.corpToken(a.suiteToken("s3cret", "ticket").SuiteAccessToken, corpID, "code").want(t, 40084)
	a.fetch(http.MethodGet, getTokenOf(corpID, "code"), "").want(t, 40001)
	if got := a.fetch(http.MethodGet, getTokenOf("ww2", "code"), ""); got.AccessToken == "" {
		t.Errorf("another corp: %+v, want a token", got)
	}
	a.sim.SetSecret(corpID, "code")
	a.mustFetch()
	a.sim.SetSecret(corpID, "")
	a.mustFetch()
}

func TestSuite_TicketsChangeAndExpire(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, a asker) {
		expect := func(when, suiteTicket string, good bool) {
			t.Helper()
			if f := a.suiteToken("s3cret", suiteTicket); (f.SuiteAccessToken != "") != good || !good && *f.Errcode != 40085 {
				t.Errorf("%s: %+v, want a token: %v, else 40085", when, f, good)
			}
		}
		expect("before any ticket", "anything", true)
		a.sim.SetSuiteTicket("s1", "first", 30*time.Minute)
		expect("another word", "anything", false)
		time.Sleep(30*time.Minute - time.Nanosecond)
		expect("nearly 30 minutes later", "first", true)
		time.Sleep(time.Nanosecond)
		expect("30 minutes later", "first", false)
		a.sim.SetSuiteTicket("s1", "second", 0)
		expect("the old one", "first", false)
		time.Sleep(24 * time.Hour)
		expect("one without an end", "second", true)
	})
}

func TestSuite_TokensExpireByThemselves(t *testing.T) {
	bubble(t, Options{TokenTTL: 2 * time.Hour, SuiteTokenTTL: time.Hour}, func(t *testing.T, a asker) {
		suiteToken, corpToken := a.mustFetch()
		time.Sleep(30 * time.Minute)
		if f := a.suiteToken("s3cret", "ticket"); f.SuiteAccessToken != suiteToken || f.ExpiresIn != 1800 {
			t.Errorf("after half an hour %+v, want the same for 1800 s", f)
		}
		time.Sleep(30 * time.Minute)
		a.corpToken(suiteToken, corpID, "code").want(t, 42009)
		if got := a.single(corpToken); got != 0 {
			t.Errorf("errcode %d, want the corp's token to be good yet", got)
		}
		next, same := a.mustFetch()
		if next == suiteToken || same != corpToken {
			t.Errorf("suite's token the same: %v; corp's token the same: %v; want another and the same", next == suiteToken, same == corpToken)
		}
		time.Sleep(time.Hour)
		if got := a.single(corpToken); got != 42001 {
			t.Errorf("errcode %d, want 42001", got)
		}
	})
}

func TestSuite_TokensCanBeEndedBeforeTheirTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		end         func(*Simulator, string)
		suite, corp int
	}{
		{"expired", (*Simulator).ExpireSuiteTokens, 42009, 42001},
		{"revoked", (*Simulator).RevokeSuiteTokens, 40082, 40014},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := asker{t, New(Options{})}
			suiteToken, corpToken := a.mustFetch()
			byItself := a.sim.Token(corpID)
			c.end(a.sim, "s2")
			if got := a.single(corpToken); got != 0 {
				t.Errorf("after another suite's end: errcode %d, want 0", got)
			}
			c.end(a.sim, "s1")
			a.corpToken(suiteToken, corpID, "code").want(t, c.suite)
			if got := a.single(corpToken); got != c.corp {
				t.Errorf("errcode %d, want %d", got, c.corp)
			}
			if got := a.single(byItself); got != 0 {
				t.Errorf("a token that did not come through the suite: errcode %d, want 0", got)
			}
			_, again := a.mustFetch()
			if got := a.single(again); got != 0 {
				t.Errorf("a token fetched anew: errcode %d", got)
			}
		})
	}
}

func TestSuite_CorpTokensEndWithTheCorps(t *testing.T) {
	t.Parallel()
	a := asker{t, New(Options{})}
	suiteToken, corpToken := a.mustFetch()
	a.sim.RevokeTokens(corpID)
	if got := a.single(corpToken); got != 40014 {
		t.Errorf("errcode %d, want 40014", got)
	}
	if f := a.corpToken(suiteToken, corpID, "code"); f.AccessToken == "" || f.AccessToken == corpToken {
		t.Errorf("got %+v, want another token, by the suite's token that is good yet", f)
	}
}

func TestTokenService_GivesATokenToWhoeverAsks(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Corps: map[string]string{corpID: secret}})
	a, err := w.do(http.MethodGet, "/token-service/ww1", "")
	var reply map[string]any
	if err != nil || json.Unmarshal([]byte(a.body), &reply) != nil || len(reply) != 2 || reply["expires_in"] != 7200. {
		t.Fatalf("%v: %s, want access_token and expires_in alone", err, a.body)
	}
	w.token, _ = reply["access_token"].(string)
	w.single(pairs(2)...).want(t, 0)
	w.call(http.MethodGet, "/token-service/ww2", "").want(t, 40013)
	w.sim.Script(Fault{Kind: TokenService, Corp: corpID, Count: 1, HTTPStatus: 503, Body: "<html>"})
	if a, err := w.do(http.MethodGet, "/token-service/ww1", ""); err != nil || a.status != 503 || a.body != "<html>" {
		t.Errorf("%v: %d %s, want the fault", err, a.status, a.body)
	}
	w.sim.RevokeTokens(corpID)
	w.single(pairs(2)...).want(t, 40014)
	if again := w.call(http.MethodGet, "/token-service/ww1", "").AccessToken; again == "" || again == w.token {
		t.Error("no other token after the first was revoked")
	}
	if a, err := w.do(http.MethodPost, "/token-service/ww1", "{}"); err != nil || a.status != http.StatusMethodNotAllowed {
		t.Errorf("%v: POST has status %d", err, a.status)
	}
	want := Counters{Calls: Calls{Single: 2, TokenService: 3}, TokenFetches: TokenFetches{Good: 2}, Faults: 1}
	got := w.sim.Stats().Corps[corpID]
	if got.Calls != want.Calls || got.TokenFetches != want.TokenFetches || got.Faults != want.Faults {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSecret_OfACorpCanBeWrongAndHealed(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{Corps: map[string]string{corpID: secret}})
	w.sim.SetSecret(corpID, "another")
	for range 3 {
		w.getToken(corpID, secret).want(t, 40001)
	}
	w.single(pairs(1)...).want(t, 0) // what was issued stays good
	w.getToken("ww2", secret).want(t, 40013)
	w.sim.SetSecret("ww2", secret) // a corp that comes later
	w.getToken("ww2", secret).want(t, 0)
	w.sim.SetSecret(corpID, secret)
	w.getToken(corpID, secret).want(t, 0)
	want := map[string]TokenFetches{corpID: {Good: 1, Refused: 3}, "ww2": {Good: 1}}
	for id, fetches := range want {
		if got := w.sim.Stats().Corps[id].TokenFetches; got != fetches {
			t.Errorf("%s: token fetches %+v, want %+v", id, got, fetches)
		}
	}
}

func TestFault_StrikesCallsForTokens(t *testing.T) {
	t.Parallel()
	a := asker{t, New(Options{})}
	suiteToken, _ := a.mustFetch()
	a.sim.Script(
		Fault{Kind: GetSuiteToken, ID: "s1", Count: 1, Errcode: 40085},
		Fault{Kind: GetCorpToken, ID: "s1", Corp: "ww2", Errcode: 48004},
		Fault{Kind: GetCorpToken, ID: "s1", Count: 1, Errcode: 42009},
		Fault{Kind: GetCorpToken, Count: 1, StringErrcode: true},
	)
	a.suiteToken("s3cret", "ticket").want(t, 40085)
	a.suiteToken("s3cret", "ticket") // once
	a.corpToken(suiteToken, "ww2", "code").want(t, 48004)
	a.corpToken(suiteToken, "ww2", "code").want(t, 48004)
	a.corpToken(suiteToken, "ww3", "code").want(t, 42009)
	reply := serve(a.sim, http.MethodPost, corpTokenPath+"?suite_access_token="+suiteToken, `{"auth_corpid":"ww3","permanent_code":"code"}`)
	if !strings.HasPrefix(reply, `{"errcode":"0","errmsg":"ok","access_token":"`) {
		t.Errorf("got %s, want the errcode as a string", reply)
	}
	_, again := a.mustFetch()
	if again == "" {
		t.Error("no token after the faults")
	}
}
