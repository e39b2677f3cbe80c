package status_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"consentd/schemas"
	"consentd/status"
)

// logFunc makes a function a Log.
type logFunc func(ctx context.Context, take func(key, value []byte) error) error

func (f logFunc) ReadToEnd(ctx context.Context, take func(key, value []byte) error) error {
	return f(ctx, take)
}

// record is one of the status topic; a nil value is a tombstone.
type record struct {
	key   string
	value []byte
}

// records is a Log. Like a fetch it hands on memory that it uses again.
func records(rs ...record) logFunc {
	return func(_ context.Context, take func(key, value []byte) error) error {
		var key, value []byte
		for _, r := range rs {
			key = append(key[:0], r.key...)
			handed := r.value
			if handed != nil {
				value = append(value[:0], r.value...)
				handed = value[:len(r.value):len(r.value)]
			}
			if err := take(key, handed); err != nil {
				return err
			}
		}
		clear(key)
		clear(value)
		return nil
	}
}

// restore returns the table and the keys of the records that were bad.
func restore(t rapid.TB, log status.Log) (*status.Table, []string) {
	t.Helper()
	var bad []string
	table, err := status.Restore(context.Background(), log, func(key []byte, err error) {
		if err == nil {
			t.Errorf("%s is bad, without a word why", key)
		}
		bad = append(bad, string(key))
	})
	if err != nil {
		t.Fatal(err)
	}
	return table, bad
}

const (
	pairKey = "ww1/single/a/wm1"
	roomKey = "ww1/room/wr1"
)

func TestRestore_TheLastWordOfEachKeyCounts(t *testing.T) {
	t.Parallel()
	pair := []byte(`{"agree_status":"Agree","status_change_time":5,"checked_at":"2026-11-23T01:00:00.000Z","version":1}`)
	later := []byte(`{"agree_status":"Disagree","status_change_time":6,"checked_at":"2026-11-23T02:00:00.000Z","version":2}`)
	room := []byte(`{"members":[{"external_userid":"wm1","agree_status":"Agree","status_change_time":5}],"checked_at":"2026-11-23T01:00:00.000Z","version":1}`)
	emptyRoom := []byte(`{"members":[],"checked_at":"2026-11-23T02:00:00.000Z","version":0}`)
	pairEntry := status.Entry{Kind: schemas.Single, Status: schemas.Status{Answer: schemas.Answer{Consent: agree(5), CheckedAt: before}, Version: 1}, StoredAt: before}
	laterEntry := status.Entry{Kind: schemas.Single, Status: schemas.Status{Answer: schemas.Answer{Consent: disagree(6), CheckedAt: now}, Version: 2}, StoredAt: now}
	roomEntry := status.Entry{
		Kind: schemas.Room, StoredAt: before,
		Status: schemas.Status{Answer: schemas.Answer{Members: []schemas.Member{member("wm1", agree(5))}, CheckedAt: before}, Version: 1},
	}
	emptyRoomEntry := status.Entry{
		Kind: schemas.Room, StoredAt: now,
		Status: schemas.Status{Answer: schemas.Answer{Members: []schemas.Member{}, CheckedAt: now}},
	}
	type entries = map[string]status.Entry
	for _, tc := range []struct {
		name string
		log  []record
		want entries
		bad  []string
	}{
		{name: "an empty topic"},
		{name: "a pair", log: []record{{pairKey, pair}}, want: entries{pairKey: pairEntry}},
		{name: "a room", log: []record{{roomKey, room}}, want: entries{roomKey: roomEntry}},
		{name: "a room without members is known", log: []record{{roomKey, emptyRoom}}, want: entries{roomKey: emptyRoomEntry}},
		{name: "twice", log: []record{{pairKey, pair}, {roomKey, room}, {pairKey, later}, {roomKey, emptyRoom}}, want: entries{pairKey: laterEntry, roomKey: emptyRoomEntry}},
		{name: "twice, whatever the records' own times", log: []record{{pairKey, later}, {pairKey, pair}}, want: entries{pairKey: pairEntry}},
		{name: "a tombstone forgets", log: []record{{pairKey, pair}, {roomKey, room}, {pairKey, nil}}, want: entries{roomKey: roomEntry}},
		{name: "a tombstone forgets a room", log: []record{{roomKey, room}, {roomKey, nil}}},
		{name: "a tombstone of what was never known", log: []record{{pairKey, nil}, {roomKey, room}}, want: entries{roomKey: roomEntry}},
		{name: "known again after a tombstone", log: []record{{pairKey, later}, {pairKey, nil}, {pairKey, pair}}, want: entries{pairKey: pairEntry}},
		{name: "a bad value counts as unknown", log: []record{{pairKey, pair}, {pairKey, []byte("{")}}, bad: []string{pairKey}},
		{name: "an empty value is no tombstone", log: []record{{pairKey, pair}, {pairKey, []byte{}}}, bad: []string{pairKey}},
		{name: "known again after a bad value", log: []record{{pairKey, []byte("7")}, {pairKey, pair}}, want: entries{pairKey: pairEntry}, bad: []string{pairKey}},
		{name: "a bad record spares its neighbours", log: []record{{pairKey, pair}, {roomKey, []byte(`{"version":"x"}`)}}, want: entries{pairKey: pairEntry}, bad: []string{roomKey}},
		{name: "a room's value under a pair's key", log: []record{{pairKey, room}, {roomKey, pair}}, bad: []string{pairKey, roomKey}},
		{name: "a key that names no conversation", log: []record{{"ww1/else/a", pair}, {"", nil}, {pairKey, pair}}, want: entries{pairKey: pairEntry}, bad: []string{"ww1/else/a", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			table, bad := restore(t, records(tc.log...))
			if !slices.Equal(bad, tc.bad) {
				t.Errorf("bad %q, want %q", bad, tc.bad)
			}
			if table.Len() != len(tc.want) {
				t.Errorf("knows %d, want %d", table.Len(), len(tc.want))
			}
			for key, want := range tc.want {
				got, ok := table.Get(want.Kind, schemas.HashKey([]byte(key)))
				if !ok || !sameEntry(got, want) {
					t.Errorf("%s: got %+v (%v), want %+v", key, got, ok, want)
				}
			}
		})
	}
}

