package schemas_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
)

func TestDecodeTrail_ReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := schemas.Trail{
			Failure:        schemas.Failure{Attempts: rapid.IntRange(0, 1<<30).Draw(t, "attempts")},
			Origin:         genOrigin.Draw(t, "origin"),
			FirstAttemptAt: genTime.Draw(t, "first attempt").Truncate(time.Millisecond).Local(),
			NotBefore:      genTime.Draw(t, "not before").Truncate(time.Millisecond).Local(),
			Key:            rapid.SliceOf(rapid.Byte()).Draw(t, "key"),
			HasKey:         true,
			Command:        rapid.SampledFrom([]string{"", schemas.CommandForget}).Draw(t, "command"),
		}
		if rapid.Bool().Draw(t, "without a key") {
			want.Key = nil
		}
		older := []schemas.Header{{Key: schemas.HeaderOrigin, Value: []byte("nonsense")}, {Key: schemas.HeaderKey, Value: []byte("older")}}
		got, err := schemas.DecodeTrail(want.AppendHeaders(nil, older))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestDecodeTrail_NamesWhatItCantReadAndLeavesItZero(t *testing.T) {
	t.Parallel()
	for _, bad := range []schemas.Header{
		{Key: schemas.HeaderOrigin, Value: []byte("consent.requests/1")},
		{Key: schemas.HeaderOrigin, Value: []byte("/1/2")},
		{Key: schemas.HeaderOrigin, Value: []byte("t/-1/2")},
		{Key: schemas.HeaderOrigin, Value: []byte("t/1/02")},
		{Key: schemas.HeaderAttempt, Value: []byte("many")},
		{Key: schemas.HeaderFirstAttemptAt, Value: []byte{}},
		{Key: schemas.HeaderNotBefore, Value: []byte("tomorrow")},
	} {
		got, err := schemas.DecodeTrail([]schemas.Header{bad})
		if err == nil || !reflect.DeepEqual(got, schemas.Trail{}) {
			t.Errorf("%s=%q: got %+v, error %v", bad.Key, bad.Value, got, err)
		}
	}
	if got, err := schemas.DecodeTrail(nil); err != nil || !reflect.DeepEqual(got, schemas.Trail{}) {
		t.Errorf("no headers: got %+v, %v", got, err)
	}
}
