package schemas_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
)

func TestStatus_IsValidBySchemaAndDecodesToItself(t *testing.T) {
	t.Parallel()
	sch := loadSchema(t, "status")
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]schemas.Kind{schemas.Single, schemas.Room}).Draw(t, "kind")
		s := schemas.Status{Answer: genAnswer(kind).Draw(t, "answer"), Version: rapid.Int64Range(1, 1<<62).Draw(t, "version")}
		if kind == schemas.Room && len(s.Members) == 0 {
			s.Version = rapid.Int64Range(0, 1<<62).Draw(t, "version of an empty room")
		}
		text := schemas.AppendStatus(nil, kind, &s)
		if err := sch.validate(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := schemas.DecodeStatus(kind, text)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != s.Version || !got.CheckedAt.Equal(s.CheckedAt) || got.Consent != *readableConsent(&s.Consent) ||
			!slices.Equal(got.Members, readableMembers(s.Members)) {
			t.Fatalf("%s\n got %+v\nwant %+v", text, got, s)
		}
	})
}

func TestDecodeStatus_SaysWhatARecordIsNot(t *testing.T) {
	t.Parallel()
	const at = `"checked_at":"2026-11-23T01:02:03.456Z"`
	for _, tc := range []struct {
		name, value string
		kind        schemas.Kind
	}{
		{"no JSON", ``, schemas.Single},
		{"null", `null`, schemas.Single},
		{"no object", `[]`, schemas.Single},
		{"bytes after the value", `{"agree_status":"Agree",` + at + `,"version":1} x`, schemas.Single},
		{"a duplicate key", `{"agree_status":"Agree","agree_status":"Disagree",` + at + `,"version":1}`, schemas.Single},
		{"invalid UTF-8", "{\"agree_status\":\"\xff\"," + at + `,"version":1}`, schemas.Single},
		{"no time", `{"agree_status":"Agree","version":1}`, schemas.Single},
		{"no RFC 3339", `{"agree_status":"Agree","checked_at":"yesterday","version":1}`, schemas.Single},
		{"a version below 0", `{"agree_status":"Agree",` + at + `,"version":-1}`, schemas.Single},
		{"a fraction", `{"agree_status":"Agree",` + at + `,"version":1.5}`, schemas.Single},
		{"a pair without a word", `{` + at + `,"version":1}`, schemas.Single},
		{"a pair with an empty word", `{"agree_status":"",` + at + `,"version":1}`, schemas.Single},
		{"a room under a pair's key", `{"members":[],` + at + `,"version":1}`, schemas.Single},
		{"a pair under a room's key", `{"agree_status":"Agree",` + at + `,"version":1}`, schemas.Room},
		{"both", `{"agree_status":"Agree","members":[],` + at + `,"version":1}`, schemas.Room},
		{"members null", `{"members":null,` + at + `,"version":1}`, schemas.Room},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if s, err := schemas.DecodeStatus(tc.kind, []byte(tc.value)); err == nil {
				t.Errorf("no error: %+v", s)
			}
		})
	}
}

func TestDecodeStatus_IgnoresFieldsOfANewerProgram(t *testing.T) {
	t.Parallel()
	s, err := schemas.DecodeStatus(schemas.Single, []byte(
		`{"agree_status":"Agree","surprise":{"a":1},"checked_at":"2026-11-23T01:02:03Z","version":4}`))
	want := schemas.Status{
		Answer:  schemas.Answer{Consent: schemas.Consent{AgreeStatus: "Agree"}, CheckedAt: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)},
		Version: 4,
	}
	if err != nil || s.Consent != want.Consent || !s.CheckedAt.Equal(want.CheckedAt) || s.Version != want.Version {
		t.Errorf("%+v %v", s, err)
	}
}
