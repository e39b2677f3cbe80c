package wechattest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestRequest_RulesOfTheSingleCall(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	long := strings.Repeat("x", 128)
	for _, c := range []struct {
		name, body string
		errcode    int
	}{
		{"one pair", singleBodyOf(pair{"a", "wm1"}), 0},
		{"a hundred", singleBodyOf(pairs(100)...), 0},
		{"the same twice", singleBodyOf(pair{"a", "wm1"}, pair{"a", "wm1"}), 0},
		{"white space", " {\n\"item\" : [ {\"external_userid\":\"wm1\" ,\"open_userid\":\"a\"} ] } \r\n", 0},
		{"escaped", `{"\u0069tem":[{"open_userid":"\u0061","external_userid":"wm1"}]}`, 0},
		{"longest ids", singleBodyOf(pair{long, long}), 0},
		{"too many", singleBodyOf(pairs(101)...), 301060},
		{"far too many", singleBodyOf(pairs(5000)...), 301060},
		{"empty list", `{"item":[]}`, 40058},
		{"no list", `{}`, 40058},
		{"id too long", singleBodyOf(pair{"a", long + "x"}), 40058},
		{"id with a space", singleBodyOf(pair{"a b", "wm1"}), 40058},
		{"empty id", singleBodyOf(pair{"a", ""}), 40063},
		{"id absent", `{"item":[{"open_userid":"a"}]}`, 40063},
		{"no body", "", 40035},
		{"not JSON", "item", 40035},
		{"trailing comma in the list", `{"item":[{"open_userid":"a","external_userid":"wm1"},]}`, 40035},
		{"trailing comma in an item", `{"item":[{"open_userid":"a","external_userid":"wm1",}]}`, 40035},
		{"trailing comma at the end", `{"item":[{"open_userid":"a","external_userid":"wm1"}],}`, 40035},
		{"list twice", `{"item":[],"item":[{"open_userid":"a","external_userid":"wm1"}]}`, 40035},
		{"id twice", `{"item":[{"open_userid":"a","open_userid":"a","external_userid":"wm1"}]}`, 40035},
		{"another list", `{"info":[{"open_userid":"a","external_userid":"wm1"}]}`, 40035},
		{"another field", `{"item":[{"open_userid":"a","external_userid":"wm1","x":1}]}`, 40035},
		{"room's field", `{"chatid":"wr1"}`, 40035},
		{"list is an object", `{"item":{"open_userid":"a","external_userid":"wm1"}}`, 40035},
		{"list is null", `{"item":null}`, 40035},
		{"item is a string", `{"item":["a"]}`, 40035},
		{"id is a number", `{"item":[{"open_userid":1,"external_userid":"wm1"}]}`, 40035},
		{"an array", `[{"open_userid":"a","external_userid":"wm1"}]`, 40035},
		{"invalid UTF-8", "{\"item\":[{\"open_userid\":\"\xff\",\"external_userid\":\"wm1\"}]}", 40035},
		{"cut", `{"item":[{"open_userid":"a","external_userid":"wm1"}`, 40035},
		{"bytes after it", singleBodyOf(pair{"a", "wm1"}) + "x", 40035},
		{"another value after it", singleBodyOf(pair{"a", "wm1"}) + "{}", 40035},
		{"bad JSON counts more than too many", strings.TrimSuffix(singleBodyOf(pairs(101)...), "}"), 40035},
		{"bad JSON counts more than an empty id", strings.TrimSuffix(singleBodyOf(pair{"a", ""}), "}"), 40035},
		{"too large", `{"item":[` + strings.Repeat(" ", maxRequestBytes) + `]}`, 40058},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.call(http.MethodPost, singleOf(w.token), c.body)
			a.want(t, c.errcode)
			if c.errcode != 0 && strings.Contains(a.body, "agreeinfo") {
				t.Errorf("a list beside an error: %s", a.body)
			}
		})
	}
}

func TestRequest_RulesOfTheRoomCall(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	for _, c := range []struct {
		name, body string
		errcode    int
	}{
		{"a room", `{"chatid":"wr1"}`, 0},
		{"trailing comma", `{"chatid":"wr1",}`, 40035},
		{"twice", `{"chatid":"wr1","chatid":"wr1"}`, 40035},
		{"another field", `{"chatid":"wr1","x":1}`, 40035},
		{"a number", `{"chatid":1}`, 40035},
		{"empty", `{"chatid":""}`, 40063},
		{"absent", `{}`, 40063},
		{"wrong characters", `{"chatid":"wr/1"}`, 40058},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.call(http.MethodPost, roomOf(w.token), c.body).want(t, c.errcode)
		})
	}
}

func TestRequest_ItemFieldIsASetting(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{ItemField: "info"})
	w.call(http.MethodPost, singleOf(w.token), `{"info":[{"open_userid":"a","external_userid":"wm1"}]}`).want(t, 0)
	w.call(http.MethodPost, singleOf(w.token), singleBodyOf(pair{"a", "wm1"})).want(t, 40035)
}

func TestRequest_OtherMethodsAndPathsAreNoCalls(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, singleOf(w.token), http.StatusMethodNotAllowed},
		{http.MethodPut, roomOf(w.token), http.StatusMethodNotAllowed},
		{http.MethodPost, getTokenOf(corpID, secret), http.StatusMethodNotAllowed},
		{http.MethodGet, "/cgi-bin/user/get", http.StatusNotFound},
		{http.MethodPut, "/simulator/stats", http.StatusMethodNotAllowed},
	} {
		if a, err := w.do(c.method, c.path, ""); err != nil || a.status != c.status {
			t.Errorf("%s %s: status %d, %v, want %d", c.method, c.path, a.status, err, c.status)
		}
	}
	if calls := w.sim.Stats().Calls; calls != (Calls{}) {
		t.Errorf("counted as calls: %+v", calls)
	}
}

// FuzzRequest holds the decoder against the standard library: what it takes is valid JSON with the same pairs.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(singleBodyOf(pairs(3)...)))
	f.Add([]byte(`{"item":[{"open_userid":"\u0061","external_userid":"wm1"}]}`))
	f.Add([]byte(`{"item":[{"open_userid":"a","external_userid":"wm1"},]}`))
	f.Add([]byte(`{"chatid":"wr1"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d requestDecoder
		var want struct {
			Item []struct {
				OpenUserID     string `json:"open_userid"`
				ExternalUserID string `json:"external_userid"`
			} `json:"item"`
			ChatID string `json:"chatid"`
		}
		if got, refused := d.single(body, "item", nil); refused == nil {
			if err := json.Unmarshal(body, &want); err != nil {
				t.Fatalf("taken, but %v", err)
			}
			if len(got) != len(want.Item) || len(got) == 0 || len(got) > MaxItems {
				t.Fatalf("%d pairs, want %d", len(got), len(want.Item))
			}
			for i, p := range got {
				if p.staff != want.Item[i].OpenUserID || p.customer != want.Item[i].ExternalUserID {
					t.Fatalf("pair %d is %v, want %v", i, p, want.Item[i])
				}
			}
		}
		if got, refused := d.room(body); refused == nil {
			if err := json.Unmarshal(body, &want); err != nil || got != want.ChatID {
				t.Fatalf("chatid %q, want %q, %v", got, want.ChatID, err)
			}
		}
	})
}
