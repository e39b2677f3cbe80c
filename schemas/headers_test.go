package schemas_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"consentd/schemas"
)

func headerTexts(headers []schemas.Header) []string {
	texts := make([]string, len(headers))
	for i, h := range headers {
		texts[i] = h.Key + "=" + string(h.Value)
	}
	return texts
}

func TestTrail_HeadersTellWhatHappenedAndKeepTheOriginals(t *testing.T) {
	t.Parallel()
	d := schemas.Trail{
		Failure:        schemas.Failure{Class: schemas.NotFound, Errcode: 301061, Message: "no such user", Attempts: 2},
		Origin:         schemas.Origin{Topic: "consent.requests", Partition: 3, Offset: 42},
		FirstAttemptAt: time.UnixMilli(1795395723456),
		RequestID:      "r-1",
		Indexes:        []int{3, 17},
		Count:          20,
		Truncated:      2000000,
	}
	original := []schemas.Header{
		{Key: "traceparent", Value: []byte("00-1")},
		{Key: "consentd-attempt", Value: []byte("9")},
		{Key: "note", Value: nil},
		{Key: "consentd-replay-count", Value: []byte("2")},
		{Key: "consentd-not-before", Value: []byte("1")},
		{Key: "note", Value: []byte("twice")},
	}
	got := headerTexts(d.AppendHeaders([]schemas.Header{{Key: "first", Value: []byte("1")}}, original))
	want := []string{
		"first=1", "traceparent=00-1", "note=", "consentd-replay-count=2", "note=twice",
		"consentd-error-class=not_found", "consentd-error=no such user", "consentd-errcode=301061", "consentd-attempt=2",
		"consentd-first-attempt-at=1795395723456", "consentd-origin=consent.requests/3/42", "consentd-request-id=r-1",
		"consentd-item-indexes=3,17", "consentd-item-count=20", "consentd-truncated=2000000",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTrail_LeavesOutWhatDoesNotApply(t *testing.T) {
	t.Parallel()
	d := schemas.Trail{Failure: schemas.Failure{Class: schemas.InvalidRequest, Message: "no JSON"}, FirstAttemptAt: time.UnixMilli(1)}
	got := headerTexts(d.AppendHeaders(nil, nil))
	want := []string{
		"consentd-error-class=invalid_request", "consentd-error=no JSON", "consentd-attempt=0", "consentd-first-attempt-at=1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTrail_CutsALongErrorBetweenCharacters(t *testing.T) {
	t.Parallel()
	d := schemas.Trail{Failure: schemas.Failure{Class: schemas.Rejected, Message: "x" + strings.Repeat("徐", 1000)}}
	text, _ := schemas.LastHeader(d.AppendHeaders(nil, nil), schemas.HeaderError)
	if len(text) > 1024 || len(text) < 1020 || !utf8.Valid(text) {
		t.Errorf("%d bytes, valid UTF-8: %v", len(text), utf8.Valid(text))
	}
}

func TestTrail_ReplayedIsTheSameItemsOfTheSameRequest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(2, schemas.MaxItems).Draw(t, "count")
		indexes := rapid.SliceOfNDistinct(rapid.IntRange(0, count-1), 1, min(count, 20), rapid.ID[int]).Draw(t, "indexes")
		slices.Sort(indexes)
		d := schemas.Trail{
			Failure:        schemas.Failure{Class: rapid.SampledFrom(schemas.Classes()).Draw(t, "class"), Message: genText.Draw(t, "message")},
			Origin:         genOrigin.Draw(t, "origin"),
			FirstAttemptAt: genTime.Draw(t, "first attempt"),
			Indexes:        indexes,
			Count:          count,
		}
		// The id of a request that has none is its origin, however long the topic's name.
		d.RequestID = rapid.OneOf(rapid.StringMatching(`[ -~]{1,128}`), rapid.Just(d.Origin.String())).Draw(t, "request id")
		value := `{"corp_id":"ww1","kind":"single","items":[` +
			strings.Repeat(`{"open_userid":"a","external_userid":"wm1"},`, len(indexes)-1) + `{"open_userid":"a","external_userid":"wm1"}]}`
		original := append(indexHeaders([]int{0}, 7), schemas.Header{Key: schemas.HeaderRequestID, Value: []byte("older")})

		req, err := schemas.DecodeRequest(nil, []byte(value), d.AppendHeaders(nil, original))
		if err != nil {
			t.Fatal(err)
		}
		if req.ID != d.RequestID || req.IDInValue || req.Count != count || len(req.Items) != len(indexes) {
			t.Fatalf("%+v", req)
		}
		for i, it := range req.Items {
			if it.Index != indexes[i] {
				t.Fatalf("item %d has index %d, want %d", i, it.Index, indexes[i])
			}
		}
	})
}

func TestDecodeRequest_PrefersTheValuesOwnID(t *testing.T) {
	t.Parallel()
	header := schemas.Header{Key: schemas.HeaderRequestID, Value: []byte("r-2")}
	if req := decode(t, pair(``), header); req.ID != "r-1" || !req.IDInValue {
		t.Errorf("%+v", req)
	}
	if req := decode(t, replace(`"request_id":"r-1",`, ``), header); req.ID != "r-2" || req.IDInValue {
		t.Errorf("%+v", req)
	}
}

func TestDecodeRequest_TakesTheLastOfAHeaderThatStandsTwice(t *testing.T) {
	t.Parallel()
	req := decode(t, items(`{"open_userid":"a","external_userid":"wm1"}`), append(indexHeaders([]int{8}, 9), indexHeaders([]int{3}, 5)...)...)
	if req.Items[0].Index != 3 || req.Count != 5 {
		t.Errorf("%+v", req)
	}
}

func TestDecodeRequest_TakesNoNoticeOfOtherHeaders(t *testing.T) {
	t.Parallel()
	d := schemas.Trail{Failure: schemas.Failure{Class: "nonsense"}, FirstAttemptAt: time.UnixMilli(-1)}
	got := decode(t, pair(``), d.AppendHeaders(nil, []schemas.Header{{Key: "Consentd-Item-Count", Value: []byte("x")}})...)
	if want := decode(t, pair(``)); got.ID != want.ID || got.Count != want.Count || !slices.Equal(got.Items, want.Items) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
