package wechattest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	corpID = "ww1"
	secret = "s3cret"
)

// world is a simulator that is served, and somebody who calls it.
type world struct {
	t     testing.TB
	sim   *Simulator
	url   string
	http  *http.Client
	token string // of corpID
}

func setup(t testing.TB, o Options) *world {
	t.Helper()
	sim := New(o)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &world{t: t, sim: sim, url: sim.Start(t), http: client, token: sim.Token(corpID)}
}

// answer is a reply as it came.
type answer struct {
	status int
	header http.Header
	body   string

	Errcode     int    `json:"errcode"`
	Errmsg      string `json:"errmsg"`
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	AgreeInfo   []struct {
		StatusChangeTime int64  `json:"status_change_time"`
		OpenUserID       string `json:"open_userid"`
		ExternalUserID   string `json:"external_userid"`
		AgreeStatus      string `json:"agree_status"`
	} `json:"agreeinfo"`
}

func (w *world) do(method, path, body string) (answer, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b)}, err
}

// call makes a call that the API itself must answer.
func (w *world) call(method, path, body string) answer {
	w.t.Helper()
	a, err := w.do(method, path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(a.body), &a); err != nil || a.status != http.StatusOK {
		w.t.Fatalf("HTTP status %d, %v: %s", a.status, err, a.body)
	}
	return a
}

func singleOf(token string) string { return singlePath + "?access_token=" + url.QueryEscape(token) }
func roomOf(token string) string   { return roomPath + "?access_token=" + url.QueryEscape(token) }

func getTokenOf(corp, secret string) string {
	return getTokenPath + "?" + url.Values{"corpid": {corp}, "corpsecret": {secret}}.Encode()
}

func (w *world) single(pairs ...pair) answer {
	w.t.Helper()
	return w.call(http.MethodPost, singleOf(w.token), singleBodyOf(pairs...))
}

func (w *world) room(chatID string) answer {
	w.t.Helper()
	return w.call(http.MethodPost, roomOf(w.token), `{"chatid":"`+chatID+`"}`)
}

func (w *world) getToken(corp, secret string) answer {
	w.t.Helper()
	return w.call(http.MethodGet, getTokenOf(corp, secret), "")
}

func singleBodyOf(pairs ...pair) string {
	items := make([]string, len(pairs))
	for i, p := range pairs {
		items[i] = `{"open_userid":"` + p.staff + `","external_userid":"` + p.customer + `"}`
	}
	return `{"item":[` + strings.Join(items, ",") + `]}`
}

// words returns who said what, in the order of the reply.
func (a answer) words() string {
	var words []string
	for _, e := range a.AgreeInfo {
		words = append(words, strings.TrimPrefix(e.OpenUserID+"/", "/")+e.ExternalUserID+"="+e.AgreeStatus)
	}
	return strings.Join(words, " ")
}

func (a answer) want(t testing.TB, errcode int) {
	t.Helper()
	if a.Errcode != errcode {
		t.Fatalf("errcode %d (%s), want %d", a.Errcode, a.Errmsg, errcode)
	}
}

// pairs makes n pairs.
func pairs(n int) []pair {
	all := make([]pair, n)
	for i := range all {
		all[i] = pair{"staff" + string(rune('a'+i%7)), "wm" + strings.Repeat("x", i%5) + string(rune('A'+i%26)) + string(rune('A'+i/26%26)) + string(rune('A'+i/676))}
	}
	return all
}
