package replay

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"consentd/internal/quantity"
)

// Print writes the plan for people. now is what ages are counted to.
func (p *Plan) Print(out io.Writer, now time.Time) error {
	what := "Replay"
	if p.ID != "" {
		what = "The rest of replay " + p.ID
	}
	fmt.Fprintf(out, "%s: %s of %s from %s to %s\n\n", what, quantity.Number(p.Records), quantity.Of(p.Read, "record"), p.Topic, p.To)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if p.Published > 0 {
		fmt.Fprintf(w, "published before\t%s\n", quantity.Of(p.Published, "record"))
	}
	if p.Records > 0 {
		fmt.Fprintf(w, "oldest\t%s\n", age(p.Oldest, now))
		fmt.Fprintf(w, "newest\t%s\n", age(p.Newest, now))
		fmt.Fprintf(w, "size\t%s bytes\n", quantity.Number(p.Bytes))
		fmt.Fprintf(w, "will take\t%s\n", p.duration())
	}
	if p.Superseded > 0 {
		fmt.Fprintf(w, "left out\t%s that a later one of the same conversation supersedes\n", quantity.Of(p.Superseded, "record"))
	}
	if p.TooOften.Count > 0 {
		fmt.Fprintf(w, "left out\t%s replayed too often already (--max-replays): %s\n", quantity.Of(p.TooOften.Count, "record"), p.TooOften.text(p.Topic))
	}
	if p.Unfit.Count > 0 {
		fmt.Fprintf(w, "left out\t%s: %s\n", p.Unfit.unfit(), p.Unfit.text(p.Topic))
	}
	if p.Later > 0 {
		fmt.Fprintf(w, "left for later\t%s beyond --max\n", quantity.Of(p.Later, "record"))
	}
	if p.Waiting && p.Records > 0 {
		fmt.Fprintf(w, "answered twice\tthe daemon takes up by itself what waits in %s\n", p.Topic)
	}
	if p.Before > 0 {
		fmt.Fprintf(w, "replayed before\t%s of them: they are asked again all the same\n", quantity.Number(p.Before))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := p.printCounts(out); err != nil {
		return err
	}
	for i, s := range p.First {
		if i == 0 {
			fmt.Fprint(out, "\nThe first records:\n")
		}
		s.print(out, p.Topic)
	}
	return nil
}

// unfit says how many records can't be replayed, and why not.
func (p *Places) unfit() string {
	return quantity.Of(p.Count, "record") + " that can't be replayed (too large for the topic, cut when dead-lettered, or a command)"
}

// duration says how long it will take.
func (p *Plan) duration() string {
	d := time.Duration(p.Seconds * float64(time.Second)).Round(time.Second)
	text := "about " + d.String()
	if d < time.Second {
		text = "less than a second"
	}
	if p.Rate == 0 {
		return fmt.Sprintf("%s at %s records/s; --rate sets a lower rate", text, quantity.Number(usualRate))
	}
	return fmt.Sprintf("%s at %s records/s", text, strconv.FormatFloat(p.Rate, 'f', -1, 64))
}

func (p *Plan) printCounts(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\nPARTITION\tOFFSETS\tRECORDS\n")
	for _, part := range p.Partitions {
		offsets := "none"
		if part.Begin < part.End {
			offsets = fmt.Sprintf("%d to %d", part.Begin, part.End-1)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", part.Partition, offsets, quantity.Number(part.Records))
	}
	printTop(w, "ERROR CLASS", p.Classes, 0)
	printTop(w, "CORP", p.Corps, p.MoreCorps)
	return w.Flush()
}

// printTop lists the words with the most records.
func printTop[K ~string](w io.Writer, title string, counts map[K]int64, more int64) {
	const most = 20
	if len(counts) == 0 {
		return
	}
	words := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	fmt.Fprintf(w, "\t\t\n%s\t\tRECORDS\n", title)
	for i, word := range words {
		if i >= most {
			more += counts[word]
			continue
		}
		fmt.Fprintf(w, "%s\t\t%s\n", cmp.Or(shown(string(word)), "(none)"), quantity.Number(counts[word]))
	}
	if more > 0 {
		fmt.Fprintf(w, "(others)\t\t%s\n", quantity.Number(more))
	}
}

func (s *Sample) print(out io.Writer, topic string) {
	var about []string
	if s.Class != "" {
		about = append(about, shown(string(s.Class)))
	}
	if s.Errcode != 0 {
		about = append(about, strconv.Itoa(s.Errcode))
	}
	if s.Replays > 0 {
		about = append(about, "replayed "+quantity.Of(int64(s.Replays), "time"))
	}
	fmt.Fprintf(out, "  %s/%d/%d  %s  key %q  %s\n    %s\n", topic, s.Partition, s.Offset, s.Time.Format(time.RFC3339), s.Key,
		strings.Join(about, " "), shown(s.Value))
}

// Print writes the summary for people.
func (s *Summary) Print(out io.Writer) error {
	what := "Done"
	if !s.Done {
		what = "Not done"
	}
	fmt.Fprintf(out, "%s: %s of %s published to %s in %s (%s records/s)\n", what, quantity.Number(s.Published), quantity.Of(s.Records, "record"), s.To,
		time.Duration(s.Seconds*float64(time.Second)).Round(10*time.Millisecond), quantity.Number(int64(s.RecordsPerSecond)))
	if s.PublishedBefore > 0 {
		fmt.Fprintf(out, "Published before, by earlier runs: %s\n", quantity.Number(s.PublishedBefore))
	}
	if s.TooOften.Count > 0 {
		fmt.Fprintf(out, "Left out, replayed too often already (--max-replays): %s: %s\n", quantity.Of(s.TooOften.Count, "record"), s.TooOften.text(s.Topic))
	}
	if s.Unfit.Count > 0 {
		fmt.Fprintf(out, "Left out, %s: %s\n", s.Unfit.unfit(), s.Unfit.text(s.Topic))
	}
	if s.TooOftenBefore > 0 {
		fmt.Fprintf(out, "Left out by earlier runs, replayed too often already (--max-replays): %s\n", quantity.Of(s.TooOftenBefore, "record"))
	}
	if s.Lost > 0 {
		fmt.Fprintf(out, "Deleted before they were read: %s\n", quantity.Of(s.Lost, "offset"))
	}
	return nil
}

// shown is a text from a record, for a terminal: what is not printable is escaped.
func shown(text string) string {
	for _, c := range text {
		if !strconv.IsPrint(c) {
			return strconv.Quote(text)
		}
	}
	return text
}

func age(at, now time.Time) string {
	return fmt.Sprintf("%s (%s ago)", at.Format(time.RFC3339), now.Sub(at).Round(time.Second))
}
