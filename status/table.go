package status

import (
	"math"
	"time"

	"consentd/schemas"
)

// Table holds the last known status of conversations, by the hash of their key. What a transaction in the making would
// change is staged above it: seen by the next settlements at once, kept when the transaction commits. Not safe for
// concurrent use: one goroutine settles.
type Table struct {
	// places has each pair's place in pairs. Neither has pointers: a million of them are nothing to the garbage collector.
	places map[schemas.Hash]uint32
	pairs  []pair
	free   []uint32 // places of pairs that were forgotten
	rooms  map[schemas.Hash]*room
	// words are the API's words, each once: pairs name them by their place.
	words     []string
	wordPlace map[string]uint32
	// staged are the changes of transactions not committed yet, oldest first.
	staged []map[schemas.Hash]Entry
}

// Entry is what the table has of a conversation.
type Entry struct {
	schemas.Status
	Kind schemas.Kind
	// StoredAt is the checked_at of the record in the status topic, which may be older than the last reply.
	StoredAt time.Time
}

// isForgotten tells a forgotten one from all others, which have a kind.
func (e *Entry) isForgotten() bool { return e.Kind == "" }

// pair is an Entry without pointers.
type pair struct {
	changeTime int64 // unix s
	checkedAt  int64 // unix ms
	storedAt   int64 // unix ms
	version    int64
	word       uint32
}

type room struct {
	members   []schemas.Member
	checkedAt int64 // unix ms
	storedAt  int64 // unix ms
	version   int64
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{
		places:    make(map[schemas.Hash]uint32),
		rooms:     make(map[schemas.Hash]*room),
		wordPlace: make(map[string]uint32),
	}
}

// Len returns how many conversations are known, without the staged ones.
func (t *Table) Len() int { return len(t.places) + len(t.rooms) }

// Count returns how many conversations of a kind are known, without the staged ones.
func (t *Table) Count(kind schemas.Kind) int {
	if kind == schemas.Room {
		return len(t.rooms)
	}
	return len(t.places)
}

// CountCheckedBefore returns how many conversations were last checked before a time, without the staged ones.
func (t *Table) CountCheckedBefore(at time.Time) int {
	n, ms := 0, at.UnixMilli()
	for i := range t.pairs {
		if t.pairs[i].checkedAt < ms {
			n++
		}
	}
	for _, r := range t.rooms {
		if r.checkedAt < ms {
			n++
		}
	}
	return n
}

// Get returns what is known of a conversation, staged or not.
func (t *Table) Get(kind schemas.Kind, h schemas.Hash) (Entry, bool) {
	for i := len(t.staged) - 1; i >= 0; i-- {
		if e, ok := t.staged[i][h]; ok {
			return e, !e.isForgotten()
		}
	}
	if kind == schemas.Room {
		r, ok := t.rooms[h]
		if !ok {
			return Entry{}, false
		}
		return entry(kind, r.checkedAt, r.storedAt, schemas.Status{Answer: schemas.Answer{Members: r.members}, Version: r.version}), true
	}
	place, ok := t.places[h]
	if !ok {
		return Entry{}, false
	}
	p := &t.pairs[place]
	consent := schemas.Consent{AgreeStatus: t.words[p.word], StatusChangeTime: p.changeTime}
	return entry(kind, p.checkedAt, p.storedAt, schemas.Status{Answer: schemas.Answer{Consent: consent}, Version: p.version}), true
}

func entry(kind schemas.Kind, checkedAt, storedAt int64, s schemas.Status) Entry {
	s.CheckedAt = time.UnixMilli(checkedAt)
	return Entry{Kind: kind, Status: s, StoredAt: time.UnixMilli(storedAt)}
}

// Put sets what is known of a conversation.
func (t *Table) Put(h schemas.Hash, e Entry) {
	checkedAt, storedAt := e.CheckedAt.UnixMilli(), e.StoredAt.UnixMilli()
	if e.Kind == schemas.Room {
		t.rooms[h] = &room{members: e.Members, checkedAt: checkedAt, storedAt: storedAt, version: e.Version}
		return
	}
	t.pairs[t.place(h)] = pair{
		changeTime: e.StatusChangeTime, checkedAt: checkedAt, storedAt: storedAt, version: e.Version, word: t.word(e.AgreeStatus),
	}
}

// place returns a pair's place, a new one when it has none.
func (t *Table) place(h schemas.Hash) uint32 {
	place, ok := t.places[h]
	switch n := len(t.free); {
	case ok:
		return place
	case n > 0:
		place, t.free = t.free[n-1], t.free[:n-1]
	default:
		place = uint32(len(t.pairs))
		t.pairs = append(t.pairs, pair{})
	}
	t.places[h] = place
	return place
}

// Touch notes that the API said again what is known. It tells nothing new, so it waits for no transaction.
func (t *Table) Touch(kind schemas.Kind, h schemas.Hash, checkedAt time.Time) {
	for i := len(t.staged) - 1; i >= 0; i-- {
		if e, ok := t.staged[i][h]; ok {
			e.CheckedAt = checkedAt
			t.staged[i][h] = e
			return
		}
	}
	if kind == schemas.Room {
		if r := t.rooms[h]; r != nil {
			r.checkedAt = checkedAt.UnixMilli()
		}
		return
	}
	if place, ok := t.places[h]; ok {
		t.pairs[place].checkedAt = checkedAt.UnixMilli()
	}
}

// Forget removes a conversation.
func (t *Table) Forget(h schemas.Hash) {
	if place, ok := t.places[h]; ok {
		delete(t.places, h)
		t.pairs[place] = pair{checkedAt: math.MaxInt64}
		t.free = append(t.free, place)
	}
	delete(t.rooms, h)
}

func (t *Table) word(s string) uint32 {
	place, ok := t.wordPlace[s]
	if !ok {
		place = uint32(len(t.words))
		t.words = append(t.words, s)
		t.wordPlace[s] = place
	}
	return place
}

// Begin opens the stage of the next transaction.
func (t *Table) Begin() { t.staged = append(t.staged, make(map[schemas.Hash]Entry)) }

// Stage sets what is known once the transaction that was begun last commits.
func (t *Table) Stage(h schemas.Hash, e Entry) { t.staged[len(t.staged)-1][h] = e }

// StageForget forgets a conversation once the transaction that was begun last commits.
func (t *Table) StageForget(h schemas.Hash) { t.staged[len(t.staged)-1][h] = Entry{} }

// Commit makes the oldest stage known for good.
func (t *Table) Commit() {
	for h, e := range t.staged[0] {
		if e.isForgotten() {
			t.Forget(h)
		} else {
			t.Put(h, e)
		}
	}
	t.staged = t.staged[1:]
}
