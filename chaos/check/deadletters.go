package check

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"consentd/chaos/history"
)

// failure is what a dead letter is for: the items of a request that failed alike.
type failure struct {
	origin  string
	class   string
	errcode string
}

func (f failure) String() string {
	return strings.TrimSpace(f.origin + " " + f.class + " " + f.errcode)
}

// deadLetters compares the failures with the dead letters, one by one.
func (c *checker) deadLetters() {
	failed := map[failure][]history.Record{}
	indexes := map[failure][]int{}
	for _, e := range c.events {
		if e.body.Type != "consent.failed" {
			continue
		}
		origin, index, _ := cutLast(e.id)
		f := failure{origin: origin, class: e.body.Error.Class}
		if e.body.Error.Errcode != 0 {
			f.errcode = strconv.Itoa(e.body.Error.Errcode)
		}
		failed[f] = append(failed[f], e.Record)
		if n, err := strconv.Atoi(index); err == nil {
			indexes[f] = append(indexes[f], n)
		}
	}
	letters := map[failure][]history.Record{}
	for _, r := range c.h.DeadLetters {
		f := failure{r.Headers["consentd-origin"], r.Headers["consentd-error-class"], r.Headers["consentd-errcode"]}
		letters[f] = append(letters[f], r)
	}
	all := maps.Clone(failed)
	maps.Copy(all, letters)
	byText := func(a, b failure) int { return strings.Compare(a.String(), b.String()) }
	for _, f := range slices.SortedFunc(maps.Keys(all), byText) {
		switch records := append(slices.Clone(failed[f]), letters[f]...); {
		case len(letters[f]) != 1 || len(failed[f]) == 0:
			c.broken(DeadLetters, f.String(), fmt.Sprintf("%d items failed so, and there are %d dead letters", len(failed[f]), len(letters[f])), records...)
		default:
			if want, got := c.narrowedTo(f.origin, indexes[f]), letters[f][0].Headers["consentd-item-indexes"]; got != want {
				c.broken(DeadLetters, f.String(), fmt.Sprintf("the dead letter is for the items %q, failed have %q", got, want), records...)
			}
		}
	}
}

// narrowedTo is how a dead letter names the items; empty when they are all of the first request's.
func (c *checker) narrowedTo(origin string, indexes []int) string {
	if r := c.requests[origin]; r == nil || len(indexes) == r.count {
		return ""
	}
	slices.Sort(indexes)
	texts := make([]string, len(indexes))
	for i, index := range indexes {
		texts[i] = strconv.Itoa(index)
	}
	return strings.Join(texts, ",")
}
