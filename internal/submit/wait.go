package submit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/internal/quantity"
	"consentd/internal/watch"
	"consentd/schemas"
)

// MissingError says which answers did not come in time.
type MissingError struct {
	// Answers is how many, IDs the requests that they belong to.
	Answers int
	IDs     []string
}

func (e *MissingError) Error() string {
	const shown = 10
	ids, more := e.IDs, ""
	if len(ids) > shown {
		ids, more = ids[:shown], fmt.Sprintf(" and %d more", len(e.IDs)-shown)
	}
	return fmt.Sprintf("%s did not come in time, to requests %s%s: they may still come, if they are parked within retry.max_age",
		quantity.Of(e.Answers, "answer"), strings.Join(ids, ", "), more)
}

// errAllThere ends the reading.
var errAllThere = errors.New("all answers are there")

// Wait hands over the answers to a plan that was published, one for each item, and returns how many of them are failures. from
// is where the results ended before it was published; see watch.Ends. When ctx reaches its deadline before the last of them
// came, the error is a *MissingError.
func (p *Plan) Wait(ctx context.Context, cluster *broker.Cluster, from map[broker.TopicPartition]int64, log zerolog.Logger, take func(*watch.Event) error) (failed int, err error) {
	missing := maps.Clone(p.answers)
	seen := make(map[string]bool) // with at_least_once an event may come again, with the same id
	types := watch.Filter{Types: []string{schemas.TypeChecked, schemas.TypeFailed}}
	left := p.Items
	err = watch.Read(ctx, cluster, from, nil, types, log, func(e *watch.Event) error {
		if missing[e.Request.ID] == 0 || seen[e.ID] {
			return nil
		}
		seen[e.ID] = true
		if missing[e.Request.ID]--; missing[e.Request.ID] == 0 {
			delete(missing, e.Request.ID)
		}
		if e.Failed() {
			failed++
		}
		if err := take(e); err != nil {
			return err
		}
		if left--; left == 0 {
			return errAllThere
		}
		return nil
	})
	switch {
	case errors.Is(err, errAllThere):
		return failed, nil
	case errors.Is(err, context.DeadlineExceeded):
		return failed, &MissingError{left, slices.Sorted(maps.Keys(missing))}
	}
	return failed, err
}
