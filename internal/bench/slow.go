package bench

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// slowCall is how long the one slow call takes; the daemon is patient enough not to give it up.
	slowCall     = 30 * time.Second
	slowPatience = 60 * time.Second
	slowItem     = 5000
)

// SlowReport says what one slow request costs the others of its partition.
type SlowReport struct {
	Broker string `json:"broker"`
	Items  int    `json:"items"`
	Corps  int    `json:"corps"`
	Rate   int    `json:"rate"`
	// AloneP99 and BesideP99 are for how long 99 of 100 items waited for their answer, without and with the slow one among
	// them, in seconds.
	AloneP99  float64 `json:"alone_p99_s"`
	BesideP99 float64 `json:"beside_p99_s"`
	Ratio     float64 `json:"ratio"`
	// Slow is for how long the slow one waited, in seconds.
	Slow float64 `json:"slow_s"`
}

// Print writes the report for people.
func (r SlowReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload slow: %d items of %d corps, %d a second, twice, on broker %s\n\n", r.Items, r.Corps, r.Rate, r.Broker)
	fmt.Fprintf(out, "p99 without a slow request  %6.0f ms\n", r.AloneP99*1000)
	fmt.Fprintf(out, "p99 of the others           %6.0f ms, %.2f times as long\n", r.BesideP99*1000, r.Ratio)
	_, err := fmt.Fprintf(out, "the slow request took      %6.0f ms\n", r.Slow*1000)
	return err
}

// slow asks for items, and then for as many again with one among them whose call takes long.
func slow(ctx context.Context, b *run) (Report, error) {
	o := b.options
	r := SlowReport{Broker: b.brokerName(), Items: o.Items, Corps: o.Corps, Rate: o.Rate}
	_, err := b.daemon(ctx, func(*process) error {
		b.say("waiting for the daemon")
		if err := doAll(
			func() error { return b.submitSome(ctx, 0, o.Corps) },
			func() error { return b.answers.await(ctx, o.Corps) },
		); err != nil {
			return err
		}
		b.answers.timed = true
		round := func(first int) error {
			b.say(fmt.Sprintf("asking for %d items", o.Items))
			return doAll(
				func() error { return b.submitPaced(ctx, first, o.Items, o.Rate) },
				func() error { return b.answers.await(ctx, first+o.Items) },
			)
		}
		first := o.Corps
		if err := round(first); err != nil {
			return err
		}
		r.AloneP99 = b.answers.p99(first, first+o.Items, func(int) bool { return true }).Seconds()

		first += o.Items
		slow := first + slowItem
		fault := fmt.Sprintf(`{"id":%q,"kind":"single","count":1,"delay_ms":%d}`, customer(slow%o.Conversations), slowCall.Milliseconds())
		if err := b.script(ctx, fault); err != nil {
			return err
		}
		if err := round(first); err != nil {
			return err
		}
		r.BesideP99 = b.answers.p99(first, first+o.Items, func(n int) bool { return n != slow }).Seconds()
		r.Ratio = r.BesideP99 / r.AloneP99
		r.Slow = b.answers.p99(slow, slow+1, func(int) bool { return true }).Seconds()
		return nil
	})
	return r, err
}
