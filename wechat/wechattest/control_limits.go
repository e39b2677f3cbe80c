package wechattest

import (
	"errors"
	"fmt"
	"math"
)

// limitsBody changes the limits that it has, and leaves the others. With a corp id they are those of this corp alone.
type limitsBody struct {
	CorpID             string `json:"corp_id"`
	CallsPerMinute     *int   `json:"calls_per_minute"`
	CorpCallsPerMinute *int   `json:"corp_calls_per_minute"`
	CorpConcurrency    *int   `json:"corp_concurrency"`
}

func (s *Simulator) controlLimits(b limitsBody) (any, error) {
	problems := []error{
		checkLimit("calls_per_minute", b.CallsPerMinute),
		checkLimit("corp_calls_per_minute", b.CorpCallsPerMinute),
		checkLimit("corp_concurrency", b.CorpConcurrency),
	}
	if b.CorpID != "" {
		problems = append(problems, s.checkCorp(b.CorpID))
		if b.CallsPerMinute != nil {
			problems = append(problems, errors.New("calls_per_minute: is of all corps together, want no corp_id beside it"))
		}
	}
	if b.CallsPerMinute == nil && b.CorpCallsPerMinute == nil && b.CorpConcurrency == nil {
		problems = append(problems, errors.New("want calls_per_minute, corp_calls_per_minute or corp_concurrency"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	q := s.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.CorpID != "" {
		own := q.corpLimits(b.CorpID)
		b.change(&own)
		q.own[b.CorpID] = own
		return nil, nil
	}
	change(&q.limits.CallsPerMinute, b.CallsPerMinute)
	b.change(&q.limits.Corp)
	return nil, nil
}

func (b *limitsBody) change(l *CorpLimits) {
	change(&l.CallsPerMinute, b.CorpCallsPerMinute)
	change(&l.Concurrency, b.CorpConcurrency)
}

func change(limit, to *int) {
	if to != nil {
		*limit = *to
	}
}

func checkLimit(name string, limit *int) error {
	if limit != nil && (*limit < 0 || *limit > math.MaxInt32) {
		return fmt.Errorf("%s %d: want 0 to %d, 0 for no limit", name, *limit, math.MaxInt32)
	}
	return nil
}
