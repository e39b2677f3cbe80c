package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// The last corps of the workload "sick" are in trouble, one with a wrong secret, one over its quota, one whose calls never
// end.
const sickCorps = 3

// SickReport says what some corps in trouble cost the others.
type SickReport struct {
	Broker string `json:"broker"`
	Items  int    `json:"items"`
	Corps  int    `json:"corps"`
	Rate   int    `json:"rate"`
	// AloneP99 and BesideP99 are for how long 99 of 100 items of healthy corps waited for their answer, without and with
	// the sick ones, in seconds.
	AloneP99  float64 `json:"alone_p99_s"`
	BesideP99 float64 `json:"beside_p99_s"`
	Ratio     float64 `json:"ratio"`
	// Parked is how many records were put into retry topics, by their error class.
	Parked map[string]int `json:"parked"`
	// SecretTries is how often the wrong secret was sent in the time that SickFor says, in seconds.
	SecretTries int     `json:"secret_tries"`
	SickFor     float64 `json:"sick_for_s"`
	// Healed is how long after their trouble was over the last items of the sick corps were answered, in seconds.
	Healed float64 `json:"healed_s"`
}

// Print writes the report for people.
func (r SickReport) Print(out io.Writer) error {
	fmt.Fprintf(out, "workload sick: %d items of %d corps, %d a second, on broker %s\n\n", r.Items, r.Corps, r.Rate, r.Broker)
	fmt.Fprintf(out, "p99 of the healthy corps, alone     %8.0f ms\n", r.AloneP99*1000)
	fmt.Fprintf(out, "p99 of the healthy corps, beside %d  %8.0f ms, %.2f times as long\n", sickCorps, r.BesideP99*1000, r.Ratio)
	for _, class := range slices.Sorted(maps.Keys(r.Parked)) {
		fmt.Fprintf(out, "parked as %-13s %10d records\n", class, r.Parked[class])
	}
	fmt.Fprintf(out, "the wrong secret was sent %d times in %.0f s\n", r.SecretTries, r.SickFor)
	_, err := fmt.Fprintf(out, "all items are answered, the last %.0f s after the trouble was over\n", r.Healed)
	return err
}

// sick asks for items of healthy corps alone, and then for some of sick ones among them.
func sick(ctx context.Context, b *run) (Report, error) {
	o := b.options
	healthy := o.Corps - sickCorps
	r := SickReport{Broker: b.brokerName(), Items: o.Items, Corps: o.Corps, Rate: o.Rate}
	wrongSecret, overQuota, hanging := corpID(healthy), corpID(healthy+1), corpID(healthy+2)
	for _, fault := range []string{
		fmt.Sprintf(`{"corp_id":%q,"kind":"gettoken","errcode":40001}`, wrongSecret),
		fmt.Sprintf(`{"corp_id":%q,"kind":"single","errcode":45009}`, overQuota),
		fmt.Sprintf(`{"corp_id":%q,"kind":"single","hang":true}`, hanging),
	} {
		if err := b.script(ctx, fault); err != nil {
			return nil, err
		}
	}
	// The rate of the healthy ones is the same in both rounds.
	alone, rateAlone := o.Items*healthy/o.Corps, o.Rate*healthy/o.Corps
	first := o.Corps // one request a corp, to begin with
	_, err := b.daemon(ctx, func(*process) error {
		b.say("waiting for the daemon")
		b.corps = healthy
		if err := doAll(
			func() error { return b.submitSome(ctx, 0, healthy) },
			func() error { return b.answers.await(ctx, healthy) },
		); err != nil {
			return err
		}
		b.answers.timed = true
		b.say(fmt.Sprintf("asking for %d items of %d healthy corps", alone, healthy))
		if err := doAll(
			func() error { return b.submitPaced(ctx, first, alone, rateAlone) },
			func() error { return b.answers.await(ctx, healthy+alone) },
		); err != nil {
			return err
		}
		r.AloneP99 = b.answers.p99(first, first+alone, func(int) bool { return true }).Seconds()
		first += alone

		b.say(fmt.Sprintf("asking for %d items of %d corps, %d of which are sick", o.Items, o.Corps, sickCorps))
		b.corps = o.Corps
		began := time.Now()
		isHealthy := func(n int) bool { return n%o.Corps < healthy }
		healthyItems := 0
		for n := first; n < first+o.Items; n++ {
			if isHealthy(n) {
				healthyItems++
			}
		}
		if err := doAll(
			func() error { return b.submitPaced(ctx, first, o.Items, o.Rate) },
			func() error { return b.answers.await(ctx, healthy+alone+healthyItems) },
		); err != nil {
			return err
		}
		r.BesideP99 = b.answers.p99(first, first+o.Items, isHealthy).Seconds()
		r.Ratio = r.BesideP99 / r.AloneP99
		stats, err := b.stats(ctx)
		if err != nil {
			return err
		}
		if r.Parked, err = b.parked(ctx); err != nil {
			return err
		}
		r.SecretTries, r.SickFor = int(stats.Corps[wrongSecret].Calls.GetToken), time.Since(began).Seconds()
		b.say("healing the sick corps")
		healed := time.Now()
		if err := doAll(
			func() error { return b.heal(ctx) },
			func() error { return b.answers.await(ctx, healthy+alone+o.Items) },
		); err != nil {
			return err
		}
		r.Healed = time.Since(healed).Seconds()
		return nil
	})
	return r, err
}
