package consumer_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"consentd/consumer"
)

// log is a partition: offsets that have records, with gaps as markers and compaction leave them.
type log []int64

var genLog = rapid.Custom(func(t *rapid.T) log {
	var l log
	next := rapid.Int64Range(0, 1<<40).Draw(t, "start")
	for range rapid.IntRange(1, 400).Draw(t, "records") {
		l = append(l, next)
		next += rapid.SampledFrom([]int64{1, 1, 1, 1, 2, 100, 5000}).Draw(t, "gap")
	}
	return l
})

func TestOffsets_EachRecordIsDoneOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := genLog.Draw(t, "log")
		end := l[len(l)-1] + 1
		var (
			offsets   consumer.Offsets
			place     int     // of the next record to read
			open      []int64 // taken up and not done
			pending   []int64 // done since the last commit
			published = map[int64]int{}
			next      = l[0]
			metadata  string
		)
		read := func(at int64) int {
			return slices.IndexFunc(append(slices.Clone(l), end), func(o int64) bool { return o >= at })
		}
		commit := func(t *rapid.T) {
			before := next
			next, metadata = offsets.Committable()
			if next < before || len(metadata) > 4096 {
				t.Fatalf("committable %d after %d, metadata of %d bytes", next, before, len(metadata))
			}
			for _, offset := range pending {
				published[offset]++
			}
			pending = nil
		}
		finish := func(i int) {
			offsets.Done(open[i])
			pending = append(pending, open[i])
			open = slices.Delete(open, i, i+1)
		}
		take := func() {
			if place == len(l) {
				offsets.Pass(end)
				return
			}
			if !offsets.Take(l[place]) {
				open = append(open, l[place])
			}
			place++
		}
		restart := func(t *rapid.T) {
			offsets = consumer.Offsets{}
			if err := offsets.Start(next, metadata); err != nil {
				t.Fatal(err)
			}
			if again, m := offsets.Committable(); again != next || m != metadata {
				t.Fatalf("started at %d with %q, committable is %d with %q", next, metadata, again, m)
			}
			place, open, pending = read(next), nil, nil
		}
		restart(t)
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "records") {
					take()
				}
			},
			"done": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "records") {
					if len(open) == 0 {
						t.Skip("nothing is open")
					}
					finish(rapid.IntRange(0, len(open)-1).Draw(t, "place"))
				}
			},
			"commit": commit,
			"crash":  restart,
		})
		for place < len(l) || len(open) > 0 {
			take()
			for len(open) > 0 {
				finish(0)
			}
		}
		take()
		commit(t)
		if next != end || metadata != "" {
			t.Fatalf("all is done: committable %d with %q, want %d", next, metadata, end)
		}
		if want := maps.Collect(func(yield func(int64, int) bool) {
			for _, offset := range l {
				yield(offset, 1)
			}
		}); !maps.Equal(published, want) {
			t.Fatalf("published %v, want each of %v once", published, l)
		}
	})
}

func TestOffsets_CommittableIsTheFirstThatIsNotDone(t *testing.T) {
	t.Parallel()
	var offsets consumer.Offsets
	wantNext := func(want int64) {
		t.Helper()
		if got, _ := offsets.Committable(); got != want {
			t.Errorf("committable %d, want %d", got, want)
		}
	}
	wantNext(0)
	for offset := range int64(200) {
		offsets.Take(offset)
	}
	wantNext(0)
	for offset := int64(1); offset < 200; offset++ {
		offsets.Done(offset)
	}
	wantNext(0)
	offsets.Done(0)
	wantNext(200)
	offsets.Pass(150)
	wantNext(200)
	offsets.Pass(300)
	wantNext(300)
}

func TestOffsets_RecordsThatAreGoneHoldNothingBack(t *testing.T) {
	t.Parallel()
	var offsets consumer.Offsets
	for offset := range int64(10) {
		offsets.Take(offset)
	}
	offsets.Done(5)
	next, metadata := offsets.Committable()
	var later consumer.Offsets
	if err := later.Start(next, metadata); err != nil {
		t.Fatal(err)
	}
	later.Take(8) // 0 to 7 were deleted meanwhile
	if got, _ := later.Committable(); got != 8 {
		t.Errorf("committable %d, want 8", got)
	}
}

func TestOffsets_TheMetadataAlwaysFits(t *testing.T) {
	t.Parallel()
	for _, gap := range []int64{200, 20_000, 2_000_000, 500_000_000} {
		random := rand.New(rand.NewPCG(1, 1))
		var offsets consumer.Offsets
		taken, longest := 0, 0
		for offset := int64(1) << 40; !offsets.Full(offset); offset += 1 + random.Int64N(gap) {
			offsets.Take(offset)
			taken++
			if random.IntN(3) == 0 {
				offsets.Done(offset)
			}
			_, metadata := offsets.Committable()
			longest = max(longest, len(metadata))
			if err := new(consumer.Offsets).Start(firstOf(&offsets), metadata); err != nil {
				t.Fatal(err)
			}
		}
		if longest > 4096 || longest < 3900 || taken < 200 {
			t.Errorf("gaps up to %d: at most %d bytes, %d records taken: want the space used, and at most 4096 bytes", gap, longest, taken)
		}
	}
}

func firstOf(o *consumer.Offsets) int64 {
	next, _ := o.Committable()
	return next
}

func TestOffsets_MetadataOfOthersIsRefusedAndStartsWithNone(t *testing.T) {
	t.Parallel()
	for _, metadata := range []string{"x", "hello world", "AQ", "AQAA", "Ag", "AQr/", strings.Repeat("A", 4096), "AQoAAAAAAAAAAAA"} {
		var offsets consumer.Offsets
		if err := offsets.Start(7, metadata); err == nil || !strings.Contains(err.Error(), "offset metadata") {
			t.Errorf("%q: error %v", metadata, err)
		}
		if next, m := offsets.Committable(); next != 7 || m != "" || offsets.Take(7) {
			t.Errorf("%q: starts at %d with %q", metadata, next, m)
		}
	}
}

func FuzzOffsets_Start(f *testing.F) {
	var offsets consumer.Offsets
	for offset := range int64(300) {
		offsets.Take(offset)
		if offset%3 == 0 {
			offsets.Done(offset)
		}
	}
	next, metadata := offsets.Committable()
	f.Add(next, metadata)
	f.Add(int64(5), "AQAA")
	f.Fuzz(func(t *testing.T, next int64, metadata string) {
		if next < 0 || next > 1<<50 {
			t.Skip("no offset")
		}
		var o consumer.Offsets
		err := o.Start(next, metadata)
		again, m := o.Committable()
		if again != next || err != nil && m != "" {
			t.Errorf("started at %d with %q (%v), committable is %d with %q", next, metadata, err, again, m)
		}
	})
}

// BenchmarkOffsets has as many records open as max_in_flight allows by default.
func BenchmarkOffsets(b *testing.B) {
	const inFlight = 20_000
	var offsets consumer.Offsets
	for offset := range int64(inFlight) {
		offsets.Take(offset)
	}
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		offsets.Done(i)
		offsets.Take(inFlight + i)
		if next, _ := offsets.Committable(); next != i+1 {
			b.Fatal("not the first that is not done")
		}
	}
}
