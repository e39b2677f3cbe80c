package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/internal/kafkatest"
	"consentd/status"
)

func TestStatusLog_TellsRecordsThatGotLostFromATopicThatHasGrown(t *testing.T) {
	t.Parallel()
	const partitions = 4
	byCorp := broker.NewPartitioner(partitions)
	placeOf := func(key []byte) int32 {
		corp, _, _ := bytes.Cut(key, []byte("/"))
		return byCorp.Partition(corp)
	}
	beside := func(key []byte) int32 { return (placeOf(key) + 1) % partitions }
	known := []byte(`{"agree_status":"Agree","status_change_time":1,"checked_at":"2026-01-01T00:00:00.000Z","version":1}`)
	type record struct {
		key, value []byte
		place      func([]byte) int32
	}
	var placed []record
	for i := range 8 {
		placed = append(placed, record{fmt.Appendf(nil, "ww%d/single/s/wm1", i), known, placeOf})
	}
	lost := record{[]byte("ww9/single/s/wm1"), known, beside}
	for name, tt := range map[string]struct {
		also   []record
		grown  bool
		bad    int // records that are handed to the table's own judgement
		logged bool
	}{
		"no key of ours":                   {also: []record{{[]byte("hello"), []byte("world"), beside}}, bad: 1},
		"one among many":                   {also: []record{lost}, logged: true},
		"a tombstone of one that is known": {also: []record{{placed[0].key, nil, beside}}},
		"as many as there are of others":   {also: []record{lost, lost, lost, lost, lost, lost, lost, lost}, grown: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := kafkatest.Embedded(t)
			topic := b.Topic(t, "status")
			kafkatest.CreateTopic(t, b.Addr(), topic, partitions, nil)
			c := broker.Open(broker.Options{Brokers: []string{b.Addr()}, Topics: []string{topic}})
			defer c.Close()
			var records broker.Records
			var homes []broker.TopicPartition
			for p := range int32(partitions) {
				homes = append(homes, broker.TopicPartition{Topic: topic, Partition: p})
			}
			for _, r := range append(tt.also, placed...) {
				records.Append(broker.TopicPartition{Topic: topic, Partition: r.place(r.key)}, r.key, r.value, nil, time.Now())
			}
			if err := c.Produce(t.Context(), &records, zerolog.Nop()); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			bad := 0
			l := statusLog{c, homes, byCorp, func(float64) {}, zerolog.New(&log)}
			table, err := status.Restore(t.Context(), l, func([]byte, error) { bad++ })
			if errors.As(err, new(*topicsError)) != tt.grown || err != nil && !tt.grown {
				t.Fatalf("error %v, want the topic to have grown: %t", err, tt.grown)
			}
			if bad != tt.bad || strings.Contains(log.String(), "passed over") != tt.logged {
				t.Errorf("%d bad, log %q", bad, &log)
			}
			if err == nil && table.Len() != len(placed) {
				t.Errorf("%d conversations are known, want %d", table.Len(), len(placed))
			}
		})
	}
}
