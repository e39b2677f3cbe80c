package replay

import (
	"cmp"
	"encoding/json"
	"fmt"

	"consentd/internal/broker"
)

// groupPrefix begins the name of a replay's group, and of its transactional id.
const groupPrefix = "consentd-replay-"

const (
	// maxMetadata is what the brokers take with an offset (offset.metadata.max.bytes), less some room for counts that grow.
	maxMetadata     = 4096 - 96
	progressVersion = 1
)

// progress is what is committed with a partition's offset: all that it takes to go on.
type progress struct {
	Version   int       `json:"v"`
	Begin     int64     `json:"begin"`
	End       int64     `json:"end"`
	Whole     int64     `json:"whole,omitempty"` // absent: End
	Published int64     `json:"published,omitempty"`
	TooOften  int64     `json:"too_often,omitempty"`
	Selection Selection `json:"selection"`
}

// offset returns what is committed when a partition was replayed up to next.
func (s *span) offset(selection *Selection) (broker.Offset, error) {
	text, err := json.Marshal(progress{
		Version: progressVersion, Begin: s.begin, End: s.end, Whole: s.whole, Published: s.published, TooOften: s.tooOften, Selection: *selection,
	})
	return broker.Offset{At: s.next, Metadata: string(text)}, err
}

// parseProgress is the inverse of offset.
func parseProgress(o broker.Offset) (span, Selection, error) {
	var p progress
	if err := json.Unmarshal([]byte(o.Metadata), &p); err != nil {
		return span{}, Selection{}, fmt.Errorf("what was committed can't be read: %w", err)
	}
	switch {
	case p.Version != progressVersion:
		return span{}, Selection{}, fmt.Errorf("what was committed has version %d, this program knows %d: resume with the program it was begun with",
			p.Version, progressVersion)
	case p.Begin < 0 || p.Begin > o.At || o.At > p.End || p.Whole != 0 && p.Whole < p.End:
		return span{}, Selection{}, fmt.Errorf("what was committed can't be: offset %d of %d to %d", o.At, p.Begin, p.End)
	}
	return span{
		begin: p.Begin, next: o.At, end: p.End, whole: cmp.Or(p.Whole, p.End), published: p.Published, tooOften: p.TooOften,
	}, p.Selection, nil
}

// checkMetadata makes sure that the progress can be committed.
func checkMetadata(selection *Selection) error {
	const huge = 1 << 50 // an offset of many digits
	o, err := (&span{begin: huge, next: huge, end: huge, whole: huge}).offset(selection)
	if err == nil && len(o.Metadata) > maxMetadata {
		return wrong("the filters are too long to be kept with the replay's progress: %d bytes, %d at most; use fewer values at a time",
			len(o.Metadata), maxMetadata)
	}
	return err
}
