package consumer_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"consentd/consumer"
)

func TestOffsets_CommittableIsTheFirstThatIsNotDone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type taken struct {
			offset int64
			ticket consumer.Ticket
		}
		var (
			offsets consumer.Offsets
			open    []taken // the model: what was taken up and is not done
			next    int64   // behind all that was taken up or passed
			last    int64   // what was committable before
		)
		if rapid.Bool().Draw(t, "started") {
			next = rapid.Int64Range(0, 1<<40).Draw(t, "start")
			offsets.Start(next)
			last = next
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				offset := next + rapid.SampledFrom([]int64{0, 0, 0, 1, 1000}).Draw(t, "gap")
				open = append(open, taken{offset, offsets.Take(offset)})
				next = offset + 1
			},
			"pass": func(t *rapid.T) {
				to := max(0, next+rapid.Int64Range(-3, 10).Draw(t, "by"))
				offsets.Pass(to)
				next = max(next, to)
			},
			"done": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing is open")
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "place")
				offsets.Done(open[i].ticket)
				open = slices.Delete(open, i, i+1)
			},
			"": func(t *rapid.T) {
				got := offsets.Committable()
				want := next
				if len(open) > 0 {
					want = open[0].offset
				}
				if got != want {
					t.Fatalf("committable %d, want %d with %v open", got, want, open)
				}
				if got < last {
					t.Fatalf("committable went back from %d to %d", last, got)
				}
				last = got
			},
		})
		for len(open) > 0 {
			i := rapid.IntRange(0, len(open)-1).Draw(t, "finish")
			offsets.Done(open[i].ticket)
			open = slices.Delete(open, i, i+1)
		}
		if got := offsets.Committable(); got != next {
			t.Fatalf("all is done: committable %d, want %d", got, next)
		}
	})
}

func TestOffsets_StartForgetsWhatWasBefore(t *testing.T) {
	t.Parallel()
	var offsets consumer.Offsets
	if got := offsets.Committable(); got != 0 {
		t.Errorf("the zero value starts at %d, want 0", got)
	}
	offsets.Take(7)
	offsets.Start(100)
	if got := offsets.Committable(); got != 100 {
		t.Errorf("committable %d, want 100", got)
	}
	offsets.Done(offsets.Take(100))
	if got := offsets.Committable(); got != 101 {
		t.Errorf("committable %d, want 101", got)
	}
}

// BenchmarkOffsets has as many records open as max_in_flight allows by default.
func BenchmarkOffsets(b *testing.B) {
	const inFlight = 20_000
	var offsets consumer.Offsets
	tickets := make([]consumer.Ticket, inFlight)
	for i := range tickets {
		tickets[i] = offsets.Take(int64(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		offsets.Done(tickets[i%inFlight])
		tickets[i%inFlight] = offsets.Take(int64(inFlight + i))
		if offsets.Committable() != int64(i+1) {
			b.Fatal("not the first that is not done")
		}
	}
}
