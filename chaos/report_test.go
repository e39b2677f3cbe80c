package main

import (
	"strings"
	"testing"
	"time"

	"consentd/chaos/check"
	"consentd/chaos/faults"
	"consentd/chaos/history"
	"consentd/chaos/world"
)

func TestReport_ShowsTheRecordsAndTheFaultsNearThem(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	began := time.Unix(1_800_000_000, 0)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	r := &round{out: &out, seed: 7, began: began, done: []doneFault{
		{faults.Fault{Kind: faults.BrokerKill, Broker: 0}, at(1), at(2)},
		{faults.Fault{Kind: faults.InstanceKill, Instance: 2}, at(28), at(31)},
		{faults.Fault{Kind: faults.APICut, Instance: faults.All}, at(50), at(51)},
	}}
	violations := []check.Violation{{
		Promise: check.OneTerminalEvent, Subject: "requests/0/1 item 0", What: "the item has 2 terminal events",
		Records: []history.Record{
			{Topic: "requests", Offset: 1, Time: at(30), Value: []byte(`{"request_id":"r-1"}`)},
			{Topic: "results", Offset: 5, Time: at(33), Key: []byte("k"), Headers: map[string]string{"ce_id": "requests/0/1/0", "ce_time": "x"}},
		},
	}}
	r.figures = r.count(check.Figures{}, &history.History{}, violations, nil, at(60))
	r.report(violations)
	want := `BROKEN: each item has exactly one terminal event
  requests/0/1 item 0: the item has 2 terminal events
      28.000s  FAULT until   31.000s: instance killed: kill -9 of instance 2, back after 0s
      30.000s  requests/0/1 key ""
               {"request_id":"r-1"}
      33.000s  results/0/5 key "k" ce_id=requests/0/1/0
`
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestCount_MeasuresTheLongestPauseUnderLoad(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_800_000_000, 0)
	r := &round{began: began}
	h := &history.History{}
	for _, second := range []int{-100, 2, 3, 10, 12, 200} {
		h.Results = append(h.Results, history.Record{Time: began.Add(time.Duration(second) * time.Second)})
	}
	if got := r.count(check.Figures{}, h, nil, nil, began.Add(15*time.Second)).LongestPause; got != 7 {
		t.Errorf("the longest pause is %v s, want 7", got)
	}
}

func TestCount_TakesACrashForABrokenPromise(t *testing.T) {
	t.Parallel()
	exits := []world.Exit{{How: "exit status 1"}, {How: "exit status 2", Crash: true}}
	if got := (&round{}).count(check.Figures{}, &history.History{}, nil, exits, time.Now()).Violations; got != 1 {
		t.Errorf("%d violations, want 1", got)
	}
}

func TestSum_AddsRoundsUp(t *testing.T) {
	t.Parallel()
	one := Figures{
		Seeds: []uint64{1}, Faults: map[faults.Kind]int{faults.APICut: 2}, AllKinds: 2, AbortedTransactions: 3, LongestPause: 4,
		Figures: check.Figures{Items: 5, Failed: map[string]int{"expired": 1}, Changes: map[string]int{"left": 1}},
	}
	two := one
	two.Seeds, two.LongestPause = []uint64{2}, 9
	got := sum([]Figures{one, two})
	if len(got.Seeds) != 2 || got.Faults[faults.APICut] != 4 || got.AllKinds != 4 || got.AbortedTransactions != 6 ||
		got.LongestPause != 9 || got.Items != 10 || got.Failed["expired"] != 2 || got.Changes["left"] != 2 {
		t.Errorf("got %+v", got)
	}
}
