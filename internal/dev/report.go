package dev

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"consentd/schemas"
)

// showSamples prints one real record of each kind, as a subscriber gets it.
func showSamples(out io.Writer, samples map[string]sample) {
	fmt.Fprintln(out, "\nSome of the records, one of each kind:")
	for _, kind := range slices.Sorted(maps.Keys(samples)) {
		s := samples[kind]
		fmt.Fprintf(out, "\n%s, key %s\n  %s\n  %s\n", s.at, s.key, strings.Join(s.headers, ", "), s.value)
	}
}

// check is a line of the summary: what was expected and what came.
type check struct {
	what      string
	want, got int
}

// showSummary prints the checks and returns an error that names those that don't add up.
func showSummary(out io.Writer, checks []check) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\n\texpected\tgot\t\t\n")
	var wrong []string
	for _, c := range checks {
		verdict := "ok"
		if c.got != c.want {
			verdict = "WRONG"
			wrong = append(wrong, fmt.Sprintf("%s: expected %d, got %d", c.what, c.want, c.got))
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t\n", c.what, c.want, c.got, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(wrong) > 0 {
		return fmt.Errorf("the summary does not add up: %s", strings.Join(wrong, "; "))
	}
	fmt.Fprintln(out, "\nIt adds up.")
	return nil
}

// describe says counts in one line.
func (c *counts) describe() string {
	parts := []string{fmt.Sprintf("%d checked", c.Checked)}
	for _, class := range schemas.Classes() {
		if n := c.Failed[class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d failed (%s)", n, class))
		}
	}
	for _, change := range slices.Sorted(maps.Keys(c.Changed)) {
		parts = append(parts, fmt.Sprintf("%d %s", c.Changed[change], change))
	}
	return strings.Join(parts, ", ")
}
