package wechat

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"consentd/schemas"
)

func TestCheckSingle_AsksForItsPairsInOnePost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, field, body string }{
		{"default field", "", `{"item":[{"open_userid":"a","external_userid":"wm1"},{"open_userid":"b.@-_","external_userid":"wm2"}]}`},
		{"another field", "info", `{"info":[{"open_userid":"a","external_userid":"wm1"},{"open_userid":"b.@-_","external_userid":"wm2"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 2)
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got <- r.Method + " " + r.URL.Path + " " + r.URL.Query().Get("access_token") + " " +
					r.Header.Get("Content-Type") + " " + string(body)
				io.WriteString(w, pairReply)
			})
			c := setupSource(t, Config{BaseURL: api.URL + "/proxied/", ItemField: tt.field}, Static(canaryToken))
			consents, err := c.CheckSingle(t.Context(), corpID, []Pair{{"a", "wm1"}, {"b.@-_", "wm2"}})
			if err != nil {
				t.Fatal(err)
			}
			want := "POST /proxied" + singlePath + " " + canaryToken + " application/json " + tt.body
			if g := <-got; g != want {
				t.Errorf("the API got\n%s\nwant\n%s", g, want)
			}
			if len(got) > 0 {
				t.Error("the API got a second call")
			}
			wantConsents := []PairConsent{{"a", "wm1", schemas.Consent{AgreeStatus: "Agree", StatusChangeTime: 1562766651}}}
			if !reflect.DeepEqual(consents, wantConsents) {
				t.Errorf("got %+v, want %+v", consents, wantConsents)
			}
		})
	}
}

func TestCheckRoom_AsksForItsRoomInOnePost(t *testing.T) {
	t.Parallel()
	got := make(chan string, 2)
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.URL.Path + " " + string(body)
		io.WriteString(w, memberReply)
	})
	members, err := c.CheckRoom(t.Context(), corpID, "wr1")
	if err != nil {
		t.Fatal(err)
	}
	if g, want := <-got, "POST "+roomPath+` {"chatid":"wr1"}`; g != want {
		t.Errorf("the API got %s, want %s", g, want)
	}
	want := []schemas.Member{{ExternalUserID: "wm1", Consent: schemas.Consent{AgreeStatus: "Agree", StatusChangeTime: 1562766651}}}
	if !reflect.DeepEqual(members, want) {
		t.Errorf("got %+v, want %+v", members, want)
	}
}

func TestCheckRoom_AnEmptyRoomIsAnAnswer(t *testing.T) {
	t.Parallel()
	members, err := setup(t, answer(`{"errcode":0,"errmsg":"ok","agreeinfo":[]}`)).CheckRoom(t.Context(), corpID, "wr1")
	if err != nil || len(members) != 0 {
		t.Errorf("got %v, %v: want no members and no error", members, err)
	}
}

func TestBodies_NeverBreakOutOfTheirJSON(t *testing.T) {
	t.Parallel()
	c := setup(t, answer(pairReply))
	got := string(c.singleBody([]Pair{{`"}],"x":[{"`, "a\\\n\xff"}})) + string(roomBody("客\x00"))
	want := `{"item":[{"open_userid":"\"}],\"x\":[{\"","external_userid":"a\\\n` + "\uFFFD" + `"}]}` + `{"chatid":"客\u0000"}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestClient_UnknownCorpIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	c := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("the API got a call") })
	if !c.Knows(corpID) || c.Knows("ww2") {
		t.Errorf("knows ww1: %t, ww2: %t; want true, false", c.Knows(corpID), c.Knows("ww2"))
	}
	_, err := c.CheckSingle(t.Context(), "ww2", onePair)
	if e := mustFail(t, err); e.Class != schemas.UnknownCorp || e.Temporary() {
		t.Errorf("got %v, temporary %t: want unknown_corp, for good", e, e.Temporary())
	}
}

func TestNew_NamesEveryProblem(t *testing.T) {
	t.Parallel()
	s := Static("t")
	for _, base := range []string{"qyapi.weixin.qq.com", "ftp://host", "http://", "https://u:hunter2@host", "https://h?hunter2", "https://h\x7f"} {
		_, err := New(Config{BaseURL: base, Timeout: -1, ItemField: "\xff"},
			[]Corp{{"ww1", s}, {"ww1", s}, {"", s}, {"ww2", nil}}, nil)
		if err == nil {
			t.Fatalf("base URL %q: no error", base)
		}
		for _, part := range []string{"base URL", "timeout", "item field", "ww1 stands twice", "corp 2: want an id", "ww2: want a token source"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("base URL %q: %q is not in %q", base, part, err)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password is in %q", err)
		}
	}
}

func TestNew_ZeroConfigIsTheRealAPI(t *testing.T) {
	t.Parallel()
	c := setupSource(t, Config{}, Static("t"))
	if x := c.exchange; x.baseURL != DefaultBaseURL || x.timeout != DefaultTimeout || string(c.open) != `{"item":[` {
		t.Errorf("got %s, %s, %s", x.baseURL, x.timeout, c.open)
	}
}

func TestClient_NeverFollowsARedirectNorKeepsACookie(t *testing.T) {
	t.Parallel()
	var elsewhere, cookies atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cookies.Add(int64(len(r.Cookies())))
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "v"})
		http.Redirect(w, r, other.URL+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
	})
	for _, httpClient := range []*http.Client{nil, {Transport: api.Client().Transport}} {
		c, err := New(Config{BaseURL: api.URL}, []Corp{{corpID, Static(canaryToken)}}, httpClient)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		for range 2 {
			_, err = c.CheckSingle(t.Context(), corpID, onePair)
			if e := mustFail(t, err); e.Class != schemas.Transient || !strings.Contains(e.Message, "redirect") {
				t.Errorf("got %v: want transient, about a redirect", e)
			}
		}
	}
	if elsewhere.Load() != 0 || cookies.Load() != 0 {
		t.Errorf("%d redirects followed, %d cookies sent: want none", elsewhere.Load(), cookies.Load())
	}
}

func TestClient_EndOfTheCallersContextIsTheContextsError(t *testing.T) {
	t.Parallel()
	for _, a := range asks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			c := setup(t, func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				cancel()
				<-r.Context().Done()
			})
			err := a.call(ctx, c)
			if !errors.Is(err, context.Canceled) || errors.As(err, new(*Error)) {
				t.Errorf("got %v (%T): want the context's error", err, err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the token is in %q", err)
			}
		})
	}
}

func TestClient_UsesItsConnectionsAgain(t *testing.T) {
	t.Parallel()
	addresses := make(chan string, 3)
	status := []int{http.StatusOK, http.StatusBadGateway, http.StatusOK}
	var n atomic.Int64
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		addresses <- r.RemoteAddr
		w.WriteHeader(status[n.Add(1)-1])
		io.WriteString(w, pairReply+strings.Repeat(" ", 100_000))
	})
	for range status {
		c.CheckSingle(t.Context(), corpID, onePair)
	}
	if a, b, d := <-addresses, <-addresses, <-addresses; a != b || b != d {
		t.Errorf("connections %s, %s, %s: want one", a, b, d)
	}
}
