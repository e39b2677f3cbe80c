package wechat

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentd/schemas"
)

func TestHTTPService_GetsFromItsURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reply string
		life        time.Duration
	}{
		{"as documented", `{"access_token":"t1","expires_in":60}`, time.Minute},
		{"no life", `{"access_token":"t1"}`, 0},
		{"as WeCom answers", `{"errcode":0,"errmsg":"ok","access_token":"t1","expires_in":7200}`, 2 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			service := serve(t, func(w http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				got <- r.Method + " " + r.URL.RequestURI() + " " + user + " " + password
				io.WriteString(w, tt.reply)
			})
			url := strings.Replace(service.URL, "://", "://u:p%40@", 1) + "/tokens/ww1?key=a%20b"
			token, life, err := HTTPService(url, service.Client()).Token(t.Context())
			if token != "t1" || life != tt.life || err != nil {
				t.Errorf("got %q, %s, %v; want t1, %s", token, life, err, tt.life)
			}
			if g, want := <-got, "GET /tokens/ww1?key=a%20b u p@"; g != want {
				t.Errorf("the service got %s, want %s", g, want)
			}
		})
	}
}

func TestHTTPService_NothingOfItsURLIsInAnError(t *testing.T) {
	t.Parallel()
	service := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, errcodeReply(48002, echo(r)))
	})
	host := strings.TrimPrefix(service.URL, "http://")
	for _, url := range []string{
		"http://canary@HOST", "http://canary%21:@HOST/", "http://:canary=pass%3Dword@HOST", "http://u:canary+pass%2Bword@HOST/t",
		"http://HOST?canary", "http://HOST/?a=canary%20key&b=canary+key", "http://HOST/canary/a%2Fcanary", "http://HOST/?a=canary=%zz",
		"http://HOST/?canary=1", "http://canary:canary@HOST:x", "canary://HOST", "http://HOST/%zzcanary", "://canary", "http://[canary", "canary",
	} {
		url = strings.ReplaceAll(url, "HOST", host)
		_, _, err := HTTPService(url, service.Client()).Token(t.Context())
		wantNoCanary(t, err)
	}
	service.Close()
	_, _, err := HTTPService("http://canary:canary@"+host+"/canary?canary", service.Client()).Token(t.Context())
	if e := mustFail(t, err); e.Class != schemas.Transient || !strings.Contains(e.Message, "refused") {
		t.Errorf("got %v, want transient, connection refused", e)
	}
	wantNoCanary(t, err)
}

func TestSources_PrintedShowNoSecret(t *testing.T) {
	t.Parallel()
	suite := NewSuite(Config{}, "s1", canarySecret, TicketFile("canary"), nil)
	for _, source := range []any{
		GetToken(Config{}, "ww1", canarySecret, nil), HTTPService("http://canary", nil), Static("canary"), File("f"),
		suite, suite.Source("ww1", canaryCode),
		Corp{"ww1", suite.Source("ww1", canaryCode)},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, source); strings.Contains(text, "canary") || text == "" {
				t.Errorf("%T with %s is printed as %q", source, verb, text)
			}
		}
	}
}
