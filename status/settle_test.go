package status_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"consentd/schemas"
	"consentd/status"
)

var (
	before = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	now    = before.Add(time.Hour)
)

func agree(since int64) schemas.Consent    { return said(schemas.Agree, since) }
func disagree(since int64) schemas.Consent { return said("Disagree", since) }

func said(word string, since int64) schemas.Consent {
	return schemas.Consent{AgreeStatus: word, StatusChangeTime: since}
}

func member(id string, c schemas.Consent) schemas.Member {
	return schemas.Member{ExternalUserID: id, Consent: c}
}

// describe says a transition in a line: version, change, member, what was and what is.
func describe(t schemas.Transition) string {
	text := func(c *schemas.Consent) string {
		if c == nil {
			return "null"
		}
		return fmt.Sprintf("%s@%d", c.AgreeStatus, c.StatusChangeTime)
	}
	return fmt.Sprintf("%d %s %s: %s to %s", t.Version, t.Change, t.ExternalUserID, text(t.Previous), text(t.Current))
}

func describeAll(transitions []schemas.Transition) []string {
	texts := make([]string, 0, len(transitions))
	for _, t := range transitions {
		texts = append(texts, describe(t))
	}
	return texts
}

func TestSettle_PairChangesAsTheContractSays(t *testing.T) {
	t.Parallel()
	known := func(c schemas.Consent) *schemas.Consent { return &c }
	for _, tc := range []struct {
		name   string
		known  *schemas.Consent
		reply  schemas.Consent
		change schemas.Change // empty: none
		after  schemas.Consent
		stale  bool
	}{
		{name: "nothing was known, Agree", reply: agree(5), change: schemas.FirstSeen, after: agree(5)},
		{name: "nothing was known, Disagree", reply: disagree(5), change: schemas.FirstSeen, after: disagree(5)},
		{name: "nothing was known, time unknown", reply: agree(0), change: schemas.FirstSeen, after: agree(0)},
		{name: "nothing was known, unknown word", reply: said("同意", 5), change: schemas.FirstSeen, after: said("同意", 5)},

		{name: "the same again", known: known(agree(5)), reply: agree(5), after: agree(5)},
		{name: "the same refusal again", known: known(disagree(5)), reply: disagree(5), after: disagree(5)},
		{name: "the same without a time", known: known(agree(0)), reply: agree(0), after: agree(0)},
		{name: "the time is no longer told", known: known(agree(5)), reply: agree(0), after: agree(5)},
		{name: "a refusal's time is no longer told", known: known(disagree(5)), reply: disagree(0), after: disagree(5)},

		{name: "agrees", known: known(disagree(5)), reply: agree(6), change: schemas.Granted, after: agree(6)},
		{name: "agrees at the same time", known: known(disagree(5)), reply: agree(5), change: schemas.Granted, after: agree(5)},
		{name: "agrees at a time that is not told", known: known(disagree(5)), reply: agree(0), change: schemas.Granted, after: agree(0)},
		{name: "agrees after a time that was not told", known: known(disagree(0)), reply: agree(5), change: schemas.Granted, after: agree(5)},
		{name: "agrees after an unknown word", known: known(said("Default_Agree", 5)), reply: agree(6), change: schemas.Granted, after: agree(6)},

		{name: "withdraws", known: known(agree(5)), reply: disagree(6), change: schemas.Withdrawn, after: disagree(6)},
		{name: "withdraws at the same time", known: known(agree(5)), reply: disagree(5), change: schemas.Withdrawn, after: disagree(5)},
		{name: "withdraws with an earlier time", known: known(agree(5)), reply: disagree(4), change: schemas.Withdrawn, after: disagree(4)},
		{name: "withdraws at a time that is not told", known: known(agree(5)), reply: disagree(0), change: schemas.Withdrawn, after: disagree(0)},
		{name: "an unknown word withdraws", known: known(agree(5)), reply: said("Default_Agree", 6), change: schemas.Withdrawn, after: said("Default_Agree", 6)},
		{name: "another spelling of Agree withdraws", known: known(agree(5)), reply: said("agree", 5), change: schemas.Withdrawn, after: said("agree", 5)},

		{name: "updated by time", known: known(agree(5)), reply: agree(6), change: schemas.Updated, after: agree(6)},
		{name: "a refusal is updated by time", known: known(disagree(5)), reply: disagree(6), change: schemas.Updated, after: disagree(6)},
		{name: "a refusal is updated by an earlier time", known: known(disagree(5)), reply: disagree(4), change: schemas.Updated, after: disagree(4)},
		{name: "the time becomes known", known: known(agree(0)), reply: agree(5), change: schemas.Updated, after: agree(5)},
		{name: "updated by word", known: known(disagree(5)), reply: said("Default_Agree", 6), change: schemas.Updated, after: said("Default_Agree", 6)},
		{name: "updated by word with an earlier time", known: known(said("Default_Agree", 5)), reply: disagree(4), change: schemas.Updated, after: disagree(4)},

		{name: "a stale Agree after Agree", known: known(agree(5)), reply: agree(4), after: agree(5), stale: true},
		{name: "a stale Agree after a refusal", known: known(disagree(5)), reply: agree(4), after: disagree(5), stale: true},
		{name: "a stale Agree after an unknown word", known: known(said("Default_Agree", 5)), reply: agree(4), after: said("Default_Agree", 5), stale: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var known *schemas.Status
			version, checkedAt := int64(0), now
			if tc.known != nil {
				version = 3
				known = &schemas.Status{Answer: schemas.Answer{Consent: *tc.known, CheckedAt: before}, Version: version}
			}
			if tc.stale {
				checkedAt = before
			}
			want := status.Settlement{Stale: tc.stale}
			if tc.change != "" {
				version++
				want.Transitions = []schemas.Transition{
					{Change: tc.change, Previous: tc.known, Current: &tc.reply, Version: version},
				}
			}
			want.Status = schemas.Status{Answer: schemas.Answer{Consent: tc.after, CheckedAt: checkedAt}, Version: version}
			got := status.Settle(known, schemas.Single, schemas.Answer{Consent: tc.reply, CheckedAt: now})
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v %v\nwant %+v %v", got, describeAll(got.Transitions), want, describeAll(want.Transitions))
			}
		})
	}
}

