package wechattest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"
)

// Simulator is the simulated WeCom: serve it with any HTTP server. It starts no goroutines. Everything is safe for
// concurrent use.
type Simulator struct {
	options  Options
	registry *registry
	tokens   *tokens
	book     *book
	quotas   *quotas
	faults   *faults
	recorder *recorder
	control  http.Handler
	delay    atomic.Int64 // ns
	hints    atomic.Uint64
	calls    sync.Pool // of *call
}

// New returns a simulated WeCom to which nobody has talked yet.
func New(o Options) *Simulator {
	o = o.withDefaults()
	began := clock(time.Now())
	s := &Simulator{
		options:  o,
		registry: newRegistry(o),
		tokens:   newTokens(o),
		book:     newBook(o),
		quotas:   newQuotas(o.Limits, began),
		faults:   newFaults(o.Seed),
		recorder: newRecorder(began),
		calls:    sync.Pool{New: func() any { return new(call) }},
	}
	s.control = newControl(s)
	s.SetDelay(o.Delay)
	return s
}

// SetDelay changes how long each call takes, for calls that arrive from now on.
func (s *Simulator) SetDelay(d time.Duration) { s.delay.Store(int64(d)) }

// TB is what Start needs of a *testing.T, *testing.B or *testing.F.
type TB interface {
	Helper()
	Cleanup(func())
}

// Start serves the simulator on the loopback interface until the test ends, and returns its URL. Calls that hang at the end
// are broken off.
func (s *Simulator) Start(t TB) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// ServeHTTP answers a call of the API or of the token service, or one under /simulator/ that controls the simulator.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if kind := kindOf(r.URL.Path); kind != "" {
		s.serve(w, r, kind)
		return
	}
	s.control.ServeHTTP(w, r)
}

// pause waits and tells whether the caller is still there.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
