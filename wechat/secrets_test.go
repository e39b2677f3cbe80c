package wechat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestErrors_NeverHoldATokenOrASecret(t *testing.T) {
	t.Parallel()
	// reply has the request's secrets where %s stands.
	reply := func(format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.ReplaceAll(format, "%s", strings.Trim(strconv.Quote(echo(r)), `"`)))
		}
	}
	replies := map[string]http.HandlerFunc{
		"errcode":        reply(`{"errcode":48002,"errmsg":"%s"}`),
		"unknown":        reply(`{"errcode":987654,"errmsg":"%s"}`),
		"refused":        reply(`{"errcode":40014,"errmsg":"%s"}`),
		"suite refused":  reply(`{"errcode":40082,"errmsg":"%s"}`),
		"ticket refused": reply(`{"errcode":40085,"errmsg":"%s"}`),
		"wrong secret":   reply(`{"errcode":40001,"errmsg":"%s"}`),
		"wrong JSON":     reply(`{"errcode":0,"errmsg":"Warning: wrong json format. %s"}`),
		"as names":       reply(`{"%s":{"%s":{"%s":` + canaryToken),
		"duplicate name": reply(`{"%s":1,"%s":2}`),
		"wrong types":    reply(`{"errcode":"%s","access_token":["` + canaryToken + `"],"expires_in":"` + canaryToken + `"}`),
		"truncated":      reply(`{"errcode":0,"access_token":"` + canaryToken),
		"no token":       reply(`{"errcode":0,"access_token":"` + canaryToken + ` with spaces"}`),
		"HTML":           reply("<html>%s</html>"),
		"content type": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", echo(r))
			io.WriteString(w, "{")
		},
		"status": func(w http.ResponseWriter, r *http.Request) { http.Error(w, echo(r), http.StatusForbidden) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://host/?"+r.URL.RawQuery, http.StatusFound)
		},
		"broken header": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(conn, "HTTP/1.1 "+echo(r)+canaryToken+"\r\n\r\n")
				conn.Close()
			}
		},
		"closed": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
		},
	}
	endpoints := slices.Concat(tokenEndpoints, []tokenEndpoint{
		{name: "single", path: singlePath, source: sourceSuite}, {name: "room", path: roomPath, source: sourceGetToken},
	})
	for _, p := range endpoints {
		for name, reply := range replies {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				c := p.setup(t, reply)
				_, err := c.CheckSingle(t.Context(), corpID, onePair)
				if p.name == "room" {
					_, err = c.CheckRoom(t.Context(), corpID, "wr1")
				}
				wantNoCanary(t, err)
			})
		}
	}
}

func TestErrors_OfASourceLoseTheirURL(t *testing.T) {
	t.Parallel()
	inner := errors.New("refused")
	err := &url.Error{Op: "Get", URL: "http://host/?token=" + canaryToken, Err: inner}
	_, got := newTokenCache(&source{token: func(context.Context, int64) (string, time.Duration, error) {
		return "", 0, fmt.Errorf("asking: %w", err)
	}}).get(t.Context())
	if strings.Contains(got.Error(), "canary") || !errors.Is(got, inner) {
		t.Errorf("got %q, is inner: %t", got, errors.Is(got, inner))
	}
}

func TestClean_MakesOneShortLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "invalid credential, hint: [1], from ip: 1.2.3.4", "invalid credential, hint: [1], from ip: 1.2.3.4"},
		{"token", "x tok-1 y", "x [hidden] y"},
		{"controls", "a\r\nb\x00c\td", "a  b c d"},
		{"bad UTF-8", "a\xffb", "a\uFFFDb"},
		{"proxy's password", `invalid proxy address "http://u:p@host"`, `invalid proxy address "http://[hidden]@host"`},
		{"long", strings.Repeat("x", 300), strings.Repeat("x", 200)},
		{"long, cut between characters", strings.Repeat("客", 100), strings.Repeat("客", 66)},
		{"token across the cut", strings.Repeat("x", 198) + "tok-1", strings.Repeat("x", 198) + "[h"},
	} {
		if got := (secrets{"", "tok-1"}).clean(tt.text); got != tt.want || !utf8.ValidString(got) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestErrcode_MessageSaysWhatItMeansAndWhatToDo(t *testing.T) {
	t.Parallel()
	e := mustFail(t, asks[0].call(t.Context(), setup(t, answer(errcodeReply(301052, "expired, hint: [17]")))))
	want := "corp_stopped: errcode 301052: the message archive expired: have the corp renew the message archive (the API says: expired, hint: [17])"
	if e.Error() != want || e.RetryAfter != time.Minute {
		t.Errorf("got %q after %s, want %q after 1m", e, e.RetryAfter, want)
	}
}
