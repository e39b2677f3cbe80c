package schemas_test

import (
	"slices"
	"testing"
	"time"

	"consentd/schemas"
)

func TestEventHeaders_AreCloudEvents(t *testing.T) {
	t.Parallel()
	h := schemas.NewEventHeaders(schemas.SourceOf("consentd"))
	at := time.Date(2026, 11, 23, 9, 2, 3, 456_789_000, time.FixedZone("CST", 8*60*60))
	for _, tc := range []struct {
		name, eventType, id, subject, traceParent string
		at                                        time.Time
		want                                      []string
	}{
		{
			"all", schemas.TypeChecked, "t/0/1/0", "ww1/room/wr1", "00-1", at,
			[]string{
				"ce_specversion=1.0", "ce_source=consentd/consentd", "content-type=application/json", "ce_id=t/0/1/0", "ce_type=consent.checked",
				"ce_time=2026-11-23T01:02:03.456Z", "ce_subject=ww1/room/wr1", "traceparent=00-1",
			},
		},
		{
			"no subject", schemas.TypeFailed, "t/0/2/0", "", "00-2", at.Add(time.Second),
			[]string{
				"ce_specversion=1.0", "ce_source=consentd/consentd", "content-type=application/json", "ce_id=t/0/2/0", "ce_type=consent.failed",
				"ce_time=2026-11-23T01:02:04.456Z", "traceparent=00-2",
			},
		},
		{
			"no trace", schemas.TypeChanged, "abc", "ww1/room/wr1", "", at,
			[]string{
				"ce_specversion=1.0", "ce_source=consentd/consentd", "content-type=application/json", "ce_id=abc", "ce_type=consent.changed",
				"ce_time=2026-11-23T01:02:03.456Z", "ce_subject=ww1/room/wr1",
			},
		},
		{
			"neither, at the zero time", schemas.TypeFailed, "t/0/3/0", "", "",
			time.Time{},
			[]string{
				"ce_specversion=1.0", "ce_source=consentd/consentd", "content-type=application/json", "ce_id=t/0/3/0", "ce_type=consent.failed",
				"ce_time=0001-01-01T00:00:00.000Z",
			},
		},
	} { // the headers are reused: one after the other
		got := headerTexts(h.Of(tc.eventType, []byte(tc.id), []byte(tc.subject), tc.at, []byte(tc.traceParent)))
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s:\n got %q\nwant %q", tc.name, got, tc.want)
		}
	}
}

func TestEventHeaders_CostNoAllocationAnEvent(t *testing.T) {
	h := schemas.NewEventHeaders("consentd/consentd")
	id, subject, at := []byte("t/0/1/0"), []byte("ww1/room/wr1"), time.Now()
	n := testing.AllocsPerRun(100, func() {
		at = at.Add(time.Millisecond)
		h.Of(schemas.TypeChecked, id, subject, at, nil)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
