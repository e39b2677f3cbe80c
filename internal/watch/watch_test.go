package watch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/broker"
	"consentd/internal/kafkatest"
	"consentd/schemas"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

func TestEvent_LineSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		value string
		want  []string
	}{
		{
			`{"type":"consent.checked","corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm1","agree_status":"Agree","status_change_time":1,"consented":true,"source":"status","checked_at":"2026-11-23T01:02:03.456Z","request":{"id":"r-2","index":1,"count":2}}`,
			[]string{"2026-11-23T01:02:03Z", "checked", "ww1/single/a/wm1", "r-2#1", "Agree (status)"},
		},
		{
			`{"type":"consent.checked","corp_id":"ww1","kind":"room","chatid":"wr1","members":[{"external_userid":"wm1","agree_status":"Disagree"}],"consented":false,"source":"api","checked_at":"2026-11-23T01:02:03.456Z","request":{"id":"r-3","index":0,"count":1}}`,
			[]string{"ww1/room/wr1", "not consented, 1 members (api)"},
		},
		{
			`{"type":"consent.failed","error":{"class":"invalid_request","message":"no JSON\u001b[2J\n"},"failed_at":"2026-11-23T01:02:04Z","request":{"id":"consent.requests/0/7","index":0,"count":1}}`,
			[]string{"2026-11-23T01:02:04Z", "failed", "  -  ", "consent.requests/0/7#0", "invalid_request: no JSON\uFFFD[2J\uFFFD"},
		},
		{
			`{"type":"consent.failed","corp_id":"ww1","kind":"single","error":{"class":"not_found","errcode":301061,"message":"no such user","attempts":1},"failed_at":"2026-11-23T01:02:04Z","request":{"id":"r","index":0,"count":1}}`,
			[]string{"not_found (301061): no such user"},
		},
		{
			`{"type":"consent.changed","corp_id":"ww1","kind":"room","chatid":"wr1","external_userid":"wm1","change":"left","previous":{"agree_status":"Agree","status_change_time":1},"current":null,"version":4,"observed_at":"2026-11-23T01:02:05Z","request":{"id":"r","index":0,"count":1}}`,
			[]string{"2026-11-23T01:02:05Z", "changed", "ww1/room/wr1/wm1", "left: Agree → nothing, version 4"},
		},
	} {
		e, err := decode([]schemas.Header{{Key: schemas.HeaderID, Value: []byte("id")}}, []byte(tc.value))
		if err != nil || e.ID != "id" || string(e.Raw) != tc.value {
			t.Fatalf("%s: got %+v, %v", tc.value, e, err)
		}
		for _, want := range tc.want {
			if line := e.Line(); !strings.Contains(line, want) || strings.ContainsAny(line, "\x1b\n") {
				t.Errorf("%q is not in %q", want, line)
			}
		}
	}
}

func TestRun_PassesOverWhatIsNoEventAndReadsSeveralTopics(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		results, changes := b.Topic(t, "results"), b.Topic(t, "changes")
		event := func(kind, corp string) []byte {
			return []byte(`{"type":"consent.` + kind + `","corp_id":"` + corp + `","request":{"id":"r","index":0,"count":1}}`)
		}
		for _, topic := range []string{results, changes} {
			kafkatest.CreateTopic(t, b.Addr(), topic, 2, nil)
		}
		old := time.Now().Add(-2 * time.Hour)
		kafkatest.ProduceTo(t, b.Addr(),
			&kgo.Record{Topic: results, Partition: 0, Value: event("checked", "old"), Timestamp: old},
			&kgo.Record{Topic: results, Partition: 0, Value: []byte("no event")},
			&kgo.Record{Topic: results, Partition: 0}, // a tombstone
			&kgo.Record{Topic: results, Partition: 1, Value: event("checked", "ww1")},
			&kgo.Record{Topic: results, Partition: 1, Value: event("failed", "ww2")},
			&kgo.Record{Topic: changes, Partition: 0, Value: event("changed", "ww1")})
		c := broker.Open(broker.Options{Brokers: []string{b.Addr()}, Topics: []string{results, changes}})
		t.Cleanup(c.Close)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		both := []string{results, changes}
		for name, tc := range map[string]struct {
			o    Options
			want int
		}{
			"everything": {Options{Topics: both}, 4},
			"since":      {Options{Topics: both, Since: time.Now().Add(-time.Hour)}, 3},
			"one topic":  {Options{Topics: both[:1]}, 3},
			"a corp":     {Options{Topics: both, Filter: Filter{Corps: []string{"ww1"}}}, 2},
			"types":      {Options{Topics: both, Filter: Filter{Types: []string{schemas.TypeFailed, schemas.TypeChanged}}}, 2},
			"both":       {Options{Topics: both, Filter: Filter{Types: []string{schemas.TypeFailed}, Corps: []string{"ww1"}}}, 0},
		} {
			var log bytes.Buffer
			got := 0
			err := Run(ctx, c, tc.o, zerolog.New(&log), func(*Event) error {
				got++
				return nil
			})
			if err != nil || got != tc.want || strings.Count(log.String(), "passed over") != 2 {
				t.Errorf("%s: got %d events, %v, want %d, and 2 records passed over: %s", name, got, err, tc.want, &log)
			}
		}
		followed, stop := context.WithCancel(ctx)
		seen := 0
		err := Run(followed, c, Options{Topics: both, Follow: true}, zerolog.Nop(), func(e *Event) error {
			if seen++; seen == 4 {
				kafkatest.ProduceTo(t, b.Addr(), &kgo.Record{Topic: results, Partition: 0, Value: event("checked", "new")})
			}
			if e.CorpID == "new" {
				stop()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || seen != 5 {
			t.Errorf("following: %d events, %v, want 5 and that it was stopped", seen, err)
		}
	})
}
