package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"consentd/schemas"
)

// Selection says which records are replayed, and where to. What of it has a name in JSON is kept with the replay's progress;
// the rest is settled when its ends are.
type Selection struct {
	// Topic is read, To is written; empty: the dead letters, the request topic.
	Topic string `json:"-"`
	To    string `json:"to"`
	// From and Until bound the records' timestamps: not before From, before Until. Zero: unbounded.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Offsets are the parts of the log that are read; nil: all partitions, whole.
	Offsets map[int32]Offsets `json:"-"`
	// Partitions are those that are read; nil: all.
	Partitions []int32 `json:"-"`
	Filter     Filter  `json:"filter,omitzero"`
	// Dedupe takes only the latest of the selected records of each conversation. A request with several is taken when it is
	// the latest of one.
	Dedupe bool `json:"dedupe,omitempty"`
	// Max bounds the number of records, the oldest first; 0: no bound.
	Max int `json:"-"`
	// MaxReplays leaves out records that were replayed so often already.
	MaxReplays int `json:"max_replays"`
	// Rate is how many records are published a second; 0: as many as can be.
	Rate float64 `json:"rate,omitempty"`
}

// Filter selects records: of the values of a field any will do, and all fields that have some must fit. The zero value
// selects all.
type Filter struct {
	Classes  []schemas.Class `json:"error_class,omitempty"`
	Errcodes []int           `json:"errcode,omitempty"`
	Corps    []string        `json:"corp,omitempty"`
	Keys     []string        `json:"key,omitempty"`
	// Headers are values by the header's name.
	Headers map[string][]string `json:"header,omitempty"`
}

// IsZero tells whether all records are selected.
func (f Filter) IsZero() bool {
	return len(f.Classes) == 0 && len(f.Errcodes) == 0 && len(f.Corps) == 0 && len(f.Keys) == 0 && len(f.Headers) == 0
}

// Topics are the names that the configuration gives to topics.
type Topics struct {
	Requests, DeadLetters string
	// Events hold what the daemon reports: they are no requests.
	Events []string
	// Waiting hold requests that the daemon takes up by itself: those that are forwarded or parked.
	Waiting []string
}

// settle fills in what was left empty and checks what can be checked without the cluster.
func (s *Selection) settle(topics Topics) error {
	if s.Topic == "" {
		s.Topic = topics.DeadLetters
	}
	if s.To == "" && slices.Contains(topics.Events, s.Topic) {
		return wrong("topic %s holds no requests: say with --to where its records shall go", s.Topic)
	}
	if s.To == "" {
		s.To = topics.Requests
	}
	for _, name := range []string{s.Topic, s.To} {
		if !validTopic(name) {
			return wrong("topic %.60q: want 1 to 249 characters of A-Z a-z 0-9 . _ -", name)
		}
	}
	switch {
	case s.To == s.Topic && s.To != topics.Requests:
		return wrong("topic %s would be replayed onto itself, which only the request topic (%s) can be: say with --to where its records shall go",
			s.Topic, topics.Requests)
	case s.To == topics.DeadLetters || slices.Contains(topics.Events, s.To) || slices.Contains(topics.Waiting, s.To):
		return wrong("topic %s is the daemon's own: what others write to it is taken for the daemon's: replay to the request topic (%s) or to one of yours",
			s.To, topics.Requests)
	case !s.From.IsZero() && !s.Until.IsZero() && !s.From.Before(s.Until):
		return wrong("the range is empty: it begins at %s and ends at %s", s.From.Format(time.RFC3339), s.Until.Format(time.RFC3339))
	case s.Max < 0:
		return wrong("--max %d: want 1 or more, or 0 for no bound", s.Max)
	case s.MaxReplays < 1:
		return wrong("--max-replays %d: want 1 or more", s.MaxReplays)
	}
	for _, c := range s.Filter.Classes {
		if !slices.Contains(schemas.Classes(), c) {
			return wrong("unknown error class %.60q: want one of %s", c, classNames())
		}
	}
	for _, text := range slices.Concat(s.Filter.Keys, slices.Concat(slices.Collect(maps.Values(s.Filter.Headers))...)) {
		if !utf8.ValidString(text) {
			return wrong("%q: --key and --header want UTF-8", text)
		}
	}
	for _, corp := range s.Filter.Corps {
		if problem := schemas.IDProblem(corp); problem != "" {
			return wrong("corp id %.60q: %s", corp, problem)
		}
	}
	return checkRate(s.Rate)
}

func checkRate(perSecond float64) error {
	if perSecond == 0 || perSecond >= minRate && perSecond <= maxRate {
		return nil
	}
	return wrong("--rate %v: want a number of records a second, %v or more, or 0 for as many as can be", perSecond, minRate)
}

const (
	minRate = 0.001
	maxRate = 1e9
)

func classNames() string {
	var names []string
	for _, c := range schemas.Classes() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// ParseHeader reads name=value.
func ParseHeader(text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", "", fmt.Errorf("%.60q: want NAME=VALUE", text)
	}
	return name, value, nil
}

func validTopic(name string) bool {
	return len(name) <= 249 && name != "." && name != ".." && onlyHas(name, "._-")
}

// onlyHas tells whether a text is letters and digits of ASCII and the others alone, and not empty.
func onlyHas(text, others string) bool {
	for i := range len(text) {
		c := text[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if digit := c >= '0' && c <= '9'; !letter && !digit && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return text != ""
}
