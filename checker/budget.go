package checker

import (
	"time"

	"golang.org/x/time/rate"
)

// newBudget lets at most perMinute calls pass in any 60 s, in bursts of at most a second's worth. It was empty when it
// began: whoever called before may have used up the API's last minute.
func newBudget(perMinute float64, began time.Time) *rate.Limiter {
	// The most that passes in 60 s is a whole burst and 60 s of refilling.
	perSecond := perMinute / 61
	l := rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
	l.AllowN(began, l.Burst())
	return l
}

// allowedAt returns when the budget has a call to spend.
func allowedAt(l *rate.Limiter, now time.Time) time.Time {
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return now
	}
	// Rounded up: at the time returned there must be a whole call.
	return now.Add(time.Duration(missing/float64(l.Limit())*float64(time.Second)) + time.Microsecond)
}
