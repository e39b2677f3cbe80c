// Package ops serves those who watch the daemon over HTTP: whether it lives and is ready, its metrics, profiles, and the
// pages of the documentation.
package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"consentd/docs"
)

// Health is whether the daemon is ready, and why not. Safe for concurrent use.
type Health struct {
	mu     sync.Mutex
	reason string
}

// NewHealth returns the health of a daemon that is starting.
func NewHealth() *Health { return &Health{reason: "starting"} }

// Ready notes that it is ready.
func (h *Health) Ready() { h.set("") }

// NotReady notes why it is not.
func (h *Health) NotReady(reason string) { h.set(reason) }

func (h *Health) set(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reason = reason
}

func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	reason := h.reason
	h.mu.Unlock()
	if reason != "" {
		http.Error(w, "not ready: "+reason, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

const (
	headerTimeout = 5 * time.Second
	closeTimeout  = time.Second
)

// Serve listens on an address, host:port, and serves until stop is called. level answers GET and PUT of the log's level.
func Serve(ctx context.Context, address string, health *Health, metrics, level http.Handler, log zerolog.Logger) (stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("ops.listen: %w (another instance on this host? give each its own port, or port 0)", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.Handle("GET /readyz", health)
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /log/level", level)
	mux.Handle("PUT /log/level", level)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	newPages(docs.Pages, log).handle(mux)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Str("hint", "restart this instance: it works, but nobody can watch it").
				Msg("metrics and health are no longer served")
		}
	}()
	log.Info().Str("address", listener.Addr().String()).Msg("metrics and health are served")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = server.Shutdown(ctx) // who still reads a profile is cut off
		_ = server.Close()
		<-done
	}, nil
}
