package wechattest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGetToken_Rules(t *testing.T) {
	t.Parallel()
	some := setup(t, Options{Corps: map[string]string{corpID: secret}})
	every := setup(t, Options{})
	for _, c := range []struct {
		name         string
		world        *world
		corp, secret string
		errcode      int
	}{
		{"right", some, corpID, secret, 0},
		{"wrong secret", some, corpID, "other", 40001},
		{"unknown corp", some, "ww2", secret, 40013},
		{"no corp", some, "", secret, 41002},
		{"no secret", some, corpID, "", 41004},
		{"any corp", every, "ww77", "anything", 0},
		{"any corp, no secret", every, "ww77", "", 41004},
		{"no valid corp", every, "w w", "anything", 40013},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.world.getToken(c.corp, c.secret)
			a.want(t, c.errcode)
			if ok := a.AccessToken != "" && a.ExpiresIn == 7200; ok != (c.errcode == 0) {
				t.Errorf("token %q for %d s", a.AccessToken, a.ExpiresIn)
			}
		})
	}
}

func TestToken_IsNeededAndTellsTheCorp(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.SetSingle("ww2", "a", "wm1", Status{"Other", 1})
	body := singleBodyOf(pair{"a", "wm1"})
	w.call(http.MethodPost, singlePath, body).want(t, 41001)
	w.call(http.MethodPost, singleOf("nobody's"), body).want(t, 40014)
	w.call(http.MethodPost, roomOf("nobody's"), `{"chatid":"wr1"}`).want(t, 40014)
	token := w.getToken("ww2", secret).AccessToken
	if got, want := w.call(http.MethodPost, singleOf(token), body).words(), "a/wm1=Other"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestToken_IsTheSameUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := New(Options{TokenTTL: time.Minute})
		fetch := func() string {
			body := serve(sim, http.MethodGet, getTokenOf(corpID, secret), "")
			_, rest, _ := strings.Cut(body, `"access_token":"`)
			token, _, _ := strings.Cut(rest, `"`)
			return token
		}
		ask := func(token string) string {
			return serve(sim, http.MethodPost, singleOf(token), singleBodyOf(pair{"a", "wm1"}))
		}
		first := fetch()
		time.Sleep(59 * time.Second)
		if second := fetch(); first == "" || second != first {
			t.Errorf("token %q, then %q, want the same", first, second)
		}
		if got := ask(first); !strings.Contains(got, `"errcode":0,`) {
			t.Errorf("after 59 s of 60: %s", got)
		}
		time.Sleep(time.Second)
		if got := ask(first); !strings.Contains(got, `"errcode":42001,`) {
			t.Errorf("after 60 s of 60: %s, want 42001", got)
		}
		if third := fetch(); third == first {
			t.Error("an expired token was given again")
		}
	})
}

// serve answers a call without a network.
func serve(sim *Simulator, method, target, body string) string {
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w.Body.String()
}

func TestToken_CanBeEndedBeforeItsTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		end     func(*Simulator, string)
		errcode int
	}{
		{"expired", (*Simulator).ExpireTokens, 42001},
		{"revoked", (*Simulator).RevokeTokens, 40014},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, Options{})
			fetched := w.getToken(corpID, secret).AccessToken
			other := w.sim.Token("ww2")
			c.end(w.sim, corpID)
			for _, token := range []string{w.token, fetched} {
				w.call(http.MethodPost, roomOf(token), `{"chatid":"wr1"}`).want(t, c.errcode)
			}
			w.call(http.MethodPost, roomOf(other), `{"chatid":"wr1"}`).want(t, 0)
			again := w.getToken(corpID, secret).AccessToken
			w.call(http.MethodPost, roomOf(again), `{"chatid":"wr1"}`).want(t, 0)
			if got, want := w.sim.Tokens(), []string{w.token, other, again}; !slices.Equal(got, want) {
				t.Errorf("tokens %v, want %v", got, want)
			}
		})
	}
}
