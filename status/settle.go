package status

import (
	"slices"
	"strings"

	"consentd/schemas"
)

// Settlement is what follows from a reply of the API, given what was known.
type Settlement struct {
	// Status is what is known now: the reply, or what was known when the reply is stale.
	Status schemas.Status
	// Transitions are the changes, in the order of their versions; empty when nothing changed.
	Transitions []schemas.Transition
	// Stale: the reply is older than what is known and was put aside.
	Stale bool
}

// Settle compares a reply with what is known of the conversation; known is nil when nothing is. A reply is stale only
// when it says Agree with an earlier time than the known one: whatever else it says counts, so that a withdrawal is never
// swallowed.
func Settle(known *schemas.Status, kind schemas.Kind, reply schemas.Answer) Settlement {
	if kind == schemas.Room {
		return settleRoom(known, reply)
	}
	if known == nil {
		current := reply.Consent
		return Settlement{
			Status: schemas.Status{Answer: reply, Version: 1},
			Transitions: []schemas.Transition{
				{Change: schemas.FirstSeen, Current: &current, Version: 1},
			},
		}
	}
	if stale(known.Consent, reply.Consent) {
		return Settlement{Status: *known, Stale: true}
	}
	s := Settlement{Status: schemas.Status{Answer: reply, Version: known.Version}}
	s.Status.Consent = s.compare("", known.Consent, reply.Consent)
	return s
}

// transition adds a change with the next version.
func (s *Settlement) transition(member string, change schemas.Change, previous, current *schemas.Consent) {
	s.Status.Version++
	t := schemas.Transition{ExternalUserID: member, Change: change, Version: s.Status.Version}
	if previous != nil {
		p := *previous
		t.Previous = &p
	}
	if current != nil {
		c := *current
		t.Current = &c
	}
	s.Transitions = append(s.Transitions, t)
}

func stale(known, reply schemas.Consent) bool {
	return reply.AgreeStatus == schemas.Agree &&
		known.StatusChangeTime != 0 && reply.StatusChangeTime != 0 && reply.StatusChangeTime < known.StatusChangeTime
}

// compare adds the change from known to reply, if it is one, and returns what is known afterwards: a time that the API no
// longer tells is not forgotten while the word stays.
func (s *Settlement) compare(member string, known, reply schemas.Consent) schemas.Consent {
	change := schemas.Updated
	switch {
	case known.AgreeStatus == reply.AgreeStatus:
		if reply.StatusChangeTime == 0 || reply.StatusChangeTime == known.StatusChangeTime {
			return known
		}
	case reply.AgreeStatus == schemas.Agree:
		change = schemas.Granted
	case known.AgreeStatus == schemas.Agree:
		change = schemas.Withdrawn
	}
	s.transition(member, change, &known, &reply)
	return reply
}

// settleRoom goes through known and present members side by side, both in ascending order. A member's stale reply is put
// aside as a pair's is.
func settleRoom(known *schemas.Status, reply schemas.Answer) Settlement {
	members := sortMembers(reply.Members)
	s := Settlement{Status: schemas.Status{Answer: schemas.Answer{CheckedAt: reply.CheckedAt}}}
	first := known == nil
	var before []schemas.Member
	if !first {
		before = known.Members
		s.Status.Version = known.Version
	}
	s.Status.Members = make([]schemas.Member, 0, len(members))
	anyStale := false
	for len(before) > 0 || len(members) > 0 {
		switch {
		case len(members) == 0 || len(before) > 0 && before[0].ExternalUserID < members[0].ExternalUserID:
			s.transition(before[0].ExternalUserID, schemas.Left, &before[0].Consent, nil)
			before = before[1:]
		case len(before) == 0 || members[0].ExternalUserID < before[0].ExternalUserID:
			change := schemas.Joined
			if first {
				change = schemas.FirstSeen
			}
			s.transition(members[0].ExternalUserID, change, nil, &members[0].Consent)
			s.Status.Members = append(s.Status.Members, members[0])
			members = members[1:]
		default:
			now := members[0]
			if stale(before[0].Consent, now.Consent) {
				now.Consent = before[0].Consent
				anyStale = true
			} else {
				now.Consent = s.compare(now.ExternalUserID, before[0].Consent, now.Consent)
			}
			s.Status.Members = append(s.Status.Members, now)
			before, members = before[1:], members[1:]
		}
	}
	if anyStale && len(s.Transitions) == 0 {
		return Settlement{Status: *known, Stale: true}
	}
	return s
}

// sortMembers returns the members in ascending order, each once.
func sortMembers(members []schemas.Member) []schemas.Member {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, func(a, b schemas.Member) int {
		switch c := strings.Compare(a.ExternalUserID, b.ExternalUserID); {
		case c != 0:
			return c
		case a.Supersedes(b.Consent):
			return -1
		case b.Supersedes(a.Consent):
			return 1
		}
		return 0
	})
	return slices.CompactFunc(sorted, func(a, b schemas.Member) bool { return a.ExternalUserID == b.ExternalUserID })
}
