package wechat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	corpID       = "ww1"
	canaryToken  = "canary+token/with=signs" // escaped in a URL
	canarySecret = "canary secret&more"
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
	q := r.URL.Query()
	return "bad " + q.Get("access_token") + " " + q.Get("corpsecret") + " " + r.URL.RawQuery
}
