package schemas_test

import (
	"encoding/json"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
)

var (
	genID   = rapid.StringMatching(`[A-Za-z0-9_.@-]{1,12}`)
	genWord = rapid.OneOf(rapid.SampledFrom([]string{"Agree", "Disagree", "Default_Agree", "agree"}), genText.Filter(func(s string) bool { return s != "" }))
	// genText has any bytes, as the API may send them.
	genText = rapid.OneOf(rapid.String(), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"))
	}))
	genTime = rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).UTC()
	})
	genConsent = rapid.Custom(func(t *rapid.T) schemas.Consent {
		return schemas.Consent{
			AgreeStatus:      genWord.Draw(t, "word"),
			StatusChangeTime: rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "since"),
		}
	})
	genMember = rapid.Custom(func(t *rapid.T) schemas.Member {
		return schemas.Member{
			ExternalUserID: rapid.OneOf(genID, rapid.StringN(1, 10, -1)).Draw(t, "member"),
			Consent:        genConsent.Draw(t, "consent"),
		}
	})
	genConversation = rapid.Custom(func(t *rapid.T) schemas.Conversation {
		c := schemas.Conversation{CorpID: genID.Draw(t, "corp"), Kind: rapid.SampledFrom([]schemas.Kind{schemas.Single, schemas.Room}).Draw(t, "kind")}
		if c.Kind == schemas.Room {
			c.ChatID = genID.Draw(t, "chatid")
		} else {
			c.OpenUserID, c.ExternalUserID = genID.Draw(t, "open_userid"), genID.Draw(t, "external_userid")
		}
		return c
	})
	genOrigin = rapid.Custom(func(t *rapid.T) schemas.Origin {
		return schemas.Origin{
			Topic:     rapid.StringMatching(`[a-zA-Z0-9._-]{1,249}`).Draw(t, "topic"),
			Partition: rapid.Int32Range(0, 1<<31-1).Draw(t, "partition"),
			Offset:    rapid.Int64Range(0, 1<<63-1).Draw(t, "offset"),
		}
	})
	genContext = rapid.Custom(func(t *rapid.T) string {
		var v any
		switch rapid.IntRange(0, 4).Draw(t, "context") {
		case 0:
			return ""
		case 1:
			v = genText.Draw(t, "string")
		case 2:
			v = rapid.SliceOfN(rapid.Float64(), 0, 5).Draw(t, "numbers")
		case 3:
			v = rapid.MapOfN(rapid.String(), rapid.Bool(), 0, 5).Draw(t, "object")
		case 4:
			return " {\n \"a\" : [ null , {\"b\":1e3} ] }"[1:]
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	})
	genEnvelope = rapid.Custom(func(t *rapid.T) schemas.Envelope {
		count := rapid.IntRange(1, schemas.MaxItems).Draw(t, "count")
		return schemas.Envelope{
			Request: schemas.RequestRef{
				ID:    rapid.OneOf(rapid.StringMatching(`[ -~]{1,128}`), rapid.Map(genOrigin, schemas.Origin.String)).Draw(t, "id"),
				Index: rapid.IntRange(0, count-1).Draw(t, "index"),
				Count: count,
			},
			Context: genContext.Draw(t, "context"),
		}
	})
)

// genAnswer is an answer about a conversation of the kind.
func genAnswer(kind schemas.Kind) *rapid.Generator[schemas.Answer] {
	return rapid.Custom(func(t *rapid.T) schemas.Answer {
		a := schemas.Answer{CheckedAt: genTime.Draw(t, "checked at")}
		if kind == schemas.Room {
			a.Members = rapid.SliceOfN(genMember, 0, 5).Draw(t, "members")
		} else {
			a.Consent = genConsent.Draw(t, "consent")
		}
		return a
	})
}

// genTransition is a change that the contract knows, of a conversation of the kind.
func genTransition(kind schemas.Kind) *rapid.Generator[schemas.Transition] {
	changes := []schemas.Change{schemas.FirstSeen, schemas.Granted, schemas.Withdrawn, schemas.Updated}
	if kind == schemas.Room {
		changes = append(changes, schemas.Joined, schemas.Left)
	}
	return rapid.Custom(func(t *rapid.T) schemas.Transition {
		previous, current := genConsent.Draw(t, "previous"), genConsent.Draw(t, "current")
		tr := schemas.Transition{
			Change:   rapid.SampledFrom(changes).Draw(t, "change"),
			Previous: &previous, Current: &current,
			Version: rapid.Int64Range(1, 1<<62).Draw(t, "version"),
		}
		if kind == schemas.Room {
			tr.ExternalUserID = genMember.Draw(t, "member").ExternalUserID
		}
		switch tr.Change {
		case schemas.FirstSeen, schemas.Joined:
			tr.Previous = nil
		case schemas.Left:
			tr.Current = nil
		case schemas.Granted:
			previous.AgreeStatus, current.AgreeStatus = "Disagree", schemas.Agree
		case schemas.Withdrawn:
			previous.AgreeStatus, current.AgreeStatus = schemas.Agree, "Default_Agree"
		}
		return tr
	})
}
