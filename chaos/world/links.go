package world

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"consentd/chaos/faults"
)

// links are the proxies between each instance and each broker, and between each instance and the API.
type links struct {
	server *toxiproxy.ApiServer // it is never served: the proxies belong to one
	mu     sync.Mutex
	all    map[linkKey]*toxiproxy.Proxy
}

// linkKey names a link; the broker toAPI is the API.
type linkKey struct{ instance, broker int }

const toAPI = -2

func newLinks() *links {
	return &links{
		server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		all:    map[linkKey]*toxiproxy.Proxy{},
	}
}

// open makes a link to the address and returns where it is entered. One that was open before is closed.
func (l *links) open(key linkKey, to string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.all[key]; old != nil {
		old.Stop()
	}
	proxy := toxiproxy.NewProxy(l.server, fmt.Sprintf("%d-%d", key.instance, key.broker), "127.0.0.1:0", to)
	if err := proxy.Start(); err != nil {
		return "", fmt.Errorf("starting a proxy: %w", err)
	}
	l.all[key] = proxy
	return proxy.Listen, nil
}

func (l *links) close() {
	for _, proxy := range l.chosen(func(linkKey) bool { return true }) {
		proxy.Stop()
	}
}

func (l *links) chosen(ok func(linkKey) bool) []*toxiproxy.Proxy {
	l.mu.Lock()
	defer l.mu.Unlock()
	var proxies []*toxiproxy.Proxy
	for key, proxy := range l.all {
		if ok(key) {
			proxies = append(proxies, proxy)
		}
	}
	return proxies
}

// of returns the links that a fault is about.
func (l *links) of(f faults.Fault) []*toxiproxy.Proxy {
	return l.chosen(func(k linkKey) bool {
		api := slices.Contains([]faults.Kind{faults.APICut, faults.APISlow}, f.Kind)
		switch {
		case f.Instance != faults.All && f.Instance != k.instance, api != (k.broker == toAPI):
			return false
		}
		return api || f.Broker == faults.All || f.Broker == k.broker
	})
}

// cut ends the fault's connections and lets none be made until it is over.
func (l *links) cut(ctx context.Context, f faults.Fault) error {
	proxies := l.of(f)
	for _, proxy := range proxies {
		proxy.Stop()
	}
	pause(ctx, f.Length)
	for _, proxy := range proxies {
		if err := proxy.Start(); err != nil {
			return fmt.Errorf("starting a proxy again: %w", err)
		}
	}
	return nil
}

// slow gives the fault's connections its toxic until it is over.
func (l *links) slow(ctx context.Context, f faults.Fault) error {
	proxies := l.of(f)
	for _, proxy := range proxies {
		if _, err := proxy.Toxics.AddToxicJson(bytes.NewBufferString(f.Toxic)); err != nil {
			return fmt.Errorf("adding the toxic %s: %w", f.Toxic, err)
		}
	}
	pause(ctx, f.Length)
	for _, proxy := range proxies {
		proxy.Toxics.ResetToxics(context.WithoutCancel(ctx))
	}
	return nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
