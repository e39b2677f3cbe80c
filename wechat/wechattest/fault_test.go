package wechattest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var threePairs = []pair{{"a", "wm1"}, {"a", "wm2"}, {"b", "wm3"}}

// faulty returns a world where threePairs agree and each call meets the fault.
func faulty(t testing.TB, f Fault) *world {
	t.Helper()
	w := setup(t, Options{DefaultStatus: Status{Agree, 1}})
	w.sim.Script(f)
	return w
}

func TestFault_ChangesTheReply(t *testing.T) {
	t.Parallel()
	const usual = "a/wm1=Agree a/wm2=Agree b/wm3=Agree"
	const nobody = "NobodyAskedFor/wmNobodyAskedFor"
	for _, c := range []struct {
		name  string
		fault Fault
		words string
	}{
		{"omit a customer", Fault{Omit: []string{"wm2"}}, "a/wm1=Agree b/wm3=Agree"},
		{"omit a staff member", Fault{Omit: []string{"a"}}, "b/wm3=Agree"},
		{"omit a pair", Fault{Omit: []string{"a/wm2", "b/wm1"}}, "a/wm1=Agree b/wm3=Agree"},
		{"drop", Fault{Drop: 2}, "b/wm3=Agree"},
		{"drop all", Fault{Drop: 9}, ""},
		{"add", Fault{Add: 2}, usual + " " + nobody + "0=Agree " + nobody + "1=Agree"},
		{"repeat", Fault{Repeat: true}, usual + " " + usual},
		{"white space", Fault{PadBytes: 100_000}, usual},
		{"several", Fault{Omit: []string{"wm1", "wm2"}, Add: 1}, "b/wm3=Agree " + nobody + "0=Agree"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := faulty(t, c.fault)
			a := w.single(threePairs...)
			a.want(t, 0)
			if got := a.words(); got != c.words {
				t.Errorf("got %s, want %s", got, c.words)
			}
			if len(a.body) < c.fault.PadBytes {
				t.Errorf("%d bytes, want more than %d", len(a.body), c.fault.PadBytes)
			}
			w.sim.ClearFaults()
			if got := w.single(threePairs...).words(); got != usual {
				t.Errorf("afterwards %s, want %s", got, usual)
			}
		})
	}
}

func TestFault_ShuffleKeepsTheEntriesInAnotherOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 100} {
		w := faulty(t, Fault{Shuffle: true})
		asked := pairs(n)
		shuffled := strings.Fields(w.single(asked...).words())
		w.sim.ClearFaults()
		usual := strings.Fields(w.single(asked...).words())
		if slices.Equal(shuffled, usual) {
			t.Errorf("%d entries are in the usual order", n)
		}
		slices.Sort(shuffled)
		slices.Sort(usual)
		if !slices.Equal(shuffled, usual) {
			t.Errorf("of %d entries some are others", n)
		}
	}
}

func TestFault_AnswersWithAnErrcode(t *testing.T) {
	t.Parallel()
	w := faulty(t, Fault{Errcode: 45009})
	for _, a := range []answer{w.single(threePairs...), w.room("wr1"), w.getToken(corpID, secret)} {
		a.want(t, 45009)
		if !strings.HasPrefix(a.Errmsg, "api freq out of limit, hint: [") || a.header.Get("Error-Code") != "45009" {
			t.Errorf("errmsg %q, headers %v", a.Errmsg, a.header)
		}
	}
	w = faulty(t, Fault{Errcode: 48002, Errmsg: "my\nown"})
	a := w.single(threePairs...)
	if a.want(t, 48002); a.Errmsg != "my\nown" {
		t.Errorf("errmsg %q, want it verbatim", a.Errmsg)
	}
}

func TestFault_WarnsBesideErrcodeZero(t *testing.T) {
	t.Parallel()
	a := faulty(t, Fault{Errmsg: WrongJSON}).single(threePairs...)
	if a.want(t, 0); a.Errmsg != "Warning: wrong json format." || len(a.AgreeInfo) != 3 {
		t.Errorf("got %s", a.body)
	}
}

