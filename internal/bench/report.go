package bench

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
)

// Print writes the report as a table.
func (r Report) Print(out io.Writer) error {
	load := "all waiting"
	if r.Rate > 0 {
		load = fmt.Sprintf("%d a second", r.Rate)
	}
	fmt.Fprintf(out, "workload %s: %d items of %d corps, %s, on broker %s, %s/%s with %d CPUs\n\n",
		r.Workload, r.Items, r.Corps, load, r.Broker, runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\titems/s\tCPU µs/item\tallocs/item\tpeak RSS MB\tcalls\tcalls/ideal\t")
	fmt.Fprintf(w, "consentd\t%.0f\t%.2f\t%.1f\t%.0f\t%d\t%.3f\t\n", r.ItemsPerS, r.CPUPerItem, r.AllocsPerItem, r.PeakRSSMB, r.Calls, r.CallsOverIdeal)
	if f := r.Floor; f != nil {
		fmt.Fprintf(w, "floor (kafka-go)\t%.0f\t%.2f\t%.1f\t%.0f\t\t\t\n", f.ItemsPerS, f.CPUPerItem, f.AllocsPerItem, f.PeakRSSMB)
		fmt.Fprintf(w, "ratio\t%.2f\t%.2f\t%.2f\t%.2f\t\t\t\n",
			r.ItemsPerS/f.ItemsPerS, r.CPUPerItem/f.CPUPerItem, r.AllocsPerItem/f.AllocsPerItem, r.PeakRSSMB/f.PeakRSSMB)
	}
	return w.Flush()
}
