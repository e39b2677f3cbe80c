package metrics

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"consentd/checker"
	"consentd/internal/broker"
	"consentd/schemas"
)

// used returns metrics of which each has a value.
func used() *Metrics {
	m := New("v1")
	m.Asked()
	m.Forwarded()
	m.Invalid()
	m.Checked(schemas.SourceAPI)
	m.Failed(schemas.NotFound)
	m.Changed("withdrawn")
	m.Parked(schemas.Transient)
	m.DeadLetter(schemas.NotFound)
	m.Answered(time.Second)
	m.Called(schemas.Single, "", 100, time.Second)
	m.Published(time.Second, errors.New("no"))
	m.Aborted()
	m.Restoring(0.5)
	m.Restored(time.Second)
	m.TokenFetched("gettoken", "")
	m.TokensHeld(func() int { return 7 })
	m.Assigned(Assignment{
		Generation: 3, Homes: 2, AllHomes: 12, Requests: "requests", Forward: "forward",
		Positions: map[broker.TopicPartition]broker.Offset{{Topic: "requests", Partition: 1}: {At: 10}},
	})
	m.Observe(State{Lanes: []checker.LaneState{{CorpID: "ww1", State: "stopped", Failure: &schemas.Failure{}}}})
	return m
}

func TestMetrics_AreNamedAsPrometheusWants(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(used().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetrics_HaveOneLabelValueForEachCorpInTroubleAndAreBounded(t *testing.T) {
	t.Parallel()
	m := New("v1")
	var lanes []checker.LaneState
	for i := range 10_000 {
		l := checker.LaneState{CorpID: fmt.Sprint(i), State: "working"}
		if i%2 == 0 {
			l.State, l.Failure = "stopped", &schemas.Failure{Class: schemas.CorpStopped, Errcode: 40001}
		}
		lanes = append(lanes, l)
	}
	m.Observe(State{Lanes: lanes})
	if n := testutil.CollectAndCount(m.corpsInTrouble); n != maxCorpsInTrouble {
		t.Errorf("%d corps have a metric of their own, want %d", n, maxCorpsInTrouble)
	}
	if n := testutil.ToFloat64(m.lanes.WithLabelValues("stopped")); n != 5000 {
		t.Errorf("%v corps are stopped, want 5000", n)
	}
	m.Observe(State{})
	if n := testutil.CollectAndCount(m.corpsInTrouble); n != 0 {
		t.Errorf("%d corps are still in trouble", n)
	}
}

func TestLag_GrowsOlderWhileNothingIsTakenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New("v1")
		tp := broker.TopicPartition{Topic: "requests", Partition: 1}
		m.Assigned(Assignment{Generation: 1, Homes: 1, Requests: "requests", Positions: map[broker.TopicPartition]broker.Offset{tp: {At: 10}}})
		want := func(records, seconds int) {
			t.Helper()
			text := fmt.Sprintf(`
				# HELP consentd_lag_records Records between the committed offset and the end of the partition.
				# TYPE consentd_lag_records gauge
				consentd_lag_records{partition="1",role="requests",topic="requests"} %d
				# HELP consentd_lag_seconds Age of the newest record taken up of a partition that is not read to its end.
				# TYPE consentd_lag_seconds gauge
				consentd_lag_seconds{partition="1",role="requests",topic="requests"} %d
				`, records, seconds)
			if err := testutil.CollectAndCompare(m.lag, strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		}
		want(0, 0)
		m.Ends(map[broker.TopicPartition]int64{tp: 25, {Topic: "requests", Partition: 2}: 7})
		m.Taken(tp, time.Now())
		time.Sleep(3 * time.Second)
		want(15, 3)
		m.Committed(tp, 25)
		want(0, 0)
	})
}

func TestRestore_IsToldWhileItLastsAndWhenItIsDone(t *testing.T) {
	t.Parallel()
	m := New("v1")
	want := func(share float64) {
		t.Helper()
		if got := testutil.ToFloat64(m.restoreShare); got != share {
			t.Errorf("%v is restored, want %v", got, share)
		}
	}
	want(1)
	m.Restoring(0)
	want(0)
	m.Restoring(0.25)
	want(0.25)
	m.Restored(time.Second)
	want(1)
}

func TestLag_SaysWhatEachTopicIsFor(t *testing.T) {
	t.Parallel()
	m := New("v1")
	positions := make(map[broker.TopicPartition]broker.Offset)
	for _, topic := range []string{"in", "onward", "retry-1m"} {
		positions[broker.TopicPartition{Topic: topic}] = broker.Offset{At: 5}
	}
	m.Assigned(Assignment{Requests: "in", Forward: "onward", Positions: positions})
	err := testutil.CollectAndCompare(m.lag, strings.NewReader(`
		# HELP consentd_lag_records Records between the committed offset and the end of the partition.
		# TYPE consentd_lag_records gauge
		consentd_lag_records{partition="0",role="forward",topic="onward"} 0
		consentd_lag_records{partition="0",role="requests",topic="in"} 0
		consentd_lag_records{partition="0",role="retry",topic="retry-1m"} 0
		`), "consentd_lag_records")
	if err != nil {
		t.Error(err)
	}
}

func TestCounters_BeginAtZeroSoThatTheFirstEventIsAnIncrease(t *testing.T) {
	t.Parallel()
	m := New("v1")
	for name, counted := range map[string]struct {
		series int
		c      prometheus.Collector
	}{
		"dead letters": {7, m.deadLetters}, "parked": {4, m.parked}, "transactions": {2, m.transactions},
		"requests": {4, m.requests}, "items": {9, m.items},
	} {
		if n := testutil.CollectAndCount(counted.c); n != counted.series {
			t.Errorf("%s: %d series, want %d", name, n, counted.series)
		}
	}
}
