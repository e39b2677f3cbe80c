package wechat

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"consentd/schemas"
)

// tokenEndpoint is one of those that hand out tokens.
type tokenEndpoint struct {
	name, path string
	says       string // what its failures begin with
	allCorps   bool   // what fails there concerns all corps
	source     func(t testing.TB, baseURL string, client *http.Client) TokenSource
	refused    schemas.Class // what HTTP status 4xx is there
}

const servicePath = "/canary-path/token"

var tokenEndpoints = []tokenEndpoint{
	{"gettoken", getTokenPath, "gettoken: ", false, sourceGetToken, schemas.Transient},
	{"get_suite_token", suiteTokenPath, "suite s1: get_suite_token: ", true, sourceSuite, schemas.Transient},
	{"get_corp_token", corpTokenPath, "get_corp_token: ", false, sourceSuite, schemas.Transient},
	{"http", servicePath, "token service: ", false, sourceHTTP, schemas.Token},
}

func sourceGetToken(_ testing.TB, baseURL string, client *http.Client) TokenSource {
	return GetToken(Config{BaseURL: baseURL}, corpID, canarySecret, client)
}

func sourceSuite(t testing.TB, baseURL string, client *http.Client) TokenSource {
	ticketFile := filepath.Join(t.TempDir(), "ticket")
	writeFile(t, ticketFile, canaryTicket)
	return NewSuite(Config{BaseURL: baseURL}, "s1", canarySecret, TicketFile(ticketFile), client).Source(corpID, canaryCode)
}

func sourceHTTP(_ testing.TB, baseURL string, client *http.Client) TokenSource {
	user := strings.Replace(baseURL, "://", "://canary-user:canary-pass=word@", 1)
	return HTTPService(user+servicePath+"?corp=ww1&key=canary%20key%26&canary-flag", client)
}

// with answers at the endpoint as the reply does, and elsewhere with what is good.
func (p tokenEndpoint) with(reply http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case p.path:
			reply(w, r)
		case suiteTokenPath:
			fmt.Fprintf(w, `{"suite_access_token":%q,"expires_in":7200}`, canarySuiteToken)
		case singlePath:
			io.WriteString(w, pairReply)
		case roomPath:
			io.WriteString(w, memberReply)
		default:
			fmt.Fprintf(w, `{"access_token":%q,"expires_in":7200}`, canaryToken)
		}
	}
}

