package dev

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"consentd/config"
	"consentd/internal/logging"
)

// quiet is a log that nobody reads.
func quiet(t *testing.T) *logging.Log {
	log := logging.New(config.Log{}, io.Discard)
	t.Cleanup(log.Close)
	return log
}

func TestRun_ARoundAddsUp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Rounds: 2, Items: 300}, &out, io.Discard, quiet(t)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "It adds up."); n != 2 {
		t.Errorf("%d of 2 rounds add up:\n%s", n, out.String())
	}
	for _, want := range []string{`"type":"consent.checked"`, `"change":"withdrawn"`, "broker ", "simulator "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in the output:\n%s", want, out.String())
		}
	}
}

func TestSummary_ThatDoesNotAddUpIsAnError(t *testing.T) {
	t.Parallel()
	err := showSummary(io.Discard, []check{{"answers", 10, 10}, {"changes", 5, 4}})
	if err == nil || !strings.Contains(err.Error(), "changes: expected 5, got 4") {
		t.Errorf("got %v", err)
	}
}

func TestGenerate_MakesTheSameRequestsForTheSameSeed(t *testing.T) {
	t.Parallel()
	a, b, other := generate(corps, 500, 1), generate(corps, 500, 1), generate(corps, 500, 2)
	items := 0
	for i := range a {
		if !bytes.Equal(a[i].value, b[i].value) {
			t.Fatalf("request %d differs: %s and %s", i, a[i].value, b[i].value)
		}
		items += a[i].items
	}
	if items < 500 || bytes.Equal(a[1].value, other[1].value) {
		t.Errorf("%d items of 500; another seed gives %s", items, other[1].value)
	}
}
