package status_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
	"consentd/status"
)

// The generators draw from few values, so that replies meet.
var (
	genKind    = rapid.SampledFrom([]schemas.Kind{schemas.Single, schemas.Room})
	genConsent = rapid.Custom(func(t *rapid.T) schemas.Consent {
		return schemas.Consent{
			AgreeStatus:      rapid.SampledFrom([]string{"Agree", "Disagree", "Default_Agree", "agree", "同意"}).Draw(t, "word"),
			StatusChangeTime: rapid.Int64Range(0, 3).Draw(t, "since"),
		}
	})
	genMember = rapid.Custom(func(t *rapid.T) schemas.Member {
		return schemas.Member{ExternalUserID: rapid.SampledFrom([]string{"a", "B", "b", "c"}).Draw(t, "member"), Consent: genConsent.Draw(t, "consent")}
	})
)

func genReply(kind schemas.Kind) *rapid.Generator[schemas.Answer] {
	return rapid.Custom(func(t *rapid.T) schemas.Answer {
		a := schemas.Answer{CheckedAt: before.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "ms")) * time.Millisecond)}
		if kind == schemas.Room {
			a.Members = rapid.SliceOfN(genMember, 0, 6).Draw(t, "members")
		} else {
			a.Consent = genConsent.Draw(t, "consent")
		}
		return a
	})
}

// checkHistories settles replies one after the other and hands each step to check.
func checkHistories(t *testing.T, check func(t *rapid.T, kind schemas.Kind, known *schemas.Status, reply schemas.Answer, s status.Settlement)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		kind := genKind.Draw(t, "kind")
		var known *schemas.Status
		for _, reply := range rapid.SliceOfN(genReply(kind), 1, 8).Draw(t, "replies") {
			s := status.Settle(known, kind, reply)
			check(t, kind, known, reply, s)
			known = &s.Status
		}
	})
}

func TestSettle_VersionsAreContiguous(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, _ schemas.Kind, known *schemas.Status, _ schemas.Answer, s status.Settlement) {
		var version int64
		if known != nil {
			version = known.Version
		}
		for _, tr := range s.Transitions {
			if version++; tr.Version != version {
				t.Fatalf("version %d, want %d: %q", tr.Version, version, describeAll(s.Transitions))
			}
		}
		if s.Status.Version != version {
			t.Fatalf("status has version %d, want %d", s.Status.Version, version)
		}
	})
}

func TestSettle_TransitionsReplayedFromNothingGiveTheStatus(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind := genKind.Draw(t, "kind")
		var known *schemas.Status
		view := map[string]schemas.Consent{} // by member; a pair's is named ""
		for _, reply := range rapid.SliceOfN(genReply(kind), 1, 8).Draw(t, "replies") {
			s := status.Settle(known, kind, reply)
			for _, tr := range s.Transitions {
				was, had := view[tr.ExternalUserID]
				if had != (tr.Previous != nil) || had && was != *tr.Previous {
					t.Fatalf("%s: but before it was %v", describe(tr), was)
				}
				if tr.Current == nil {
					delete(view, tr.ExternalUserID)
				} else {
					view[tr.ExternalUserID] = *tr.Current
				}
			}
			want := schemas.Status{Answer: schemas.Answer{CheckedAt: s.Status.CheckedAt}, Version: s.Status.Version}
			if kind == schemas.Room {
				want.Members = []schemas.Member{}
				for _, id := range slices.Sorted(maps.Keys(view)) {
					want.Members = append(want.Members, member(id, view[id]))
				}
			} else {
				want.Consent = view[""]
			}
			if !reflect.DeepEqual(s.Status, want) {
				t.Fatalf("status   %+v\nreplayed %+v", s.Status, want)
			}
			known = &s.Status
		}
	})
}

func TestSettle_TheSameReplyAgainChangesNothing(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, kind schemas.Kind, _ *schemas.Status, reply schemas.Answer, s status.Settlement) {
		again := status.Settle(&s.Status, kind, reply)
		if len(again.Transitions) > 0 || !reflect.DeepEqual(again.Status.Members, s.Status.Members) ||
			again.Status.Consent != s.Status.Consent || again.Status.Version != s.Status.Version {
			t.Fatalf("first  %+v\nsecond %+v %q", s.Status, again.Status, describeAll(again.Transitions))
		}
	})
}

func TestSettle_OnlyAReplyThatSaysAgreeIsEverStale(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, _ schemas.Kind, known *schemas.Status, reply schemas.Answer, s status.Settlement) {
		if !s.Stale {
			if s.Status.CheckedAt != reply.CheckedAt {
				t.Fatalf("the status is of %v, the reply of %v", s.Status.CheckedAt, reply.CheckedAt)
			}
			return
		}
		saysAgree := reply.AgreeStatus == schemas.Agree ||
			slices.ContainsFunc(reply.Members, func(m schemas.Member) bool { return m.AgreeStatus == schemas.Agree })
		if !saysAgree || len(s.Transitions) > 0 || known == nil || !reflect.DeepEqual(s.Status, *known) {
			t.Fatalf("stale: known %+v, settled as %+v", known, s)
		}
	})
}

