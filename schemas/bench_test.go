package schemas_test

import (
	"strings"
	"testing"
	"time"

	"consentd/schemas"
)

func BenchmarkDecodeRequest(b *testing.B) {
	const item = `{"open_userid":"XuJinSheng","external_userid":"wmeDKaCQAAGd9oGiQWxVsAKwV2HxNAAA"}`
	for _, bc := range []struct{ name, value string }{
		{"flat", `{"request_id":"r-1","corp_id":"ww1","kind":"single",` + item[1:]},
		{"100_items", `{"request_id":"r-1","corp_id":"ww1","kind":"single","items":[` + strings.Repeat(item+",", 99) + item + `]}`},
	} {
		b.Run(bc.name, func(b *testing.B) {
			key, value := []byte("ww1"), []byte(bc.value)
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := schemas.DecodeRequest(key, value, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendChecked(b *testing.B) {
	agreed := schemas.Consent{AgreeStatus: schemas.Agree, StatusChangeTime: 1562766651}
	env := schemas.Envelope{Request: schemas.RequestRef{ID: "r-1", Count: 1}, Context: `{"msgid":"77"}`}
	at := time.Date(2026, 11, 23, 1, 2, 3, 456_000_000, time.UTC)
	for _, bc := range []struct {
		name         string
		conversation schemas.Conversation
		answer       schemas.Answer
	}{
		{
			"pair",
			schemas.Conversation{CorpID: "ww1", Kind: schemas.Single, OpenUserID: "XuJinSheng", ExternalUserID: "wmeDKaCQAAGd9oGiQWxVsAKwV2HxNAAA"},
			schemas.Answer{Consent: agreed, CheckedAt: at},
		},
		{
			"room_of_10",
			schemas.Conversation{CorpID: "ww1", Kind: schemas.Room, ChatID: "wrjc7bDwAASxc8tZvBErFE02BtPWyAAA"},
			schemas.Answer{Members: make([]schemas.Member, 10), CheckedAt: at},
		},
	} {
		for i := range bc.answer.Members {
			bc.answer.Members[i] = schemas.Member{ExternalUserID: "wmeDKaCQAAGd9oGiQWxVsAKwV2HxNAAA", Consent: agreed}
		}
		b.Run(bc.name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = schemas.AppendChecked(dst[:0], bc.conversation, &bc.answer, schemas.SourceAPI, &env)
			}
		})
	}
}
