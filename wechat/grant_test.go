package wechat

import (
	"testing"
	"time"
)

func TestGrant_IsReplacedWithinItsLifeAndApartFromOthers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for _, tt := range []struct{ life, earliest, latest time.Duration }{
		{2 * time.Hour, 103 * time.Minute, 115 * time.Minute},
		{50 * time.Minute, 40 * time.Minute, 45 * time.Minute},
		{100 * time.Second, 80 * time.Second, 90 * time.Second},
		{maxLife, 27*24*time.Hour - refreshAhead, maxLife - refreshAhead},
		{100 * maxLife, 27*24*time.Hour - refreshAhead, maxLife - refreshAhead}, // more than is believed
	} {
		var first, last time.Duration
		for i := range 1000 {
			at := newGrant("t", tt.life, now).refreshAt().Sub(now)
			if at < tt.earliest || at > tt.latest {
				t.Fatalf("life %s: replaced after %s, want %s to %s", tt.life, at, tt.earliest, tt.latest)
			}
			if i == 0 {
				first, last = at, at
			}
			first, last = min(first, at), max(last, at)
		}
		if spread := tt.latest - tt.earliest; last-first < spread*9/10 {
			t.Errorf("life %s: a thousand are replaced within %s, want them spread over %s", tt.life, last-first, spread)
		}
	}
}

func TestGrant_OfNoKnownLifeIsNotReplaced(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{0, -1, -time.Hour} {
		g := newGrant("t", life, time.Now())
		if at := g.refreshAt(); !at.IsZero() || !g.usable(time.Now().Add(1000*time.Hour)) {
			t.Errorf("life %s: replaced at %s; want it used until it is refused", life, at)
		}
	}
	if g := newGrant("t", 1, time.Now()); g.refreshAt().After(g.expiresAt) {
		t.Errorf("a life of 1 ns: replaced at %s, after its end", g.refreshAt())
	}
}
