package wechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	corpID           = "ww1"
	canaryToken      = "canary+token/with=signs" // escaped in a URL
	canarySecret     = "canary secret&more"
	canaryTicket     = "canary-ticket"
	canaryCode       = "canary permanent&code"
	canarySuiteToken = "canary+suite/token=1"
)

var onePair = []Pair{{"a", "wm1"}}

// ask is one of the two calls, for tests of what both do alike.
type ask struct {
	name, path, reply string
	call              func(context.Context, *Client) error
}

var asks = []ask{
	{"single", singlePath, pairReply, func(ctx context.Context, c *Client) error {
		_, err := c.CheckSingle(ctx, corpID, onePair)
		return err
	}},
	{"room", roomPath, memberReply, func(ctx context.Context, c *Client) error {
		_, err := c.CheckRoom(ctx, corpID, "wr1")
		return err
	}},
}

const (
	pairReply   = `{"errcode":0,"errmsg":"ok","agreeinfo":[{"status_change_time":1562766651,"open_userid":"a","external_userid":"wm1","agree_status":"Agree"}]}`
	memberReply = `{"errcode":0,"errmsg":"ok","agreeinfo":[{"status_change_time":1562766651,"external_userid":"wm1","agree_status":"Agree"}]}`
)

// serve starts an API of the test's making.
func serve(t testing.TB, api http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(api)
	t.Cleanup(s.Close)
	return s
}

// setup returns a client of corpID that asks the API of the test's making with canaryToken.
func setup(t testing.TB, api http.HandlerFunc) *Client {
	t.Helper()
	return setupSource(t, Config{BaseURL: serve(t, api).URL}, Static(canaryToken))
}

func setupSource(t testing.TB, cfg Config, source TokenSource) *Client {
	t.Helper()
	c, err := New(cfg, []Corp{{corpID, source}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func setupGetToken(t testing.TB, baseURL string) *Client {
	t.Helper()
	httpClient := NewHTTPClient()
	cfg := Config{BaseURL: baseURL}
	c, err := New(cfg, []Corp{{corpID, GetToken(cfg, corpID, canarySecret, httpClient)}}, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(httpClient.CloseIdleConnections)
	t.Cleanup(c.Close)
	return c
}

// inProcess is a transport straight to the API of the test's making, without a network: for time that is virtual.
func inProcess(api http.HandlerFunc) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		api(w, r)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return w.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answer replies to any call.
func answer(reply string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, reply) }
}

func errcodeReply(code int, errmsg string) string {
	b, _ := json.Marshal(map[string]any{"errcode": code, "errmsg": errmsg})
	return string(b)
}

// mustFail returns the *Error that err has to be.
func mustFail(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T): want an *Error", err, err)
	}
	return e
}

// source is a TokenSource made of a function; it counts how often it is asked.
type source struct {
	asked atomic.Int64
	token func(ctx context.Context, n int64) (string, time.Duration, error)
}

func (s *source) Token(ctx context.Context) (string, time.Duration, error) {
	return s.token(ctx, s.asked.Add(1))
}

// echo is all that a request has which must not be passed on, as text and as it was sent.
func echo(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	var sent map[string]any
	json.Unmarshal(body, &sent)
	user, password, _ := r.BasicAuth()
	words := []any{"bad", r.URL.RawQuery, r.URL.Path, r.Header.Get("Authorization"), user, password}
	for _, values := range r.URL.Query() {
		words = append(words, values[0])
	}
	for _, name := range []string{"suite_secret", "suite_ticket", "permanent_code"} {
		words = append(words, sent[name])
	}
	return fmt.Sprintln(words...)
}

// wantNoCanary looks for secrets in every form of an error.
func wantNoCanary(t testing.TB, err error) {
	t.Helper()
	e := mustFail(t, err)
	for _, text := range []string{err.Error(), e.Message, fmt.Sprintf("%+v", err), fmt.Sprintf("%+v", *e)} {
		if strings.Contains(text, "canary") || strings.Contains(text, "secret&more") {
			t.Errorf("a secret is in %q", text)
		}
	}
}
