package status_test

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
	"consentd/status"
)

// place is a conversation that a table may know.
type place struct {
	hash schemas.Hash
	kind schemas.Kind
}

func somePlaces() []place {
	var places []place
	for i := range 3 {
		for _, c := range []schemas.Conversation{
			{CorpID: "ww1", Kind: schemas.Single, OpenUserID: "a", ExternalUserID: fmt.Sprint("wm", i)},
			{CorpID: "ww1", Kind: schemas.Room, ChatID: fmt.Sprint("wr", i)},
		} {
			places = append(places, place{schemas.HashKey(c.AppendKey(nil)), c.Kind})
		}
	}
	return places
}

func genEntry(kind schemas.Kind) *rapid.Generator[status.Entry] {
	return rapid.Custom(func(t *rapid.T) status.Entry {
		a := genReply(kind).Draw(t, "answer")
		return status.Entry{
			Kind:     kind,
			Status:   schemas.Status{Answer: a, Version: rapid.Int64Range(0, 1<<40).Draw(t, "version")},
			StoredAt: a.CheckedAt.Add(-time.Duration(rapid.IntRange(0, 1000).Draw(t, "stored ms before")) * time.Millisecond),
		}
	})
}

// sameEntry compares what entries say: times as instants.
func sameEntry(a, b status.Entry) bool {
	same := a.CheckedAt.Equal(b.CheckedAt) && a.StoredAt.Equal(b.StoredAt)
	a.CheckedAt, a.StoredAt = b.CheckedAt, b.StoredAt
	return same && reflect.DeepEqual(a, b)
}

// tableModel is a table as plain maps.
type tableModel struct {
	base   map[schemas.Hash]status.Entry
	stages []map[schemas.Hash]status.Entry
}

// holder returns the map that says what is known of h; nil when none does.
func (m *tableModel) holder(h schemas.Hash) map[schemas.Hash]status.Entry {
	for _, stage := range slices.Backward(m.stages) {
		if _, ok := stage[h]; ok {
			return stage
		}
	}
	if _, ok := m.base[h]; ok {
		return m.base
	}
	return nil
}

func (m *tableModel) staged(h schemas.Hash) bool {
	return slices.ContainsFunc(m.stages, func(s map[schemas.Hash]status.Entry) bool { _, ok := s[h]; return ok })
}

func TestTable_IsAMapWithStagesAboveIt(t *testing.T) {
	t.Parallel()
	places := somePlaces()
	rapid.Check(t, func(t *rapid.T) {
		table, model := status.NewTable(), tableModel{base: map[schemas.Hash]status.Entry{}}
		pick := func(t *rapid.T) place { return rapid.SampledFrom(places).Draw(t, "place") }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				p := pick(t)
				e := genEntry(p.kind).Draw(t, "entry")
				table.Put(p.hash, e)
				model.base[p.hash] = e
			},
			"forget": func(t *rapid.T) {
				p := pick(t)
				if model.staged(p.hash) {
					t.Skip("what is staged is not forgotten")
				}
				table.Forget(p.hash)
				delete(model.base, p.hash)
			},
			"touch": func(t *rapid.T) {
				p := pick(t)
				at := genReply(p.kind).Draw(t, "reply").CheckedAt
				table.Touch(p.kind, p.hash, at)
				if m := model.holder(p.hash); m != nil {
					e := m[p.hash]
					e.CheckedAt = at
					m[p.hash] = e
				}
			},
			"begin": func(*rapid.T) {
				table.Begin()
				model.stages = append(model.stages, map[schemas.Hash]status.Entry{})
			},
			"stage": func(t *rapid.T) {
				if len(model.stages) == 0 {
					t.Skip("no transaction")
				}
				p := pick(t)
				e := genEntry(p.kind).Draw(t, "entry")
				table.Stage(p.hash, e)
				model.stages[len(model.stages)-1][p.hash] = e
			},
			"stage forget": func(t *rapid.T) {
				if len(model.stages) == 0 {
					t.Skip("no transaction")
				}
				p := pick(t)
				table.StageForget(p.hash)
				model.stages[len(model.stages)-1][p.hash] = status.Entry{} // no kind: none
			},
			"commit": func(t *rapid.T) {
				if len(model.stages) == 0 {
					t.Skip("no transaction")
				}
				table.Commit()
				maps.Copy(model.base, model.stages[0])
				maps.DeleteFunc(model.base, func(_ schemas.Hash, e status.Entry) bool { return e.Kind == "" })
				model.stages = model.stages[1:]
			},
			"": func(t *rapid.T) {
				if table.Len() != len(model.base) {
					t.Fatalf("Len %d, want %d", table.Len(), len(model.base))
				}
				for i, p := range places {
					got, ok := table.Get(p.kind, p.hash)
					m := model.holder(p.hash)
					if ok != (m != nil && m[p.hash].Kind != "") || ok && !sameEntry(got, m[p.hash]) {
						t.Fatalf("place %d: got %+v (%v), want %+v", i, got, ok, m[p.hash])
					}
				}
			},
		})
	})
}

func TestTable_WhatIsKnownOfAPairIsReadAndRefreshedWithoutAllocating(t *testing.T) {
	p := somePlaces()[0]
	table := status.NewTable()
	e := status.Entry{Kind: p.kind, Status: schemas.Status{Answer: schemas.Answer{Consent: agree(1), CheckedAt: now}, Version: 1}, StoredAt: now}
	table.Put(p.hash, e)
	n := testing.AllocsPerRun(100, func() {
		got, _ := table.Get(p.kind, p.hash)
		table.Touch(p.kind, p.hash, got.CheckedAt.Add(time.Second))
		table.Put(p.hash, got)
		table.Forget(p.hash)
		table.Put(p.hash, got) // in the place that became free
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTable_Memory shows what a conversation costs in memory, the maps' slack included.
func BenchmarkTable_Memory(b *testing.B) {
	const n = 1_000_000
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, bc := range []struct {
		name  string
		entry status.Entry
		n     int
	}{
		{"pair", status.Entry{Kind: schemas.Single, Status: schemas.Status{Answer: schemas.Answer{Consent: agree(1), CheckedAt: now}, Version: 1}, StoredAt: now}, n},
		{"room_without_members", status.Entry{Kind: schemas.Room, Status: schemas.Status{Answer: schemas.Answer{CheckedAt: now}}, StoredAt: now}, n / 10},
	} {
		b.Run(bc.name, func(b *testing.B) {
			var key []byte
			for b.Loop() {
				before := heap()
				table := status.NewTable()
				for i := range bc.n {
					key = fmt.Appendf(key[:0], "ww1/%d", i)
					table.Put(schemas.HashKey(key), bc.entry)
				}
				b.ReportMetric(float64(heap()-before)/float64(bc.n), "B/entry")
				runtime.KeepAlive(table)
			}
		})
	}
}

func BenchmarkTable_GetAndTouch(b *testing.B) {
	const n = 100_000
	table := status.NewTable()
	hashes := make([]schemas.Hash, n)
	for i := range hashes {
		hashes[i] = schemas.HashKey(fmt.Append(nil, i))
		table.Put(hashes[i], status.Entry{Kind: schemas.Single, Status: schemas.Status{Answer: schemas.Answer{Consent: agree(1), CheckedAt: now}, Version: 1}, StoredAt: now})
	}
	table.Begin()
	table.Begin()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h := hashes[i%n]
		if _, ok := table.Get(schemas.Single, h); !ok {
			b.Fatal("unknown")
		}
		table.Touch(schemas.Single, h, now)
	}
}
