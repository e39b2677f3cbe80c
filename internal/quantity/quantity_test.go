package quantity_test

import (
	"testing"

	"consentd/internal/quantity"
)

func TestOf_GroupsDigitsAndKnowsOne(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 records", 1: "1 record", -1: "-1 records", 999: "999 records", 1000: "1,000 records", -100: "-100 records",
		-1000: "-1,000 records", 1234567: "1,234,567 records",
	} {
		if got := quantity.Of(n, "record"); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
