package wechattest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkSingle is the simulator's own share of a call of 100 pairs, without the network.
func BenchmarkSingle(b *testing.B) {
	for _, c := range []struct {
		name    string
		options Options
		faults  int // of other corps and other ids
	}{
		{name: "derived"},
		{name: "remembered", options: Options{Remember: true}},
		{name: "limits", options: Options{Limits: Limits{1 << 30, CorpLimits{1 << 30, 5}}}},
		{name: "faults", faults: 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			sim := New(c.options)
			for i := range c.faults {
				sim.Script(Fault{ID: fmt.Sprint("wm", i), Errcode: 301061}, Fault{Corp: fmt.Sprint("wx", i), Errcode: 45009})
			}
			target := singleOf(sim.Token(corpID))
			asked := pairs(100)
			for i := range asked {
				asked[i].customer = "wmeDKaCQAAGd9oGiQWxVsAKwV2HxN" + asked[i].customer[len(asked[i].customer)-3:]
			}
			body := singleBodyOf(asked...)
			b.ReportAllocs()
			for b.Loop() {
				w := discard{http.Header{}}
				sim.ServeHTTP(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader(body)))
			}
		})
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