func TestSettle_RoomChangesMemberByMemberInAscendingOrder(t *testing.T) {
	t.Parallel()
	type members = []schemas.Member
	for _, tc := range []struct {
		name    string
		first   bool // the room was not known
		known   members
		reply   members
		changes []string // known at version 3
		after   members
		stale   bool
	}{
		{
			name: "first check, in no order", first: true,
			reply:   members{member("c", agree(1)), member("a", disagree(2)), member("b", said("Default_Agree", 0))},
			changes: []string{"1 first_seen a: null to Disagree@2", "2 first_seen b: null to Default_Agree@0", "3 first_seen c: null to Agree@1"},
			after:   members{member("a", disagree(2)), member("b", said("Default_Agree", 0)), member("c", agree(1))},
		},
		{name: "first check finds nobody", first: true, after: members{}},
		{
			name:    "the first member of a room known as empty",
			known:   members{},
			reply:   members{member("a", agree(1))},
			changes: []string{"4 joined a: null to Agree@1"},
			after:   members{member("a", agree(1))},
		},
		{
			name:  "nothing changed",
			known: members{member("a", agree(1)), member("b", disagree(2))},
			reply: members{member("b", disagree(2)), member("a", agree(1))},
			after: members{member("a", agree(1)), member("b", disagree(2))},
		},
		{
			name:    "one joins between the others",
			known:   members{member("a", agree(1)), member("c", agree(1))},
			reply:   members{member("a", agree(1)), member("b", disagree(9)), member("c", agree(1))},
			changes: []string{"4 joined b: null to Disagree@9"},
			after:   members{member("a", agree(1)), member("b", disagree(9)), member("c", agree(1))},
		},
		{
			name:    "all leave",
			known:   members{member("a", agree(1)), member("b", disagree(2))},
			changes: []string{"4 left a: Agree@1 to null", "5 left b: Disagree@2 to null"},
			after:   members{},
		},
		{
			name:    "one who left comes back: what was before is gone",
			known:   members{member("b", agree(1))},
			reply:   members{member("a", agree(1)), member("b", agree(1))},
			changes: []string{"4 joined a: null to Agree@1"},
			after:   members{member("a", agree(1)), member("b", agree(1))},
		},
		{
			name: "all kinds at once",
			known: members{
				member("a", agree(5)), member("b", disagree(5)), member("d", agree(5)), member("e", agree(5)), member("f", disagree(5)),
			},
			reply: members{
				member("f", said("Default_Agree", 5)), member("e", agree(6)), member("d", disagree(4)), member("c", agree(0)), member("b", agree(6)),
			},
			changes: []string{
				"4 left a: Agree@5 to null",
				"5 granted b: Disagree@5 to Agree@6",
				"6 joined c: null to Agree@0",
				"7 withdrawn d: Agree@5 to Disagree@4",
				"8 updated e: Agree@5 to Agree@6",
				"9 updated f: Disagree@5 to Default_Agree@5",
			},
			after: members{
				member("b", agree(6)), member("c", agree(0)), member("d", disagree(4)), member("e", agree(6)), member("f", said("Default_Agree", 5)),
			},
		},
		{
			name:    "ids differ by case",
			known:   members{member("wm1", agree(1))},
			reply:   members{member("wm1", agree(1)), member("WM1", agree(1))},
			changes: []string{"4 joined WM1: null to Agree@1"},
			after:   members{member("WM1", agree(1)), member("wm1", agree(1))},
		},
		{
			name: "listed twice at the first check", first: true,
			reply:   members{member("a", disagree(2)), member("b", agree(1)), member("a", agree(3))},
			changes: []string{"1 first_seen a: null to Agree@3", "2 first_seen b: null to Agree@1"},
			after:   members{member("a", agree(3)), member("b", agree(1))},
		},
		{
			name:    "listed twice: the latest time counts, wherever it stands",
			known:   members{member("a", agree(2))},
			reply:   members{member("a", disagree(4)), member("a", agree(3)), member("a", agree(0))},
			changes: []string{"4 withdrawn a: Agree@2 to Disagree@4"},
			after:   members{member("a", disagree(4))},
		},
		{
			name:    "listed twice at the same time: what is no consent counts",
			known:   members{member("a", agree(2))},
			reply:   members{member("a", agree(3)), member("a", disagree(3))},
			changes: []string{"4 withdrawn a: Agree@2 to Disagree@3"},
			after:   members{member("a", disagree(3))},
		},
		{
			name:  "a time that is no longer told is not forgotten",
			known: members{member("a", agree(2)), member("b", agree(2))},
			reply: members{member("a", agree(0)), member("b", agree(2))},
			after: members{member("a", agree(2)), member("b", agree(2))},
		},
		{
			name:  "a stale member",
			known: members{member("a", disagree(5)), member("b", agree(2))},
			reply: members{member("a", agree(4)), member("b", agree(2))},
			after: members{member("a", disagree(5)), member("b", agree(2))},
			stale: true,
		},
		{
			name:    "a stale member beside one who changed",
			known:   members{member("a", disagree(5)), member("b", agree(2))},
			reply:   members{member("a", agree(4)), member("b", disagree(1)), member("c", agree(1))},
			changes: []string{"4 withdrawn b: Agree@2 to Disagree@1", "5 joined c: null to Agree@1"},
			after:   members{member("a", disagree(5)), member("b", disagree(1)), member("c", agree(1))},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			version, checkedAt := int64(len(tc.changes)), now
			var known *schemas.Status
			if !tc.first {
				version += 3
				known = &schemas.Status{Answer: schemas.Answer{Members: tc.known, CheckedAt: before}, Version: 3}
			}
			if tc.stale {
				checkedAt = before
			}
			got := status.Settle(known, schemas.Room, schemas.Answer{Members: tc.reply, CheckedAt: now})
			if changes := describeAll(got.Transitions); !slices.Equal(changes, tc.changes) {
				t.Errorf("changes\ngot  %q\nwant %q", changes, tc.changes)
			}
			want := schemas.Status{Answer: schemas.Answer{Members: tc.after, CheckedAt: checkedAt}, Version: version}
			if !reflect.DeepEqual(got.Status, want) || got.Stale != tc.stale {
				t.Errorf("got  %+v stale %v\nwant %+v stale %v", got.Status, got.Stale, want, tc.stale)
			}
		})
	}
}

func TestSettle_RoomThatLosesAndRegainsAMemberCountsOn(t *testing.T) {
	t.Parallel()
	var known *schemas.Status
	var got []string
	for _, reply := range [][]schemas.Member{
		nil,
		{member("a", agree(1))},
		nil,
		{member("a", agree(1))},
		{member("a", disagree(2))},
	} {
		s := status.Settle(known, schemas.Room, schemas.Answer{Members: reply, CheckedAt: now})
		got = append(got, describeAll(s.Transitions)...)
		known = &s.Status
	}
	want := []string{
		"1 joined a: null to Agree@1",
		"2 left a: Agree@1 to null",
		"3 joined a: null to Agree@1",
		"4 withdrawn a: Agree@1 to Disagree@2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
