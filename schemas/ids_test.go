package schemas_test

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"consentd/schemas"
)

func TestKey_ParsesBackToItsConversation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := genConversation.Draw(t, "conversation")
		got, err := schemas.ParseKey(c.Key())
		if err != nil || got != c {
			t.Fatalf("%s: %+v %v", c.Key(), got, err)
		}
		if string(c.AppendKey([]byte("x"))) != "x"+c.Key() {
			t.Fatal("AppendKey and Key differ")
		}
	})
}

func TestKey_IsAsTheContractSays(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]schemas.Conversation{
		"ww1/single/XuJinSheng/wm1": {CorpID: "ww1", Kind: schemas.Single, OpenUserID: "XuJinSheng", ExternalUserID: "wm1"},
		"ww1/room/wr1":              {CorpID: "ww1", Kind: schemas.Room, ChatID: "wr1"},
	} {
		if got := c.Key(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestParseKey_RefusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"", "/", "ww1", "ww1/single", "ww1/single/a", "ww1/single/a/", "ww1/single//wm1", "/single/a/wm1", "ww1/single/a/wm1/", "ww1/single/a/wm1/x",
		"ww1/room", "ww1/room/", "ww1/room/wr1/", "ww1/room/wr1/x", "/room/wr1", "ww1/Room/wr1", "ww1/chat/wr1", "ww1//wr1", "ww 1/room/wr1", "ww1/room/é",
	} {
		if c, err := schemas.ParseKey(key); err == nil {
			t.Errorf("%q: %+v", key, c)
		}
	}
}

func TestHashKey_TellsConversationsApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := genConversation.Draw(t, "a").AppendKey(nil), genConversation.Draw(t, "b").AppendKey(nil)
		if (schemas.HashKey(a) == schemas.HashKey(b)) != bytes.Equal(a, b) {
			t.Fatalf("%s %s", a, b)
		}
	})
}

// answerCause and changeCause are all that an event's id follows from.
type answerCause struct {
	Origin schemas.Origin
	Index  int
}

type changeCause struct {
	Key        string
	Transition schemas.Transition
	Cause      answerCause
}

var genAnswerCause = rapid.Custom(func(t *rapid.T) answerCause {
	return answerCause{genOrigin.Draw(t, "origin"), rapid.IntRange(0, schemas.MaxItems-1).Draw(t, "index")}
})

func (c answerCause) id() string { return string(schemas.AppendAnswerID(nil, c.Origin, c.Index)) }

func (c changeCause) id() string {
	return string(schemas.AppendChangeID(nil, []byte(c.Key), &c.Transition, c.Cause.Origin, c.Cause.Index))
}

func TestAnswerID_IsTheOriginAndIndexAndNothingElse(t *testing.T) {
	t.Parallel()
	if id := (answerCause{schemas.Origin{Topic: "consent.requests", Partition: 3, Offset: 42}, 7}).id(); id != "consent.requests/3/42/7" {
		t.Error(id)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := genAnswerCause.Draw(t, "a"), genAnswerCause.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") {
			b = a
			switch rapid.IntRange(0, 4).Draw(t, "what differs") {
			case 0:
				b.Origin.Topic += "1"
			case 1:
				b.Origin.Partition ^= 1
			case 2:
				b.Origin.Offset ^= 1
			case 3:
				b.Index ^= 1
			}
		}
		if (a.id() == b.id()) != (a == b) {
			t.Fatalf("%s %s", a.id(), b.id())
		}
	})
}

func TestChangeID_IsTheSameForTheSameChangeAndAnotherForAnyOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := genConversation.Draw(t, "conversation")
		a := changeCause{c.Key(), genTransition(c.Kind).Draw(t, "transition"), genAnswerCause.Draw(t, "cause")}
		b := a
		if a.Transition.Current != nil {
			current := *a.Transition.Current
			b.Transition.Current = &current
		}
		switch rapid.IntRange(0, 8).Draw(t, "what differs") {
		case 0:
			b.Key += "1"
		case 1:
			b.Transition.ExternalUserID += "1"
		case 2:
			b.Transition.Version++
		case 3:
			b.Cause.Index ^= 1
		case 4:
			b.Cause.Origin.Offset ^= 1
		case 5:
			b.Cause.Origin.Topic += "1"
		case 6:
			if b.Transition.Current != nil {
				b.Transition.Current.AgreeStatus += "1"
			}
		case 7:
			if b.Transition.Current != nil {
				b.Transition.Current.StatusChangeTime ^= 1
			}
		}
		if (a.id() == b.id()) != reflect.DeepEqual(a, b) {
			t.Fatalf("%+v %+v", a, b)
		}
	})
}

func TestChangeID_DoesNotDependOnWhatWasKnownBefore(t *testing.T) {
	t.Parallel()
	current := schemas.Consent{AgreeStatus: "Disagree"}
	a := changeCause{Key: "ww1/room/wr1", Transition: schemas.Transition{Change: schemas.Withdrawn, Current: &current, Previous: &schemas.Consent{AgreeStatus: "Agree"}, Version: 2}}
	b := a
	b.Transition.Previous, b.Transition.Change = nil, schemas.FirstSeen
	if a.id() != b.id() {
		t.Error("two ids")
	}
	if id := a.id(); len(id) != 32 {
		t.Errorf("%s has %d characters", id, len(id))
	}
}