func TestFault_SendsTheErrcodeAsAString(t *testing.T) {
	t.Parallel()
	for _, f := range []Fault{{StringErrcode: true}, {StringErrcode: true, Errcode: -1}} {
		a, err := faulty(t, f).do(http.MethodPost, singleOf("nobody's"), singleBodyOf(threePairs...))
		want := map[int]string{0: `{"errcode":"40014",`, -1: `{"errcode":"-1",`}[f.Errcode]
		if err != nil || !strings.HasPrefix(a.body, want) {
			t.Errorf("got %s, %v, want %s", a.body, err, want)
		}
	}
}

func TestFault_AnswersAsSomethingBeforeTheAPI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fault  Fault
		status int
	}{
		{"bad gateway", Fault{HTTPStatus: 502, Body: "<html>"}, 502},
		{"body alone", Fault{Body: `{"errcode":`}, 200},
		{"status alone", Fault{HTTPStatus: 503, Header: map[string]string{"Retry-After": "7"}}, 503},
		{"redirect", Fault{Redirect: "http://127.0.0.1:1/elsewhere"}, 302},
		{"status that there is not", Fault{HTTPStatus: 7}, 500},
		{"informational status", Fault{HTTPStatus: 103}, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, err := faulty(t, c.fault).do(http.MethodPost, singleOf("nobody's"), singleBodyOf(threePairs...))
			if err != nil || a.status != c.status || a.body != c.fault.Body || a.header.Get("Location") != c.fault.Redirect {
				t.Errorf("status %d, body %q, headers %v, %v", a.status, a.body, a.header, err)
			}
			if got, want := a.header.Get("Retry-After"), c.fault.Header["Retry-After"]; got != want {
				t.Errorf("Retry-After %q, want %q", got, want)
			}
		})
	}
}

func TestFault_BreaksTheConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault Fault
		want  error
	}{
		{"without a reply", Fault{CloseConnection: true}, io.EOF},
		{"by a reset", Fault{ResetConnection: true}, syscall.ECONNRESET},
		{"in the middle of it", Fault{Truncate: true}, io.ErrUnexpectedEOF},
		{"in the middle of a huge one", Fault{Truncate: true, PadBytes: 1 << 20}, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := faulty(t, c.fault)
			a, err := w.do(http.MethodPost, singleOf(w.token), singleBodyOf(threePairs...))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if (a.body != "") != c.fault.Truncate {
				t.Errorf("body %.40q", a.body)
			}
			w.sim.ClearFaults()
			w.single(threePairs...).want(t, 0)
		})
	}
}

func TestFault_HangsUntilTheCallerIsGoneOrFaultsAreCleared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(sim *Simulator, leave context.CancelFunc)
	}{
		{"caller gone", func(_ *Simulator, leave context.CancelFunc) { leave() }},
		{"faults cleared", func(sim *Simulator, _ context.CancelFunc) { sim.ClearFaults() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := New(Options{})
				sim.Script(Fault{Hang: true})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var aborted error
				go func() {
					// A recorder has no connection that could be closed.
					defer func() { aborted, _ = recover().(error) }()
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, getTokenOf(corpID, secret), nil)
					sim.ServeHTTP(httptest.NewRecorder(), r)
				}()
				time.Sleep(24 * time.Hour)
				if aborted != nil {
					t.Fatalf("ended by itself: %v", aborted)
				}
				c.end(sim, leave)
				synctest.Wait()
				if !errors.Is(aborted, http.ErrAbortHandler) {
					t.Errorf("ended with %v, want the connection aborted", aborted)
				}
			})
		})
	}
}

// server is a test that ends when it is told to.
type server struct{ ends []func() }

func (s *server) Helper()          {}
func (s *server) Cleanup(f func()) { s.ends = append(s.ends, f) }

