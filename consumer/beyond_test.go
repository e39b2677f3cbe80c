package consumer

import "testing"

func TestDoneBeyond_CountsWhatIsDoneBehindTheCommittedOffset(t *testing.T) {
	t.Parallel()
	var o Offsets
	if err := o.Start(100, ""); err != nil {
		t.Fatal(err)
	}
	for offset := int64(100); offset < 400; offset++ {
		o.Take(offset)
	}
	for offset := int64(100); offset < 400; offset++ {
		if offset != 130 && offset != 131 && offset != 300 {
			o.Done(offset)
		}
	}
	next, metadata := o.Committable()
	if got, err := DoneBeyond(next, metadata); next != 130 || got != 400-130-3 || err != nil {
		t.Errorf("committed %d, %d done beyond it (%v), want 130 and 267", next, got, err)
	}
	if got, err := DoneBeyond(7, ""); got != 0 || err != nil {
		t.Errorf("without metadata: got %d, %v", got, err)
	}
	if got, err := DoneBeyond(7, "another program's"); got != 0 || err == nil {
		t.Errorf("metadata of another program: got %d, %v", got, err)
	}
}
