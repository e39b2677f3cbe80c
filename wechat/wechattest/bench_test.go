package wechattest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkSingle is the simulator's own share of a call of 100 pairs, without the network.
func BenchmarkSingle(b *testing.B) {
	for _, remember := range []bool{false, true} {
		name := map[bool]string{false: "derived", true: "remembered"}[remember]
		b.Run(name, func(b *testing.B) {
			sim := New(Options{Remember: remember})
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
