package wechat

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"consentd/schemas"
)

// corp returns the tokens of a corp that is known.
func (c *Client) corp(id string) *tokenCache { return (*c.corps.Load())[id] }

func TestSetCorps_CorpsComeAndGoAndOthersKeepTheirTokens(t *testing.T) {
	t.Parallel()
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == getTokenPath {
			fmt.Fprintf(w, `{"errcode":0,"errmsg":"ok","access_token":"t-%s-%s","expires_in":7200}`, r.URL.Query().Get("corpid"), r.URL.Query().Get("corpsecret"))
			return
		}
		io.WriteString(w, pairReply)
	})
	cfg := Config{BaseURL: api.URL}
	httpClient := NewHTTPClient()
	t.Cleanup(httpClient.CloseIdleConnections)
	of := func(corp, secret string) Corp { return Corp{corp, GetToken(cfg, corp, secret, httpClient)} }
	c, err := New(cfg, []Corp{of("ww1", "a"), of("ww2", "a")}, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(corp string) error {
		_, err := c.CheckSingle(t.Context(), corp, onePair)
		return err
	}
	for _, corp := range []string{"ww1", "ww2"} {
		if err := ask(corp); err != nil {
			t.Fatal(err)
		}
	}
	kept, changed := c.corp("ww1"), c.corp("ww2")
	if err := c.SetCorps([]Corp{of("ww1", "a"), of("ww2", "another"), of("ww3", "a")}); err != nil {
		t.Fatal(err)
	}
	if c.corp("ww1") != kept || c.corp("ww2") == changed || !c.Knows("ww3") {
		t.Error("want ww1 as it was, ww2 anew, and ww3")
	}
	if err := ask("ww3"); err != nil {
		t.Error(err)
	}
	if err := c.SetCorps([]Corp{of("ww1", "a"), of("ww1", "b"), {"ww4", nil}, of("", "a")}); err == nil ||
		!strings.Contains(err.Error(), "ww1 stands twice") || !strings.Contains(err.Error(), "ww4: want a token source") || !strings.Contains(err.Error(), "corp 3: want an id") {
		t.Errorf("error %v: want every problem", err)
	}
	if !c.Knows("ww3") || c.Knows("ww4") {
		t.Error("want the corps as they were after an error")
	}
	if err := c.SetCorps(nil); err != nil {
		t.Fatal(err)
	}
	if e := mustFail(t, ask("ww1")); e.Class != schemas.UnknownCorp || c.Provider("ww1") != "" {
		t.Errorf("got %v from a corp that is gone", e)
	}
}

func TestSetCorps_WhileCallsRunOthersComeAndGo(t *testing.T) {
	t.Parallel()
	api := serve(t, answer(pairReply))
	stays := numbered(time.Hour)
	comes := Corp{"ww2", Static(canaryToken)}
	c := setupSource(t, Config{BaseURL: api.URL}, stays)
	done := make(chan struct{})
	var busy sync.WaitGroup
	for range 4 {
		busy.Go(func() {
			for {
				if _, err := c.CheckSingle(t.Context(), corpID, onePair); err != nil {
					t.Errorf("the corp that stays: %v", err)
				}
				if _, err := c.CheckSingle(t.Context(), comes.ID, onePair); err != nil && mustFail(t, err).Class != schemas.UnknownCorp {
					t.Errorf("the corp that comes and goes: %v", err)
				}
				c.Provider(comes.ID)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 200 {
		corps := []Corp{{corpID, stays}, comes}
		if err := c.SetCorps(corps[:1+i%2]); err != nil {
			t.Error(err)
		}
	}
	close(done)
	busy.Wait()
	if n := stays.asked.Load(); n != 1 {
		t.Errorf("%d tokens fetched for the corp that stays, want 1", n)
	}
}

func TestSetCorps_ACallUnderWayEndsWithWhatItBeganWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		httpClient := inProcess(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			io.WriteString(w, pairReply)
		})
		c, err := New(Config{}, []Corp{{corpID, Static("t")}}, httpClient)
		if err != nil {
			t.Fatal(err)
		}
		var call sync.WaitGroup
		call.Go(func() {
			if err := asks[0].call(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := c.SetCorps(nil); err != nil {
			t.Error(err)
		}
		close(release)
		call.Wait()
	})
}

func TestSetCorps_TheSameSecretKeepsThePauseAnotherOneEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		httpClient := inProcess(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != getTokenPath:
				io.WriteString(w, pairReply)
			case r.URL.Query().Get("corpsecret") == "right":
				io.WriteString(w, `{"access_token":"t","expires_in":7200}`)
			default:
				tries++
				io.WriteString(w, errcodeReply(40001, "invalid secret"))
			}
		})
		of := func(secret string) []Corp { return []Corp{{corpID, GetToken(Config{}, corpID, secret, httpClient)}} }
		c, err := New(Config{}, of("wrong"), httpClient)
		if err != nil {
			t.Fatal(err)
		}
		for range 59 {
			if e := mustFail(t, asks[0].call(t.Context(), c)); e.Errcode != 40001 {
				t.Fatal(e)
			}
			if err := c.SetCorps(of("wrong")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if tries != 1 {
			t.Errorf("the wrong secret was tried %d times, want once", tries)
		}
		if err := c.SetCorps(of("right")); err != nil {
			t.Fatal(err)
		}
		if err := asks[0].call(t.Context(), c); err != nil {
			t.Errorf("with the right secret: %v", err)
		}
	})
}

func TestSetCorps_SourcesOfOtherMakesMayBeIncomparable(t *testing.T) {
	t.Parallel()
	c, err := New(Config{}, []Corp{{"ww1", funcSource(nil)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetCorps([]Corp{{"ww1", funcSource(nil)}}); err != nil || c.Provider("ww1") != "" {
		t.Errorf("error %v, provider %q", err, c.Provider("ww1"))
	}
}

type funcSource func()

func (funcSource) Token(context.Context) (string, time.Duration, error) { return "t", 0, nil }

func TestProvider_CorpsThatAreRefusedTogether(t *testing.T) {
	t.Parallel()
	cfg := Config{}
	c, err := New(cfg, []Corp{
		{"ww1", GetToken(cfg, "ww1", "a", nil)},
		{"ww2", HTTPService("http://x", nil)},
		{"ww3", File("f")},
		{"ww4", Static("t")},
		{"ww5", NewSuite(cfg, "s1", "a", TicketFile("f"), nil).Source("ww5", "c")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for corp, want := range map[string]string{"ww1": "gettoken", "ww2": "http", "ww3": "file", "ww4": "static", "ww5": "suite s1", "ww6": ""} {
		if got := c.Provider(corp); got != want {
			t.Errorf("provider of %s: %q, want %q", corp, got, want)
		}
	}
}
