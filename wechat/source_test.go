package wechat

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"consentd/schemas"
)

func TestGetToken_FetchesByTheCorpsSecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reply string
		life        time.Duration
	}{
		{"as documented", `{"errcode":0,"errmsg":"ok","access_token":"tok-1","expires_in":7200,"more":1}`, 2 * time.Hour},
		{"no errcode", `{"access_token":"tok-1","expires_in":60}`, time.Minute},
		{"no life", `{"errcode":0,"access_token":"tok-1"}`, 0},
		{"negative life", `{"errcode":0,"access_token":"tok-1","expires_in":-1}`, 0},
		{"endless life", `{"errcode":0,"access_token":"tok-1","expires_in":9223372036854775807}`, maxLife},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				got <- r.Method + " " + r.URL.Path + " " + q.Get("corpid") + " " + q.Get("corpsecret")
				io.WriteString(w, tt.reply)
			})
			token, life, err := GetToken(Config{BaseURL: api.URL}, corpID, canarySecret, api.Client()).Token(t.Context())
			if token != "tok-1" || life != tt.life || err != nil {
				t.Errorf("got %s, %s, %v; want tok-1, %s", token, life, err, tt.life)
			}
			if g, want := <-got, "GET "+getTokenPath+" "+corpID+" "+canarySecret; g != want {
				t.Errorf("the API got %s, want %s", g, want)
			}
		})
	}
}

func TestGetToken_FailuresAreThoseOfTheCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reply string
		class       schemas.Class
		code        int
	}{
		{"wrong secret", errcodeReply(40001, "invalid credential"), schemas.CorpStopped, 40001},
		{"wrong corp", errcodeReply(40013, "invalid corpid"), schemas.CorpStopped, 40013},
		{"IP not allowed", errcodeReply(60020, "not allow to access from your ip"), schemas.CorpStopped, 60020},
		{"busy", errcodeReply(-1, "system busy"), schemas.Transient, -1},
		{"too often", errcodeReply(45009, "api freq out of limit"), schemas.RateLimited, 45009},
		{"unknown", errcodeReply(12345, "?"), schemas.Token, 12345},
		{"HTML", "<html>", schemas.Transient, 0},
		{"no token", `{"errcode":0,"errmsg":"ok"}`, schemas.Token, 0},
		{"a token of spaces", `{"errcode":0,"access_token":"a b"}`, schemas.Token, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != getTokenPath {
					calls.Add(1)
				}
				io.WriteString(w, tt.reply)
			})
			e := mustFail(t, asks[0].call(t.Context(), setupGetToken(t, api.URL)))
			if e.Class != tt.class || e.Errcode != tt.code || calls.Load() != 0 {
				t.Errorf("got %v and %d calls: want class %s, errcode %d and none", e, calls.Load(), tt.class, tt.code)
			}
			if e.Unknown {
				t.Error("an errcode of gettoken that nobody documented would end what is asked about")
			}
			if tt.code != 0 && !strings.HasPrefix(e.Message, "gettoken: ") {
				t.Errorf("message %q does not say that it is about the token", e.Message)
			}
		})
	}
}

func TestFile_IsReadAnewWhenTheTokenIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var calls atomic.Int64
	api := serve(t, refusing(errcodeTokenExpired, func() string { return "second" }, &calls))
	c := setupSource(t, Config{BaseURL: api.URL}, File(path))

	if e := mustFail(t, asks[0].call(t.Context(), c)); e.Class != schemas.Token || !strings.Contains(e.Message, path) {
		t.Errorf("absent file: got %v, want class token and the path", e)
	}
	write(" first\n")
	if e := mustFail(t, asks[0].call(t.Context(), c)); e.Class != schemas.Token || e.Errcode != errcodeTokenExpired {
		t.Errorf("old token: got %v, want class token", e)
	}
	write("second\r\n")
	if err := asks[0].call(t.Context(), c); err != nil {
		t.Errorf("new token: %v", err)
	}
}

func TestFile_WithoutATokenIsOfClassToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty": "", "white space": " \n", "two words": "canary canary", "too long": strings.Repeat("canary", 100),
		"huge": strings.Repeat("canary", 100_000), "bytes": "canary\x00\xff",
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := File(path).Token(t.Context())
		if e := mustFail(t, err); e.Class != schemas.Token || strings.Contains(e.Message, "canary") || !strings.Contains(e.Message, path) {
			t.Errorf("%s: got %v, want class token, the path and nothing of the file", name, e)
		}
	}
	if _, _, err := File(dir).Token(t.Context()); mustFail(t, err).Class != schemas.Token {
		t.Errorf("a directory: got %v, want class token", err)
	}
}