func TestSettle_NoWithdrawalIsSwallowed(t *testing.T) {
	t.Parallel()
	consents := func(s *schemas.Status) map[string]schemas.Consent {
		m := map[string]schemas.Consent{}
		if s != nil && s.AgreeStatus != "" {
			m[""] = s.Consent
		} else if s != nil {
			for _, e := range s.Members {
				m[e.ExternalUserID] = e.Consent
			}
		}
		return m
	}
	checkHistories(t, func(t *rapid.T, _ schemas.Kind, known *schemas.Status, reply schemas.Answer, s status.Settlement) {
		said := map[string][]schemas.Consent{}
		if reply.AgreeStatus != "" {
			said[""] = []schemas.Consent{reply.Consent}
		}
		for _, m := range reply.Members {
			said[m.ExternalUserID] = append(said[m.ExternalUserID], m.Consent)
		}
		for id, was := range consents(known) {
			refused := len(said[id]) > 0 && !slices.ContainsFunc(said[id], func(c schemas.Consent) bool { return c.AgreeStatus == schemas.Agree })
			withdrawn := slices.ContainsFunc(s.Transitions, func(tr schemas.Transition) bool {
				return tr.ExternalUserID == id && tr.Change == schemas.Withdrawn
			})
			if was.AgreeStatus == schemas.Agree && refused && !withdrawn {
				t.Fatalf("%q said %v, then %v: got %q", id, was, said[id], describeAll(s.Transitions))
			}
		}
	})
}

func TestSettle_AMemberChangesAsAPairDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		was, reply := genConsent.Draw(t, "was"), genConsent.Draw(t, "reply")
		pair := status.Settle(&schemas.Status{Answer: schemas.Answer{Consent: was, CheckedAt: before}, Version: 3},
			schemas.Single, schemas.Answer{Consent: reply, CheckedAt: now})
		room := status.Settle(&schemas.Status{Answer: schemas.Answer{Members: []schemas.Member{member("", was)}, CheckedAt: before}, Version: 3},
			schemas.Room, schemas.Answer{Members: []schemas.Member{member("", reply)}, CheckedAt: now})
		if !reflect.DeepEqual(room.Transitions, pair.Transitions) || room.Stale != pair.Stale ||
			room.Status.Members[0].Consent != pair.Status.Consent || room.Status.CheckedAt != pair.Status.CheckedAt {
			t.Fatalf("pair %+v %q\nroom %+v %q", pair, describeAll(pair.Transitions), room, describeAll(room.Transitions))
		}
	})
}

func TestSettle_RoomsChangesAreInAscendingOrderOfTheMember(t *testing.T) {
	t.Parallel()
	checkHistories(t, func(t *rapid.T, _ schemas.Kind, _ *schemas.Status, _ schemas.Answer, s status.Settlement) {
		for i := 1; i < len(s.Transitions); i++ {
			if s.Transitions[i-1].ExternalUserID >= s.Transitions[i].ExternalUserID {
				t.Fatalf("%q", describeAll(s.Transitions))
			}
		}
	})
}

func TestSettle_LeavesItsInputAndWhatItReturnedAlone(t *testing.T) {
	t.Parallel()
	clone := func(a schemas.Answer) schemas.Answer {
		a.Members = slices.Clone(a.Members)
		return a
	}
	checkHistories(t, func(t *rapid.T, kind schemas.Kind, _ *schemas.Status, reply schemas.Answer, s status.Settlement) {
		next := genReply(kind).Draw(t, "next")
		knownBefore, replyBefore, nextBefore := clone(s.Status.Answer), clone(reply), clone(next)
		after := status.Settle(&s.Status, kind, next)
		for i := range after.Transitions { // who holds a transition may write to it
			if c := after.Transitions[i].Current; c != nil {
				c.AgreeStatus = "scribble"
			}
			if c := after.Transitions[i].Previous; c != nil {
				c.AgreeStatus = "scribble"
			}
		}
		if !reflect.DeepEqual(s.Status.Answer, knownBefore) || !reflect.DeepEqual(reply, replyBefore) || !reflect.DeepEqual(next, nextBefore) {
			t.Fatal("Settle changed what it was given")
		}
		for _, m := range append(after.Status.Members, schemas.Member{Consent: after.Status.Consent}) {
			if m.AgreeStatus == "scribble" {
				t.Fatal("a transition shares memory with the status")
			}
		}
	})
}
