package wechattest

import (
	"strings"
	"testing"
	"time"
)

func TestStatus_OfPairsThatWereNotSetFollowsFromTheirIDs(t *testing.T) {
	t.Parallel()
	one, same, other := setup(t, Options{}), setup(t, Options{}), setup(t, Options{Seed: 1})
	agree := 0
	differs := false
	for i := range 20 {
		asked := pairs(2000)[i*100 : i*100+100]
		a := one.single(asked...)
		if a.body != same.single(asked...).body {
			t.Fatal("another simulator with the same seed answers otherwise")
		}
		differs = differs || a.body != other.single(asked...).body
		for j, e := range a.AgreeInfo {
			if e.OpenUserID != asked[j].staff || e.ExternalUserID != asked[j].customer {
				t.Fatalf("entry %d is of %s and %s, want %v", j, e.OpenUserID, e.ExternalUserID, asked[j])
			}
			if e.AgreeStatus == Agree {
				agree++
			} else if e.AgreeStatus != Disagree {
				t.Fatalf("word %q", e.AgreeStatus)
			}
			if at := time.Unix(e.StatusChangeTime, 0).UTC(); at.Year() < 2021 || at.Year() > 2024 {
				t.Fatalf("change time %s", at)
			}
		}
	}
	if agree < 1700 || agree > 1900 {
		t.Errorf("%d of 2000 agree, want nine in ten", agree)
	}
	if !differs {
		t.Error("another seed answers the same")
	}
}

func TestStatus_OfRoomsThatWereNotSetFollowsFromTheirIDs(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	sizes := make(map[int]bool)
	for i := range 60 {
		chat := "wr" + strings.Repeat("x", i)
		a := w.room(chat)
		if a.body != w.room(chat).body {
			t.Fatal("the same room answers otherwise the second time")
		}
		members := make(map[string]bool)
		for _, e := range a.AgreeInfo {
			members[e.ExternalUserID] = true
			if !validID(e.ExternalUserID) || !strings.HasPrefix(e.ExternalUserID, "wm") {
				t.Fatalf("member %q", e.ExternalUserID)
			}
		}
		if len(members) != len(a.AgreeInfo) {
			t.Fatalf("a member stands twice: %s", a.body)
		}
		sizes[len(members)] = true
	}
	if len(sizes) != 5 || sizes[0] || sizes[6] {
		t.Errorf("rooms of %v members, want 1 to 5", sizes)
	}
}

func TestStatus_OfOneCorpIsNotThatOfAnother(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.SetSingle("ww2", "a", "wm1", Status{"Other", 1})
	w.sim.SetRoom("ww2", "wr1", nil)
	if got := w.single(pair{"a", "wm1"}).words(); strings.Contains(got, "Other") {
		t.Errorf("got %s of another corp", got)
	}
	if got := w.room("wr1").words(); got == "" {
		t.Error("got the members of another corp's room")
	}
}

func TestStatus_CanBeOneForAllThatWereNotSet(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{DefaultStatus: Status{"Default_Agree", 7}})
	for _, e := range append(w.single(pairs(100)...).AgreeInfo, w.room("wr1").AgreeInfo...) {
		if e.AgreeStatus != "Default_Agree" || e.StatusChangeTime != 7 {
			t.Fatalf("entry %+v, want the default", e)
		}
	}
}

func TestStatus_UnknownIDsAreRefusedOrOmittedOnDemand(t *testing.T) {
	t.Parallel()
	known, unknown := pair{"a", "wm1"}, pair{"a", "wm2"}
	for _, c := range []struct {
		name    string
		unknown UnknownIDs
		errcode int
		words   string
	}{
		{"refused", UnknownRefused, 301061, ""},
		{"omitted", UnknownOmitted, 0, "a/wm1=Agree"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, Options{UnknownIDs: c.unknown, Remember: true})
			w.sim.SetSingle(corpID, "a", "wm1", Status{Agree, 1})
			w.sim.SetRoom(corpID, "wr1", []Member{{"wm1", Status{Agree, 1}}})
			a := w.single(known, unknown)
			a.want(t, c.errcode)
			if got := a.words(); got != c.words {
				t.Errorf("got %q, want %q", got, c.words)
			}
			w.room("wr2").want(t, 86001)
			w.room("wr1").want(t, 0)
			w.single(known).want(t, 0)
			if flips := w.sim.Flip(1, 1); len(flips) != 1 {
				t.Errorf("%d pairs are known, want only the one that was set", len(flips))
			}
		})
	}
}

func TestStatus_RoomWithoutCustomersIsAnEmptyList(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.SetRoom(corpID, "wr1", nil)
	if got, want := w.room("wr1").body, `{"errcode":0,"errmsg":"ok","agreeinfo":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