func TestRestore_SaysWhyTheTopicCouldNotBeRead(t *testing.T) {
	t.Parallel()
	lost := errors.New("broker lost")
	table, err := status.Restore(t.Context(), logFunc(func(context.Context, func(key, value []byte) error) error { return lost }),
		func([]byte, error) { t.Error("no record was bad") })
	if !errors.Is(err, lost) || !strings.HasPrefix(err.Error(), "restore the status: ") || table != nil {
		t.Errorf("got %v, %v", table, err)
	}
}

func TestRestore_KnowsWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var log []record
		written := map[string]status.Entry{}
		for _, key := range rapid.SliceOfN(rapid.SampledFrom([]string{pairKey, roomKey, "ww2/single/a/wm1", "ww2/room/wr1"}), 0, 20).Draw(t, "keys") {
			if rapid.IntRange(0, 5).Draw(t, "tombstone if 0") == 0 {
				log = append(log, record{key, nil})
				delete(written, key)
				continue
			}
			c, err := schemas.ParseKey(key)
			if err != nil {
				t.Fatal(err)
			}
			var known *schemas.Status
			if e, ok := written[key]; ok {
				known = &e.Status
			}
			s := status.Settle(known, c.Kind, genReply(c.Kind).Draw(t, "reply")).Status
			log = append(log, record{key, schemas.AppendStatus(nil, c.Kind, &s)})
			written[key] = status.Entry{Kind: c.Kind, Status: s, StoredAt: s.CheckedAt}
		}
		table, bad := restore(t, records(log...))
		if len(bad) > 0 || table.Len() != len(written) {
			t.Fatalf("bad %q, knows %d, want %d", bad, table.Len(), len(written))
		}
		for key, want := range written {
			if got, ok := table.Get(want.Kind, schemas.HashKey([]byte(key))); !ok || !sameEntry(got, want) {
				t.Fatalf("%s: got %+v (%v), want %+v", key, got, ok, want)
			}
		}
	})
}