// setup returns a client whose tokens come from the endpoint, over the network.
func (p tokenEndpoint) setup(t testing.TB, reply http.HandlerFunc) *Client {
	t.Helper()
	api := serve(t, p.with(reply))
	httpClient := NewHTTPClient()
	t.Cleanup(httpClient.CloseIdleConnections)
	c, err := New(Config{BaseURL: api.URL}, []Corp{{corpID, p.source(t, api.URL, httpClient)}}, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantFailure checks all but class and errcode.
func (p tokenEndpoint) wantFailure(t testing.TB, e *Error) {
	t.Helper()
	if e.PerItem || e.TooManyPairs {
		t.Errorf("per item %t, too many pairs %t: want it to be about no item", e.PerItem, e.TooManyPairs)
	}
	if !strings.HasPrefix(e.Message, p.says) {
		t.Errorf("message %q: want it to begin with %q", e.Message, p.says)
	}
	wantNoCanary(t, e)
}

func TestTokenEndpoints_BrokenRepliesHaveTheirClass(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere?"+r.URL.RawQuery)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
			io.WriteString(w, "<html>"+canaryToken)
		}
	}
	cut := func(linger int, head string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, head)
			conn.(*net.TCPConn).SetLinger(linger)
			conn.Close()
		}
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
	token := `"access_token":"` + canaryToken + `","suite_access_token":"` + canaryToken + `"`
	for _, tt := range []struct {
		name  string
		reply http.HandlerFunc
		class schemas.Class // empty: the endpoint's refused
		code  int
		says  string
	}{
		{"400", status(400), "", 0, "status 400"},
		{"401", status(401), "", 0, "status 401"},
		{"403", status(403), "", 0, "status 403"},
		{"404", status(404), "", 0, "status 404"},
		{"408", status(408), schemas.Transient, 0, "status 408"},
		{"429", status(429), schemas.Transient, 0, "status 429"},
		{"500", status(500), schemas.Transient, 0, "status 500"},
		{"503", status(503), schemas.Transient, 0, "status 503"},
		{"301", status(301), schemas.Transient, 0, "redirect"},
		{"307", status(307), schemas.Transient, 0, "redirect"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, schemas.Transient, 0, "want 200"},
		{"HTML", answer("<html><body>Sign in " + canaryToken), schemas.Transient, 0, "malformed reply"},
		{"empty", answer(""), schemas.Transient, 0, "malformed reply (0 bytes"},
		{"truncated JSON", answer(`{"access_token":"` + canaryToken), schemas.Transient, 0, "malformed reply"},
		{"truncated body", cut(-1, head+`{"access_token":"`+canaryToken), schemas.Transient, 0, "broke off"},
		{"reset", cut(0, ""), schemas.Transient, 0, "no reply"},
		{"closed", cut(-1, ""), schemas.Transient, 0, "no reply"},
		{"too large", answer("{" + token + strings.Repeat(" ", MaxReplyBytes) + "}"), schemas.Transient, 0, "more than 655360 bytes"},
		{"two values", answer("{" + token + "}{}"), schemas.Transient, 0, "malformed reply"},
		{"an array", answer("[{" + token + "}]"), schemas.Transient, 0, "malformed reply"},
		{"errcode a string", answer(`{"errcode":"0",` + token + `}`), schemas.Transient, 0, "malformed reply"},
		{"errcode a fraction", answer(`{"errcode":0.5,` + token + `}`), schemas.Transient, 0, "malformed reply"},
		{"errcode an object", answer(`{"errcode":{},` + token + `}`), schemas.Transient, 0, "malformed reply"},
		{"token a number", answer(`{"errcode":0,"access_token":5,"suite_access_token":5}`), schemas.Transient, 0, "malformed reply"},
		{"life a string", answer(`{"errcode":0,` + token + `,"expires_in":"7200"}`), schemas.Transient, 0, "malformed reply"},
		{"wrong JSON", answer(`{"errcode":0,"errmsg":"Warning: wrong json format. ` + canaryToken + `",` + token + `}`), schemas.Token, 0, "wrong json format"},
		{"errcode and nothing else", answer(`{"errcode":40001}`), schemas.CorpStopped, 40001, "wrong secret"},
		{"errcode a string, refused", answer(`{"errcode":"40001"}`), schemas.CorpStopped, 40001, "wrong secret"},
		{"errcode beside wrong types", answer(`{"errcode":40001,"access_token":5,"errmsg":[]}`), schemas.CorpStopped, 40001, "wrong secret"},
		{"errcode beside invalid UTF-8", answer(`{"errcode":40001,"errmsg":"` + "\xff" + canaryToken + `"}`), schemas.CorpStopped, 40001, "wrong secret"},
		{"errcode beside a token", answer(`{"errcode":40001,` + token + `}`), schemas.CorpStopped, 40001, "wrong secret"},
	} {
		for _, p := range tokenEndpoints {
			t.Run(tt.name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				e := mustFail(t, asks[0].call(t.Context(), p.setup(t, tt.reply)))
				class := cmp.Or(tt.class, p.refused)
				if e.Class != class || e.Errcode != tt.code || !strings.Contains(e.Message, tt.says) || e.AllCorps != p.allCorps {
					t.Errorf("got %v, all corps %t: want class %s, errcode %d, %q, %t", e, e.AllCorps, class, tt.code, tt.says, p.allCorps)
				}
				if said := tt.code != 0 || tt.class == schemas.Token; e.Replied != (said && p.path != servicePath) {
					t.Errorf("%v: replied %t", e, e.Replied)
				}
				if e.Beside != (p.path == servicePath) {
					t.Errorf("%v: beside the API %t", e, e.Beside)
				}
				p.wantFailure(t, e)
			})
		}
	}
}

