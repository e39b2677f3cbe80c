package replay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/internal/broker"
	"consentd/schemas"
)

func TestParseOffsets_ReadsPartsOfPartitions(t *testing.T) {
	t.Parallel()
	got, err := ParseOffsets([]string{"0:100-200", "3:7", "12:5-"})
	want := map[int32]Offsets{0: {100, 200}, 3: {7, 7}, 12: {5, ToEnd}}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range [][]string{{""}, {"0"}, {"0:"}, {"0:-1"}, {"-1:0"}, {"0:+1"}, {"0:1-2-3"}, {"99999999999:0"}, {"0:a-b"}, {"0:2-1"}, {"0:1", "0:2"}} {
		if got, err := ParseOffsets(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}

func TestParseTime_WantsAZoneOrHowLongAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "-6h": now.Add(-6 * time.Hour), "-90m": now.Add(-90 * time.Minute), "-7d": now.AddDate(0, 0, -7), "-0s": now,
		"2026-11-23T09:02:03+08:00": now, "2026-11-23T01:02:03Z": now, "2026-11-23T01:02:03.000Z": now,
	} {
		if got, err := ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "-", "--6h", "-+6h", "6h", "-6", "-d", "-1.5d", "-999999999d", "2026-11-23", "2026-11-23T01:02:03", "now-6h"} {
		if got, err := ParseTime(bad, now); err == nil || !strings.Contains(err.Error(), "zone") {
			t.Errorf("%q: got %v, %v, want an error that says what is right", bad, got, err)
		}
	}
}

func TestLooksLikeTime_TellsTimesFromTopics(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"now": true, "6h": true, "-6h": true, "2026-11-23T01:02:03Z": true, "2026-11-23": true, "12:30": true,
		"consent.requests": false, "orders-2026": false, "20261123": false,
	} {
		if got := LooksLikeTime(text); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestOldest_AreABeginningOfEachPartition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 20).Draw(t, "most")
		o, seen := newOldest(most), int64(0)
		times := make(map[int32][]int64) // of each partition, the newest so far at each offset
		for range rapid.IntRange(0, 60).Draw(t, "records") {
			p := rapid.Int32Range(0, 2).Draw(t, "partition")
			at := rapid.Int64Range(0, 50).Draw(t, "time")
			o.add(p, &broker.Record{Offset: int64(len(times[p])), Timestamp: at})
			if n := len(times[p]); n > 0 {
				at = max(at, times[p][n-1])
			}
			times[p] = append(times[p], at)
			seen++
		}
		ends, bounded := o.ends(seen)
		if !bounded {
			if seen > int64(most) {
				t.Fatalf("%d records are not bounded to %d", seen, most)
			}
			return
		}
		total, newest, oldestOut := int64(0), int64(-1), int64(1<<62)
		for p, all := range times {
			total += ends[p]
			if ends[p] > 0 {
				newest = max(newest, all[ends[p]-1])
			}
			if ends[p] < int64(len(all)) {
				oldestOut = min(oldestOut, all[ends[p]])
			}
		}
		if total != int64(most) || newest > oldestOut {
			t.Fatalf("ends %v: %d records, want %d; the newest in is of %d, the oldest out of %d", ends, total, most, newest, oldestOut)
		}
	})
}

func TestLatest_IsTheLastWordOnEachConversation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		found := make(latest)
		type written struct {
			partition int32
			record    broker.Record
			customers []int
		}
		var all []written
		last := make(map[int]int) // the place in all of each conversation's last record
		at := make(map[int]place)
		for i := range rapid.IntRange(1, 30).Draw(t, "records") {
			w := written{partition: rapid.Int32Range(0, 2).Draw(t, "partition")}
			w.customers = rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 1, 3, rapid.ID).Draw(t, "customers")
			var items []string
			for _, c := range w.customers {
				items = append(items, fmt.Sprintf(`{"open_userid":"a","external_userid":"wm%d"}`, c))
			}
			w.record = broker.Record{
				Offset: int64(i), Timestamp: rapid.Int64Range(0, 5).Draw(t, "time"),
				Value: []byte(`{"corp_id":"ww1","kind":"single","items":[` + strings.Join(items, ",") + `]}`),
			}
			found.add(w.partition, &w.record)
			all = append(all, w)
			for _, c := range w.customers {
				here := place{w.record.Timestamp, w.record.Offset, w.partition}
				if known, ok := at[c]; !ok || known.compare(here) < 0 {
					at[c], last[c] = here, i
				}
			}
		}
		for i, w := range all {
			want := slices.ContainsFunc(w.customers, func(c int) bool { return last[c] == i })
			if got := found.has(w.partition, &w.record); got != want {
				t.Fatalf("record %d: got %v, want %v", i, got, want)
			}
		}
	})
}

