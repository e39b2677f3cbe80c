package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"consentd/internal/bulk"
	"consentd/internal/quantity"
)

// printSurvey says what conversations a command is about, and what else there is to know.
func printSurvey(out io.Writer, v *bulk.Survey, more ...string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "conversations\t%s\n", quantity.Number(v.Conversations))
	fmt.Fprintf(w, "  pairs\t%s\n", quantity.Number(v.Pairs))
	for _, word := range most(v.Statuses) {
		fmt.Fprintf(w, "    %q\t%s\n", word, quantity.Number(v.Statuses[word]))
	}
	fmt.Fprintf(w, "  rooms\t%s\n", quantity.Number(v.Rooms))
	for i, corp := range most(v.Corps) {
		if i == 0 {
			fmt.Fprintf(w, "of %s\t\n", quantity.Of(len(v.Corps), "corp"))
		}
		fmt.Fprintf(w, "  %s\t%s\n", corp, quantity.Number(v.Corps[corp]))
	}
	if v.Conversations > v.NeverChecked {
		fmt.Fprintf(w, "last checked\t%s to %s\n", v.Oldest.Format(time.RFC3339), v.Newest.Format(time.RFC3339))
	}
	if v.Conversations > 0 {
		fmt.Fprintf(w, "the first\t%s\n", strings.Join(v.First, "\n\t"))
	}
	for i, corp := range most(v.Unknown) {
		if i == 0 {
			fmt.Fprint(w, "left out: their corps are not configured\t\n")
		}
		fmt.Fprintf(w, "  %s\t%s\n", corp, quantity.Number(v.Unknown[corp]))
	}
	for _, text := range more {
		fmt.Fprintln(w, text)
	}
	if v.NeverChecked > 0 {
		fmt.Fprintln(w, neverChecked)
	}
	return w.Flush()
}

// neverChecked is about a conversation that is named whole, and unknown.
const neverChecked = "Nothing is known of it. It is handed over all the same, in case it is being checked for the first time: look twice at the ids."

// showSurvey shows what a command would do that is not executed.
func showSurvey(out io.Writer, v *bulk.Survey, asJSON bool, more ...string) error {
	if asJSON {
		return json.NewEncoder(out).Encode(v)
	}
	if err := printSurvey(out, v, more...); err != nil {
		return err
	}
	return nothingWritten(out)
}

func nothingWritten(out io.Writer) error {
	_, err := fmt.Fprintln(out, "\nNothing was written. Add --execute to do it.")
	return err
}

// most returns the words that are counted most often, 20 of them.
func most(counts map[string]int) []string {
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return words[:min(20, len(words))]
}
