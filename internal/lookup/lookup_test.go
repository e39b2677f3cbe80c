package lookup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
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

// setup makes a status topic of some partitions.
func setup(t *testing.T, b *kafkatest.Broker, partitions int) (context.Context, Topic, *bytes.Buffer) {
	t.Helper()
	name := b.Topic(t, "status")
	kafkatest.CreateTopic(t, b.Addr(), name, partitions, nil)
	c := broker.Open(broker.Options{Brokers: []string{b.Addr()}, Topics: []string{name}})
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	var log bytes.Buffer
	return ctx, Topic{Cluster: c, Name: name, Log: zerolog.New(&log)}, &log
}

const at = `"checked_at":"2026-11-23T01:02:03.456Z"`

// put writes a record where the daemon does: in the partition of the key's corp.
func put(t *testing.T, b *kafkatest.Broker, topic Topic, partitions int32, key, value string) {
	t.Helper()
	corp, _, _ := strings.Cut(key, "/")
	r := &kgo.Record{Topic: topic.Name, Partition: broker.NewPartitioner(partitions).Partition([]byte(corp)), Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	kafkatest.ProduceTo(t, b.Addr(), r)
}

func TestTopic_ShowsTheLastWordAndNothingThatWasForgotten(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		ctx, topic, log := setup(t, b, 4)
		agree, disagree := `{"agree_status":"Agree","status_change_time":1,`+at+`,"version":1}`, `{"agree_status":"Disagree","status_change_time":2,`+at+`,"version":2}`
		put(t, b, topic, 4, "ww1/single/a/changed", agree)
		put(t, b, topic, 4, "ww1/single/a/changed", disagree)
		put(t, b, topic, 4, "ww1/single/a/forgotten", agree)
		put(t, b, topic, 4, "ww1/single/a/forgotten", "")
		put(t, b, topic, 4, "ww2/room/empty", `{"members":[],`+at+`,"version":0}`)
		put(t, b, topic, 4, "ww3/room/full", `{"members":[{"external_userid":"wm1","agree_status":"Agree","status_change_time":1}],`+at+`,"version":1}`)
		put(t, b, topic, 4, "no key", agree)
		put(t, b, topic, 4, "ww3/single/a/broken", `{"agree_status":1}`)

		var got []string
		err := topic.Each(ctx, Filter{}, func(e *Entry) error {
			got = append(got, fmt.Sprintf("%s %t %d", e.Conversation.Key(), e.Consented(), e.Version))
			return nil
		})
		slices.Sort(got)
		if want := []string{"ww1/single/a/changed false 2", "ww2/room/empty false 0", "ww3/room/full true 1"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if n := strings.Count(log.String(), "passed over"); n != 2 {
			t.Errorf("%d records were said to be passed over, want 2: %s", n, log)
		}
		for key, want := range map[string]bool{"ww1/single/a/changed": true, "ww1/single/a/forgotten": false, "ww2/room/empty": true, "ww9/room/unknown": false} {
			c, err := schemas.ParseKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if e, err := topic.One(ctx, c); err != nil || (e != nil) != want || e != nil && e.Conversation.Key() != key {
				t.Errorf("%s: got %+v, %v, want it known: %t", key, e, err, want)
			}
		}
		broken := schemas.Conversation{CorpID: "ww3", Kind: schemas.Single, OpenUserID: "a", ExternalUserID: "broken"}
		if e, err := topic.One(ctx, broken); err == nil {
			t.Errorf("a record that is no status: got %+v", e)
		}
	})
}

func TestEntry_JSONHasTheRecordWordForWord(t *testing.T) {
	t.Parallel()
	record := `{"agree_status":"Agree","status_change_time":1562766651,` + at + `,"version":4}`
	e, err := decode("ww1/single/a/wm1", []byte(record))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"key":"ww1/single/a/wm1","corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm1","consented":true,"status":` + record + `}`
	if got, err := e.JSON(); err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