func TestPlaces_NameEveryRecordByRuns(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	for _, at := range []struct {
		partition int32
		offset    int64
	}{{1, 5}, {1, 6}, {0, 3}, {1, 7}, {1, 9}} {
		p.add(at.partition, at.offset)
	}
	if text := p.text("t"); p.Count != 5 || text != "t/0/3; t/1/5-7,9" {
		t.Errorf("got %d: %s", p.Count, text)
	}
	for i := range int64(3000) {
		p.add(2, 2*i)
	}
	if len(p.Runs) != mostRuns || p.Count != 3005 || !strings.HasSuffix(p.text("t"), "more") {
		t.Errorf("%d runs of %d records: %s", len(p.Runs), p.Count, p.text("t"))
	}
}

func TestProgress_IsReadAsItWasCommitted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		begin := rapid.Int64Range(0, 1<<40).Draw(t, "begin")
		s := span{begin: begin, published: rapid.Int64Range(0, 1<<40).Draw(t, "published"), tooOften: rapid.Int64Range(0, 9).Draw(t, "too often")}
		s.next = begin + rapid.Int64Range(0, 1<<20).Draw(t, "done")
		s.end = s.next + rapid.Int64Range(0, 1<<20).Draw(t, "left")
		s.whole = s.end + rapid.Int64Range(0, 1<<20).Draw(t, "beyond")
		selection := Selection{
			To: "t", Rate: rapid.Float64Range(0, 1e6).Draw(t, "rate"), MaxReplays: 3, Dedupe: rapid.Bool().Draw(t, "dedupe"),
			Filter: Filter{Corps: rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,5}`), 1, 3).Draw(t, "corps"), Headers: map[string][]string{"a": {"b"}}},
		}
		o, err := s.offset(&selection)
		if err != nil {
			t.Fatal(err)
		}
		gotSpan, gotSelection, err := parseProgress(o)
		if err != nil || gotSpan != s || fmt.Sprint(gotSelection) != fmt.Sprint(selection) {
			t.Fatalf("got  %+v %+v, %v\nwant %+v %+v", gotSpan, gotSelection, err, s, selection)
		}
	})
	for _, bad := range []broker.Offset{
		{At: 1}, {At: 1, Metadata: "AQ=="}, {At: 1, Metadata: `{"v":2}`}, {At: 9, Metadata: `{"v":1,"begin":0,"end":5}`}, {At: 1, Metadata: `{"v":1,"begin":0,"end":5,"whole":4}`}, {At: 1, Metadata: `{"v":1,"begin":-1,"end":5}`},
	} {
		if _, _, err := parseProgress(bad); err == nil {
			t.Errorf("%+v: want an error", bad)
		}
	}
	if err := checkMetadata(&Selection{To: "t", Filter: Filter{Keys: []string{strings.Repeat("k", 5000)}}}); err == nil {
		t.Error("filters that can't be kept with the progress are taken")
	}
}

func TestAppendHeaders_CountsAndTakesThePlaceOfAnEarlierReplays(t *testing.T) {
	t.Parallel()
	from := schemas.Origin{Topic: "t", Partition: 1, Offset: 2}
	once := appendHeaders(nil, []schemas.Header{{Key: "traceparent", Value: []byte("x")}}, []byte("first"), 1, from)
	twice := appendHeaders(nil, once, []byte("second"), 2, from)
	if len(twice) != 4 || string(twice[0].Value) != "x" || replays(once) != 1 || replays(twice) != 2 {
		t.Errorf("got %s", twice)
	}
	for _, odd := range []string{"", "x", "-1", "99999999999999999999"} {
		if n := replays([]schemas.Header{{Key: HeaderCount, Value: []byte(odd)}}); n != 0 {
			t.Errorf("%q counts as %d", odd, n)
		}
	}
}

// FuzzLooker wants facts of any bytes to be no others than those that a strict reader finds, when it finds any.
func FuzzLooker(f *testing.F) {
	f.Add([]byte(`{"corp_id":"ww1","kind":"single"}`), false)
	f.Add([]byte(`{"type":"consent.failed","error":{"class":"not_found","errcode":301061},"corp_id":"ww1"}`), true)
	f.Add([]byte(`{"error":[],"corp_id":{"a":1}}`), true)
	f.Add([]byte(`{"corp_id":"a b"}`), false)
	f.Fuzz(func(t *testing.T, value []byte, event bool) {
		var l looker
		r := &broker.Record{Value: value}
		if event {
			r.Headers = []schemas.Header{{Key: schemas.HeaderType, Value: []byte("consent.failed")}}
		}
		got := l.look(r, true)
		if got.corp != "" && schemas.IDProblem(got.corp) != "" {
			t.Errorf("corp %q", got.corp)
		}
		var strict map[string]json.RawMessage
		var corp string
		if req, err := schemas.DecodeRequest(nil, value, nil); err == nil && !event && got.corp != req.CorpID {
			t.Errorf("corp %q, want %q", got.corp, req.CorpID)
		}
		if json.Unmarshal(value, &strict) == nil && json.Unmarshal(strict["corp_id"], &corp) == nil && !event && got.corp != "" && cmp.Compare(got.corp, corp) != 0 && strings.Count(string(value), "corp_id") == 1 {
			t.Errorf("corp %q, want %q", got.corp, corp)
		}
	})
}

func TestPicker_LeavesOutWhatCanNotBeReplayed(t *testing.T) {
	t.Parallel()
	p := picker{selection: &Selection{MaxReplays: 3}, room: 2000}
	for name, tc := range map[string]struct {
		header string
		value  int
		want   verdict
	}{
		"a request":        {schemas.HeaderErrorClass, 100, picked},
		"as large as fits": {schemas.HeaderErrorClass, 1300, picked},
		"too large":        {schemas.HeaderErrorClass, 1900, unfit},
		"cut":              {schemas.HeaderTruncated, 100, unfit},
		"a command":        {schemas.HeaderCommand, 100, unfit},
	} {
		r := &broker.Record{Value: make([]byte, tc.value), Headers: []schemas.Header{{Key: tc.header, Value: []byte("x")}}}
		if _, got := p.pick(0, r, true); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestPicker_CountsWhatEarlierReplaysTook(t *testing.T) {
	t.Parallel()
	p := picker{selection: &Selection{MaxReplays: 3}, earlier: []earlier{
		{0, span{begin: 0, next: 10, end: 20}, Selection{MaxReplays: 2}},
		{0, span{begin: 5, next: 20, end: 20}, Selection{MaxReplays: 2, Filter: Filter{Corps: []string{"ww1"}}}},
		{1, span{begin: 0, next: 20, end: 20}, Selection{MaxReplays: 2}},
	}}
	for _, tc := range []struct {
		offset  int64
		corp    string
		header  string // how often it was replayed, as a dead letter says
		replays int
		want    verdict
	}{
		{3, "ww1", "", 1, picked},
		{7, "ww1", "", 2, picked},
		{7, "ww2", "", 1, picked},
		{15, "ww1", "", 1, picked},
		{15, "ww2", "", 0, picked},
		{7, "ww1", "1", 3, tooOften},
		{7, "ww1", "2", 2, picked}, // which neither of them took
	} {
		r := &broker.Record{Offset: tc.offset, Value: fmt.Appendf(nil, `{"corp_id":%q}`, tc.corp)}
		if tc.header != "" {
			r.Headers = append(r.Headers, schemas.Header{Key: HeaderCount, Value: []byte(tc.header)})
		}
		for _, all := range []bool{true, false} {
			if f, got := p.pick(0, r, all); got != tc.want || f.replays != tc.replays {
				t.Errorf("%+v: got %d replays, verdict %d", tc, f.replays, got)
			}
		}
	}
}

func TestLatest_TakesCloudEventsOfOthersForTheRequestsThatTheyAre(t *testing.T) {
	t.Parallel()
	found := make(latest)
	for i, customer := range []string{"wm1", "wm2"} {
		found.add(0, &broker.Record{
			Offset: int64(i), Value: fmt.Appendf(nil, `{"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":%q}`, customer),
			Headers: []schemas.Header{{Key: schemas.HeaderType, Value: []byte("com.example.check")}, {Key: schemas.HeaderSubject, Value: []byte("check")}},
		})
	}
	if len(found) != 2 {
		t.Errorf("%d conversations, want 2", len(found))
	}
}
