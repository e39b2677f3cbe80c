package wechattest

import (
	"slices"
	"strings"
	"sync"
)

// The words of the official page.
const (
	Agree    = "Agree"
	Disagree = "Disagree"
)

// Status is what the API says about a customer's consent.
type Status struct {
	// AgreeStatus goes into replies verbatim, whatever it is.
	AgreeStatus string `json:"agree_status"`
	// ChangeTime is in seconds since 1970, UTC.
	ChangeTime int64 `json:"status_change_time"`
}

// Member is a customer in a room.
type Member struct {
	ExternalUserID string `json:"external_userid"`
	Status
}

// SetSingle sets the status of a pair.
func (s *Simulator) SetSingle(corpID, openUserID, externalUserID string, status Status) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.set(pairKey{corpID, openUserID, externalUserID}, status)
}

// SetRoom sets the members of a room. None: the room is there and has no customers.
func (s *Simulator) SetRoom(corpID, chatID string, members []Member) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.rooms[roomKey{corpID, chatID}] = slices.Clone(members)
}

// SetRemember says whether pairs that are asked for from now on are kept for Flip, as Options.Remember does. What was kept
// before stays so.
func (s *Simulator) SetRemember(remember bool) {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	s.book.remember = remember
}

type (
	pairKey struct{ corp, staff, customer string }
	roomKey struct{ corp, chat string }
	pair    struct{ staff, customer string }
	// entry is one of agreeinfo; in a room's reply there is no staff.
	entry struct {
		pair
		Status
	}
)

// book has the status of everybody. One lock guards all of it, so that a reply shows a flip whole or not at all.
type book struct {
	unknown UnknownIDs
	byRule  Status
	seed    hash

	mu       sync.RWMutex
	remember bool
	pairs    map[pairKey]Status // set or flipped
	rooms    map[roomKey][]Member
	asked    map[pairKey]struct{} // remembered, not in pairs
}

func newBook(o Options) *book {
	return &book{
		unknown: o.UnknownIDs, byRule: o.DefaultStatus, seed: newHash(o.Seed), remember: o.Remember,
		pairs: make(map[pairKey]Status), rooms: make(map[roomKey][]Member), asked: make(map[pairKey]struct{}),
	}
}

// set is called with mu held.
func (b *book) set(k pairKey, status Status) {
	delete(b.asked, k)
	b.pairs[k] = status
}

// single appends the entries for the pairs, in their order.
func (b *book) single(corp string, pairs []pair, entries []entry) ([]entry, *refusal) {
	b.mu.RLock()
	remember := b.remember
	entries, refused := b.lookUp(corp, pairs, entries)
	b.mu.RUnlock()
	if remember && refused == nil && b.unknown == UnknownDerived {
		b.rememberAll(corp, pairs)
	}
	return entries, refused
}

// lookUp is called with mu held for reading.
func (b *book) lookUp(corp string, pairs []pair, entries []entry) ([]entry, *refusal) {
	inCorp := b.seed.add(corp)
	for _, p := range pairs {
		status, known := b.pairs[pairKey{corp, p.staff, p.customer}]
		switch {
		case known:
		case b.unknown == UnknownRefused:
			return nil, &refusal{errcodeUnknownPair, p.staff + " and " + p.customer}
		case b.unknown == UnknownOmitted:
			continue
		default:
			status = b.derive(inCorp.add(p.staff).add(p.customer))
		}
		entries = append(entries, entry{p, status})
	}
	return entries, nil
}

func (b *book) rememberAll(corp string, pairs []pair) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range pairs {
		k := pairKey{corp, p.staff, p.customer}
		if _, known := b.pairs[k]; known {
			continue
		}
		if _, known := b.asked[k]; known {
			continue
		}
		// The ids are parts of a whole request, which shall not stay in memory.
		ids := p.staff + p.customer
		b.asked[pairKey{corp, ids[:len(p.staff)], ids[len(p.staff):]}] = struct{}{}
	}
}

// room appends the entries for the members of a room.
func (b *book) room(corp, chat string, entries []entry) ([]entry, *refusal) {
	b.mu.RLock()
	members, known := b.rooms[roomKey{corp, chat}]
	b.mu.RUnlock()
	if !known && b.unknown != UnknownDerived {
		return nil, &refusal{errcodeUnknownRoom, chat}
	}
	// The list itself is never changed, only replaced.
	for _, m := range members {
		entries = append(entries, entry{pair{customer: m.ExternalUserID}, m.Status})
	}
	if known {
		return entries, nil
	}
	inRoom := b.seed.add(corp).add("room").add(chat)
	for range 1 + inRoom.sum()%5 {
		inRoom = inRoom.add("member")
		id := string(inRoom.appendID([]byte("wm")))
		entries = append(entries, entry{pair{customer: id}, b.derive(inRoom)})
	}
	return entries, nil
}

// derive makes a status out of the hash of whom it is about.
func (b *book) derive(h hash) Status {
	if b.byRule.AgreeStatus != "" {
		return b.byRule
	}
	const (
		start2021 = 1_609_459_200
		fourYears = 4 * 365 * 24 * 3600
	)
	x := h.sum()
	status := Status{Agree, start2021 + int64(x>>16)%fourYears}
	if x%10 == 0 {
		status.AgreeStatus = Disagree
	}
	return status
}

func (k pairKey) compare(other pairKey) int {
	if c := strings.Compare(k.corp, other.corp); c != 0 {
		return c
	}
	if c := strings.Compare(k.staff, other.staff); c != 0 {
		return c
	}
	return strings.Compare(k.customer, other.customer)
}
