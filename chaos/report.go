package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"consentd/chaos/check"
	"consentd/chaos/faults"
	"consentd/chaos/history"
	"consentd/chaos/world"
)

// Figures are what a round comes to, or several.
type Figures struct {
	Seeds    []uint64            `json:"seeds"`
	Faults   map[faults.Kind]int `json:"faults"`
	AllKinds int                 `json:"all_faults"`
	check.Figures
	AbortedTransactions int `json:"aborted_transactions"`
	// LongestPause is the longest time between two events while there was load, in seconds.
	LongestPause float64      `json:"longest_pause_seconds"`
	Exits        []world.Exit `json:"exits"`
	Violations   int          `json:"violations"`
}

func (r *round) count(found check.Figures, h *history.History, violations []check.Violation, exits []world.Exit, ended time.Time) Figures {
	f := Figures{
		Seeds: []uint64{r.seed}, Faults: map[faults.Kind]int{}, Figures: found, AbortedTransactions: h.AbortedTransactions,
		Exits: exits, Violations: len(violations),
	}
	for _, d := range r.done {
		f.Faults[d.Kind]++
		f.AllKinds++
	}
	for _, e := range exits {
		if e.Crash {
			f.Violations++
		}
	}
	times := []time.Time{r.began, ended}
	for _, e := range h.Results {
		if e.Time.After(r.began) && e.Time.Before(ended) {
			times = append(times, e.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, t := range times[1:] {
		f.LongestPause = max(f.LongestPause, t.Sub(times[i]).Round(time.Millisecond).Seconds())
	}
	return f
}

// sum adds rounds up.
func sum(rounds []Figures) Figures {
	all := Figures{Faults: map[faults.Kind]int{}, Figures: check.Figures{Failed: map[string]int{}, Changes: map[string]int{}}}
	for _, f := range rounds {
		all.Seeds = append(all.Seeds, f.Seeds...)
		add(all.Faults, f.Faults)
		add(all.Failed, f.Failed)
		add(all.Changes, f.Changes)
		all.AllKinds += f.AllKinds
		all.Requests += f.Requests
		all.Items += f.Items
		all.Events += f.Events
		all.Checked += f.Checked
		all.Conversations += f.Conversations
		all.Forwarded += f.Forwarded
		all.Parked += f.Parked
		all.AbortedTransactions += f.AbortedTransactions
		all.LongestPause = max(all.LongestPause, f.LongestPause)
		all.Exits = append(all.Exits, f.Exits...)
		all.Violations += f.Violations
	}
	return all
}

func add[K comparable](to, from map[K]int) {
	for k, n := range from {
		to[k] += n
	}
}

func (f Figures) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, n any) { fmt.Fprintf(w, "%s\t%v\t\n", what, n) }
	row("rounds", len(f.Seeds))
	for _, kind := range faults.Kinds() {
		row(string(kind), f.Faults[kind])
	}
	row("all faults", f.AllKinds)
	row("requests", f.Requests)
	row("forwarded", f.Forwarded)
	row("parked", f.Parked)
	row("items", f.Items)
	row("events", f.Events)
	row("checked", f.Checked)
	for _, class := range slices.Sorted(maps.Keys(f.Failed)) {
		row("failed: "+class, f.Failed[class])
	}
	for _, change := range slices.Sorted(maps.Keys(f.Changes)) {
		row("changed: "+change, f.Changes[change])
	}
	row("conversations", f.Conversations)
	row("aborted transactions", f.AbortedTransactions)
	row("longest pause", fmt.Sprintf("%.1f s", f.LongestPause))
	row("ends that nobody asked for", len(f.Exits))
	row("broken promises", f.Violations)
	return w.Flush()
}

const (
	mostShown   = 5  // of each promise's violations
	mostRecords = 20 // of each violation
	mostValue   = 600
	// nearby is how long before and after its records a violation's faults are shown.
	nearby = 3 * time.Second
)

// report says what was found.
func (r *round) report(violations []check.Violation) {
	for _, e := range r.figures.Exits {
		what := "instance %d ended by itself at %s: %s; it said last: %s"
		if e.Crash {
			what = "BROKEN: " + what
		}
		r.say(what, e.Instance, strings.TrimSpace(r.clock(e.At)), e.How, e.Last)
	}
	if r.figures.Violations == 0 {
		r.say("every promise was kept: %d requests, %d events, %d faults", r.figures.Requests, r.figures.Events, r.figures.AllKinds)
		return
	}
	count := map[string]int{}
	for _, v := range violations {
		if count[v.Promise]++; count[v.Promise] <= mostShown {
			r.show(v)
		}
	}
	for _, promise := range slices.Sorted(maps.Keys(count)) {
		r.say("BROKEN %d times: %s", count[promise], promise)
	}
}

// show prints a violation with its records and the faults near them.
func (r *round) show(v check.Violation) {
	r.say("BROKEN: %s\n  %s: %s", v.Promise, v.Subject, v.What)
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for i, record := range v.Records {
		if i == mostRecords {
			lines = append(lines, line{record.Time, fmt.Sprintf("… and %d records more", len(v.Records)-i)})
			break
		}
		lines = append(lines, line{record.Time, describe(record)})
	}
	if len(v.Records) > 0 {
		from, to := v.Records[0].Time.Add(-nearby), v.Records[len(v.Records)-1].Time.Add(nearby)
		for _, d := range r.done {
			if d.to.After(from) && d.from.Before(to) {
				lines = append(lines, line{d.from, fmt.Sprintf("FAULT until %s: %s", r.clock(d.to), d.Fault)})
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, l := range lines {
		fmt.Fprintf(r.out, "    %s  %s\n", r.clock(l.at), l.text)
	}
}

// clock is the time since the round began.
func (r *round) clock(t time.Time) string { return fmt.Sprintf("%8.3fs", t.Sub(r.began).Seconds()) }

func describe(r history.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s key %q", r.Position(), r.Key)
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if name == "ce_id" || strings.HasPrefix(name, "consentd-") {
			fmt.Fprintf(&b, " %s=%s", name, r.Headers[name])
		}
	}
	fmt.Fprintf(&b, "\n               %.*s", mostValue, r.Value)
	return b.String()
}
