package wechat

import (
	"math/rand/v2"
	"time"
)

const (
	// refreshAhead is how long before its end a token is replaced at the latest; a short-lived one, a tenth of its life
	// before. At the earliest it is a tenth of its life before that: tokens that were fetched together are replaced apart,
	// those of ten thousand corps that live for two hours within 12 minutes, 14 a second.
	refreshAhead = 5 * time.Minute
	// maxLife bounds what is believed of expires_in.
	maxLife = 30 * 24 * time.Hour
	// maxTokenBytes is WeCom's own limit.
	maxTokenBytes = 512
)

// grant is one fetched token. Two grants differ even if their tokens are the same: what is replaced is the grant.
type grant struct {
	token     string
	fetchedAt time.Time
	expiresAt time.Time // zero: when it is refused
}

func newGrant(token string, life time.Duration, now time.Time) *grant {
	g := &grant{token: token, fetchedAt: now}
	if life > 0 {
		g.expiresAt = now.Add(min(life, maxLife))
	}
	return g
}

func (g *grant) usable(now time.Time) bool {
	return g != nil && (g.expiresAt.IsZero() || now.Before(g.expiresAt))
}

// refreshAt is when to look for the next grant, ahead of this one's end and at another time for each; zero: never.
func (g *grant) refreshAt() time.Time {
	if g.expiresAt.IsZero() {
		return time.Time{}
	}
	tenth := g.expiresAt.Sub(g.fetchedAt) / 10
	return g.expiresAt.Add(-min(refreshAhead, tenth) - rand.N(tenth+1))
}

func validToken(token string) bool {
	if token == "" || len(token) > maxTokenBytes {
		return false
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return true
}