func TestTokenEndpoints_AReplyWithoutATokenIsOfClassToken(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		`{}`, `{"errcode":0,"errmsg":"ok"}`, `{"errcode":null,"expires_in":7200}`,
		`{"access_token":"","suite_access_token":""}`, `{"access_token":null,"suite_access_token":null}`,
		`{"access_token":"canary token","suite_access_token":"canary\ntoken"}`,
		`{"access_token":"` + strings.Repeat("canary", 100) + `","suite_access_token":"` + strings.Repeat("canary", 100) + `"}`,
	} {
		for _, p := range tokenEndpoints {
			e := mustFail(t, asks[0].call(t.Context(), p.setup(t, answer(reply))))
			if e.Class != schemas.Token || e.Errcode != 0 || !strings.Contains(e.Message, "want 1 to 512 printable characters") || e.AllCorps != p.allCorps {
				t.Errorf("%s, %s: got %v, all corps %t: want class token", p.name, reply, e, e.AllCorps)
			}
			wantNoCanary(t, e)
		}
	}
}

func TestTokenEndpoints_EachErrcodeHasItsClass(t *testing.T) {
	t.Parallel()
	for _, p := range tokenEndpoints {
		synctest.Test(t, func(t *testing.T) {
			for class, codes := range classesByCode {
				for _, code := range codes {
					httpClient := inProcess(p.with(answer(errcodeReply(code, "said"))))
					c, err := New(Config{}, []Corp{{corpID, p.source(t, DefaultBaseURL, httpClient)}}, httpClient)
					if err != nil {
						t.Fatal(err)
					}
					want := class
					if slices.Contains(perItemCodes, code) {
						want = schemas.Token // no item is at fault
					}
					e := mustFail(t, asks[0].call(t.Context(), c))
					if e.Class != want || e.Errcode != code || e.Unknown {
						t.Errorf("%s: got %v, unknown %t: want class %s, errcode %d", p.name, e, e.Unknown, want, code)
					}
					if all := p.allCorps || slices.Contains(allCorpsCodes, code); e.AllCorps != all {
						t.Errorf("%s, %d: all corps %t, want %t", p.name, code, e.AllCorps, all)
					}
					if e.Class == schemas.CorpStopped && e.RetryAfter != time.Minute {
						t.Errorf("%s, %d: to be tried again in %s, want a minute", p.name, code, e.RetryAfter)
					}
					p.wantFailure(t, e)
				}
			}
		})
	}
}

func TestTokenEndpoints_ARefusedCredentialIsTriedOnceAMinuteAtMost(t *testing.T) {
	t.Parallel()
	for _, p := range tokenEndpoints {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var tries []time.Duration
			httpClient := inProcess(p.with(func(w http.ResponseWriter, _ *http.Request) {
				tries = append(tries, time.Since(start))
				if len(tries)%2 == 0 {
					w.WriteHeader(http.StatusBadGateway) // which doesn't make it any better
					return
				}
				io.WriteString(w, errcodeReply(40001, "wrong"))
			}))
			c, err := New(Config{}, []Corp{{corpID, p.source(t, DefaultBaseURL, httpClient)}}, httpClient)
			if err != nil {
				t.Fatal(err)
			}
			for time.Since(start) < time.Hour {
				for _, a := range asks {
					mustFail(t, a.call(t.Context(), c))
				}
				time.Sleep(time.Second)
			}
			m := time.Minute
			want := []time.Duration{0, 1 * m, 2 * m, 4 * m, 6 * m, 10 * m, 14 * m, 22 * m, 30 * m, 40 * m, 50 * m}
			if !slices.Equal(tries, want) {
				t.Errorf("%s: tried at %v, want %v", p.name, tries, want)
			}
		})
	}
}
