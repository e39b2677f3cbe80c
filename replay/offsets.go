package replay

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Offsets are a part of a partition's log, both ends included. The JSON is kept with a replay's progress.
type Offsets struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// ToEnd is the Last of Offsets that have none.
const ToEnd = math.MaxInt64

const offsetsRule = "want PARTITION:FIRST-LAST, as 0:100-200, PARTITION:FIRST- for all from there on, or PARTITION:OFFSET for one"

// ParseOffsets reads texts as 0:100-200, each of another partition.
func ParseOffsets(texts []string) (map[int32]Offsets, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	parsed := make(map[int32]Offsets, len(texts))
	for _, text := range texts {
		partition, o, err := parseOffsets(text)
		if err != nil {
			return nil, fmt.Errorf("%.60q: %s", text, offsetsRule)
		}
		if _, ok := parsed[partition]; ok {
			return nil, fmt.Errorf("%.60q: partition %d stands twice: want one range of each", text, partition)
		}
		if o.First > o.Last {
			return nil, fmt.Errorf("%.60q: the range is empty: it ends before it begins", text)
		}
		parsed[partition] = o
	}
	return parsed, nil
}

func parseOffsets(text string) (int32, Offsets, error) {
	before, after, ok := strings.Cut(text, ":")
	if !ok {
		return 0, Offsets{}, strconv.ErrSyntax
	}
	partition, err := parseNumber(before, 31)
	if err != nil {
		return 0, Offsets{}, err
	}
	from, to, isRange := strings.Cut(after, "-")
	first, err := parseNumber(from, 63)
	if err != nil {
		return 0, Offsets{}, err
	}
	o := Offsets{First: first, Last: first}
	switch {
	case isRange && to == "":
		o.Last = ToEnd
	case isRange:
		o.Last, err = parseNumber(to, 63)
	}
	return int32(partition), o, err
}

// parseNumber reads digits alone.
func parseNumber(text string, bits int) (int64, error) {
	if strings.HasPrefix(text, "+") {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(text, 10, bits)
	return int64(n), err
}
