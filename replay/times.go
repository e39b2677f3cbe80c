package replay

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// looksLikeTime tells what was meant to be a time, well-formed or not, from a topic's name.
var looksLikeTime = regexp.MustCompile(`^(-\d|\d{4}-\d\d-\d\d)|:|^now$|^\d+[smhd]$`)

// LooksLikeTime tells whether a text that may be a time or a topic's name is meant as a time: it begins as one (-6h,
// 2026-11-23), is now or a duration without its sign (6h), or has a colon, which no topic's name has.
func LooksLikeTime(text string) bool { return looksLikeTime.MatchString(text) }

const timeRule = "want RFC 3339 with a zone, as 2026-11-23T01:02:03+08:00, how long ago, as -6h, -90m or -7d, or now"

// ParseTime reads RFC 3339 with a zone, how long before now, or now itself.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		d, err := parseAgo(ago)
		if err != nil {
			return time.Time{}, fmt.Errorf("%.60q is no time: %s", text, timeRule)
		}
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return at, nil
	}
	if _, err := time.Parse("2006-01-02T15:04:05", text); err == nil {
		return time.Time{}, fmt.Errorf("%q has no zone: %s", text, timeRule)
	}
	return time.Time{}, fmt.Errorf("%.60q is no time: %s", text, timeRule)
}

// mostDays is about as many as a time.Duration holds.
const mostDays = 100_000

// parseAgo reads a duration without a sign; days are added to Go's units.
func parseAgo(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err == nil && n > mostDays {
			err = strconv.ErrRange
		}
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d < 0 || strings.HasPrefix(text, "+")) {
		err = errors.New("two signs")
	}
	return d, err
}