func TestStart_BreaksOffCallsThatHangAtTheEnd(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	var s server
	w.url = w.sim.Start(&s)
	w.sim.Script(Fault{Hang: true})
	sent, done := make(chan struct{}), make(chan error)
	go func() {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) },
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+roomOf(w.token), strings.NewReader(`{"chatid":"wr1"}`))
		if err == nil {
			_, err = w.http.Do(req)
		}
		done <- err
	}()
	<-sent
	for _, end := range s.ends {
		end()
	}
	if err := <-done; err == nil {
		t.Error("a call that hangs was answered")
	}
}

func TestFault_DelayIsAddedToTheSimulators(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := New(Options{Delay: 20 * time.Millisecond})
		token := sim.Token(corpID)
		took := func() time.Duration {
			start := time.Now()
			if got := serve(sim, http.MethodPost, roomOf(token), `{"chatid":"wr1"}`); !strings.Contains(got, `"errcode":0,`) {
				t.Errorf("got %s", got)
			}
			return time.Since(start)
		}
		if got := took(); got != 20*time.Millisecond {
			t.Errorf("took %s, want 20 ms", got)
		}
		sim.Script(Fault{Delay: time.Second, Count: 1})
		if got := took(); got != 1020*time.Millisecond {
			t.Errorf("took %s, want 1020 ms", got)
		}
		sim.SetDelay(0)
		if got := took(); got != 0 {
			t.Errorf("took %s, want no time", got)
		}
	})
}

func TestFault_StrikesTheCallsThatItSelects(t *testing.T) {
	t.Parallel()
	const single, room, getToken, other = "single", "room", "gettoken", "other corp"
	for _, c := range []struct {
		name  string
		fault Fault
		want  []string
	}{
		{"all", Fault{}, []string{single, room, getToken, other}},
		{"a corp", Fault{Corp: corpID}, []string{single, room, getToken}},
		{"single", Fault{Kind: Single}, []string{single, other}},
		{"room", Fault{Kind: Room}, []string{room}},
		{"gettoken", Fault{Kind: GetToken}, []string{getToken}},
		{"a customer", Fault{ID: "wm2"}, []string{single}},
		{"a staff member", Fault{ID: "b"}, []string{single}},
		{"a room", Fault{ID: "wr1"}, []string{room}},
		{"a pair", Fault{ID: "a2/wm22"}, []string{other}},
		{"a pair that is not one", Fault{ID: "a/wm3"}, nil},
		{"a pair of a corp", Fault{ID: "a/wm2", Corp: corpID}, []string{single}},
		{"a pair of another corp", Fault{ID: "a/wm2", Corp: "ww2"}, nil},
		{"corp and kind", Fault{Corp: "ww2", Kind: Single}, []string{other}},
		{"nobody", Fault{ID: "wm9"}, nil},
		{"from the second on", Fault{Skip: 1}, []string{room, getToken, other}},
		{"only the first", Fault{Count: 1}, []string{single}},
		{"only the third", Fault{Skip: 2, Count: 1}, []string{getToken}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.fault.Errcode = -1
			w := faulty(t, c.fault)
			var struck []string
			for _, call := range []struct {
				name string
				do   func() answer
			}{
				{single, func() answer { return w.single(threePairs...) }},
				{room, func() answer { return w.room("wr1") }},
				{getToken, func() answer { return w.getToken(corpID, secret) }},
				{other, func() answer {
					return w.call(http.MethodPost, singleOf(w.sim.Token("ww2")), singleBodyOf(pair{"a2", "wm22"}))
				}},
			} {
				if call.do().Errcode == -1 {
					struck = append(struck, call.name)
				}
			}
			if !slices.Equal(struck, c.want) {
				t.Errorf("struck %v, want %v", struck, c.want)
			}
			if got := w.sim.Stats().Faults; got != int64(len(c.want)) {
				t.Errorf("counted %d faults, want %d", got, len(c.want))
			}
		})
	}
}

func TestFault_TheFirstThatSelectsACallStrikes(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.Script(Fault{Errcode: 1, Count: 2}, Fault{Errcode: 2, Skip: 1, Count: 1})
	w.sim.Script(Fault{Errcode: 3, Count: 1})
	var got []int
	for range 6 {
		got = append(got, w.room("wr1").Errcode)
	}
	if want := []int{1, 1, 3, 2, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("errcodes %v, want %v", got, want)
	}
}

func TestFault_ThoseThatSelectAnIDKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.Script(
		Fault{ID: "wm3", Errcode: 1, Count: 1}, Fault{Corp: corpID, Errcode: 2, Count: 1}, Fault{ID: "a/wm1", Errcode: 3, Count: 1},
		Fault{Errcode: 4, Count: 1}, Fault{ID: "a", Skip: 1, Errcode: 5, Count: 1},
	)
	var got []int
	for range 7 {
		got = append(got, w.single(threePairs...).Errcode)
	}
	// a stands in two pairs, and yet its fault sees each call once.
	if want := []int{1, 2, 3, 4, 0, 5, 0}; !slices.Equal(got, want) {
		t.Errorf("errcodes %v, want %v", got, want)
	}
}

func TestFault_ThoseOfACorpCanBeClearedAlone(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.Script(Fault{Corp: corpID, Kind: Room, Errcode: 1}, Fault{Corp: "ww2", Errcode: 2}, Fault{ID: "wm1", Errcode: 3}, Fault{Corp: corpID, ID: "wm2", Errcode: 4})
	other := func() answer { return w.call(http.MethodPost, roomOf(w.sim.Token("ww2")), `{"chatid":"wr1"}`) }
	ask := func() [4]int {
		return [4]int{w.room("wr1").Errcode, other().Errcode, w.single(pair{"a", "wm1"}).Errcode, w.single(pair{"a", "wm2"}).Errcode}
	}
	if got, want := ask(), [4]int{1, 2, 3, 4}; got != want {
		t.Errorf("errcodes %v, want %v", got, want)
	}
	w.sim.ClearCorpFaults(corpID)
	if got, want := ask(), [4]int{0, 2, 3, 0}; got != want {
		t.Errorf("errcodes %v after those of %s were cleared, want %v", got, corpID, want)
	}
	w.sim.ClearFaults()
	if got, want := ask(), [4]int{}; got != want {
		t.Errorf("errcodes %v after all were cleared, want %v", got, want)
	}
}

func TestFault_ProbabilityIsAShareThatTheSeedDecides(t *testing.T) {
	t.Parallel()
	strikes := func(seed uint64) (struck []int) {
		sim := New(Options{Seed: seed})
		sim.Script(Fault{Errcode: -1, Probability: 0.25})
		for i := range 2000 {
			if strings.Contains(serve(sim, http.MethodGet, getTokenOf(corpID, secret), ""), `"errcode":-1,`) {
				struck = append(struck, i)
			}
		}
		return struck
	}
	first := strikes(1)
	if n := len(first); n < 400 || n > 600 {
		t.Errorf("%d of 2000 struck, want a quarter", n)
	}
	if !slices.Equal(first, strikes(1)) {
		t.Error("the same seed strikes other calls")
	}
	if slices.Equal(first, strikes(2)) {
		t.Error("another seed strikes the same calls")
	}
}

func TestFault_ThatFailsACallLeavesNoTraceOfItsPairs(t *testing.T) {
	t.Parallel()
	for _, f := range []Fault{{Errcode: -1}, {HTTPStatus: 500}, {Body: "x"}, {Redirect: "/"}} {
		w := setup(t, Options{Remember: true})
		w.sim.Script(f)
		if _, err := w.do(http.MethodPost, singleOf(w.token), singleBodyOf(threePairs...)); err != nil {
			t.Fatal(err)
		}
		if flips := w.sim.Flip(1, 1); len(flips) != 0 {
			t.Errorf("fault %+v: %d pairs remembered, want none", f, len(flips))
		}
	}
	w := setup(t, Options{Remember: true})
	w.sim.Script(Fault{Omit: []string{"wm1"}, Add: 5})
	w.single(threePairs...)
	if flips := w.sim.Flip(1, 1); len(flips) != len(threePairs) {
		t.Errorf("%d pairs remembered, want those that were asked for", len(flips))
	}
}
