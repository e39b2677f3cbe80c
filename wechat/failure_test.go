package wechat

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"consentd/schemas"
)

func TestBrokenReplies_EachHasItsClass(t *testing.T) {
	t.Parallel()
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			w.WriteHeader(code)
			if code != http.StatusNoContent {
				io.WriteString(w, "<html>"+canaryToken+"</html>")
			}
		}
	}
	for _, tt := range []struct {
		name       string
		api        http.HandlerFunc
		class      schemas.Class
		says       string
		retryAfter time.Duration
	}{
		{name: "500", api: status(500), class: schemas.Transient, says: "status 500"},
		{name: "502", api: status(502), class: schemas.Transient, says: "status 502"},
		{name: "503 with a pause", api: status(503, "Retry-After", "7"), class: schemas.Transient, says: "503", retryAfter: 7 * time.Second},
		{name: "503 with a long pause", api: status(503, "Retry-After", "99999"), class: schemas.Transient, says: "503", retryAfter: time.Minute},
		{name: "503 with a date", api: status(503, "Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"), class: schemas.Transient, says: "503"},
		{name: "429", api: status(429, "Retry-After", "3"), class: schemas.Transient, says: "status 429", retryAfter: 3 * time.Second},
		{name: "408", api: status(408), class: schemas.Transient, says: "status 408"},
		{name: "400", api: status(400), class: schemas.Transient, says: "status 400"},
		{name: "403", api: status(403), class: schemas.Transient, says: "proxy"},
		{name: "404", api: status(404), class: schemas.Transient, says: "base URL"},
		{name: "301", api: status(301), class: schemas.Transient, says: "redirect"},
		{name: "204", api: status(204), class: schemas.Transient, says: "want 200"},
		{name: "HTML", api: answer("<html><body>Sign in</body></html>"), class: schemas.Transient, says: "text/html"},
		{name: "empty", api: answer(""), class: schemas.Transient, says: "malformed reply (0 bytes"},
		{name: "truncated JSON", api: answer(`{"errcode":0,"errmsg":"ok","agreeinfo":[{"open_us`), class: schemas.Transient, says: "malformed reply"},
		{name: "truncated body", api: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"errcode":0`)
		}, class: schemas.Transient, says: "broke off"},
		{name: "too large", api: answer(`{"x":"` + strings.Repeat("x", MaxReplyBytes) + `",` + pairReply[1:]), class: schemas.Transient, says: "more than 655360 bytes"},
		{name: "reset", api: func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}, class: schemas.Transient, says: "no reply"},
		{name: "no errcode", api: answer(`{"errmsg":"ok","agreeinfo":[]}`), class: schemas.Transient, says: "no errcode"},
		{name: "errcode null", api: answer(`{"errcode":null,"agreeinfo":[]}`), class: schemas.Transient, says: "errcode is null: want an integer"},
		{name: "errcode a string", api: answer(`{"errcode":"0","agreeinfo":[]}`), class: schemas.Transient, says: "errcode is a string"},
		{name: "errcode a fraction", api: answer(`{"errcode":0.5,"agreeinfo":[]}`), class: schemas.Transient, says: "errcode: want an integer"},
		{name: "wrong JSON", api: answer(`{"errcode":0,"errmsg":"Warning: wrong json format. ok","agreeinfo":[]}`), class: schemas.Rejected, says: "item field"},
		{name: "wrong JSON and nothing else", api: answer(`{"errcode":0,"errmsg":"Warning: wrong json format."}`), class: schemas.Rejected, says: "item field"},
	} {
		for _, a := range asks {
			t.Run(tt.name+"/"+a.name, func(t *testing.T) {
				t.Parallel()
				e := mustFail(t, a.call(t.Context(), setup(t, tt.api)))
				if e.Class != tt.class || e.Errcode != 0 || e.Unknown || e.RetryAfter != tt.retryAfter {
					t.Errorf("got class %s, errcode %d, unknown %t, pause %s: want %s, 0, false, %s",
						e.Class, e.Errcode, e.Unknown, e.RetryAfter, tt.class, tt.retryAfter)
				}
				if !strings.Contains(e.Message, tt.says) {
					t.Errorf("message %q: want %q in it", e.Message, tt.says)
				}
				if strings.Contains(e.Error(), "canary") {
					t.Errorf("the token is in %q", e)
				}
			})
		}
	}
}

func TestTimeout_IsTransientAndStaysADeadline(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, begin string
	}{{"before the reply", ""}, {"within the reply", `{"errcode":0`}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if tt.begin != "" {
					io.WriteString(w, tt.begin)
					http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			c := setupSource(t, Config{BaseURL: api.URL, Timeout: 50 * time.Millisecond}, Static(canaryToken))
			_, err := c.CheckSingle(t.Context(), corpID, onePair)
			e := mustFail(t, err)
			if e.Class != schemas.Transient || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(e.Message, "within 50ms") {
				t.Errorf("got %v, deadline %t: want transient, true", e, errors.Is(err, context.DeadlineExceeded))
			}
		})
	}
}

func TestUnreachableAPI_IsTransient(t *testing.T) {
	t.Parallel()
	api := serve(t, answer(pairReply))
	c := setupSource(t, Config{BaseURL: api.URL}, Static(canaryToken))
	api.Close()
	_, err := c.CheckSingle(t.Context(), corpID, onePair)
	if e := mustFail(t, err); e.Class != schemas.Transient || !strings.Contains(e.Message, "refused") || strings.Contains(e.Message, "canary") {
		t.Errorf("got %v: want transient, connection refused, without the token", e)
	}
}

func TestError_OnlyWhatPassesIsTemporary(t *testing.T) {
	t.Parallel()
	passes := map[schemas.Class]bool{schemas.Transient: true, schemas.RateLimited: true, schemas.Token: true}
	for _, class := range schemas.Classes() {
		if got := (&Error{Class: class}).Temporary(); got != passes[class] {
			t.Errorf("%s: temporary %t, want %t", class, got, passes[class])
		}
	}
}
