package faults

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func options(instances int, d time.Duration) Options {
	return Options{Duration: d, Instances: instances, Brokers: 3, SessionTimeout: 14 * time.Second, Corps: []string{"ww1", "ww2"}}
}

func TestPlan_IsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	o := options(3, 2*time.Minute)
	if !reflect.DeepEqual(Plan(7, o), Plan(7, o)) {
		t.Error("one seed gave two plans")
	}
	if reflect.DeepEqual(Plan(7, o), Plan(8, o)) {
		t.Error("two seeds gave one plan")
	}
}

func TestPlan_TenRoundsOfFiveMinutesHaveAHundredFaultsOfEachKind(t *testing.T) {
	t.Parallel()
	count := map[Kind]int{}
	for seed := range uint64(10) {
		for _, f := range Plan(seed, options(3, 5*time.Minute)) {
			count[f.Kind]++
		}
	}
	for _, kind := range Kinds() {
		if count[kind] < 100 {
			t.Errorf("%s: %d times, want 100", kind, count[kind])
		}
	}
}

func TestPlan_EachFaultCanBeDone(t *testing.T) {
	t.Parallel()
	for instances := 1; instances <= 3; instances++ {
		o := options(instances, 10*time.Minute)
		last := time.Duration(0)
		for _, f := range Plan(uint64(instances), o) {
			if f.At < last || f.At >= o.Duration {
				t.Errorf("%v: at %s, after one at %s", f, f.At, last)
			}
			last = f.At
			if f.Instance < All || f.Instance >= instances || f.Broker < All || f.Broker >= 3 {
				t.Errorf("%v: no such instance or broker", f)
			}
			if f.Kind == InstanceStall && f.Length <= o.SessionTimeout {
				t.Errorf("%v: the member keeps its place", f)
			}
			for _, text := range []string{f.Toxic, f.Body} {
				if text != "" && !json.Valid([]byte(text)) {
					t.Errorf("%v: %q is no JSON", f, text)
				}
			}
		}
	}
}
