package wechattest

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

func (s *Simulator) checkCorp(id string) error {
	if !s.registry.knowsCorp(id) {
		return fmt.Errorf("corp_id %q: want a corp that the simulator knows", id)
	}
	return nil
}

// statusBody sets many statuses of a corp, all or none.
type statusBody struct {
	CorpID string       `json:"corp_id"`
	Single []singleBody `json:"single"`
	Room   []roomBody   `json:"room"`
}

type singleBody struct {
	OpenUserID     string `json:"open_userid"`
	ExternalUserID string `json:"external_userid"`
	Status
}

type roomBody struct {
	ChatID  string    `json:"chatid"`
	Members *[]Member `json:"members"` // must be there, and may be empty
}

func (b *statusBody) problem() error {
	var problems []error
	check := func(where, name, id string) {
		if !validID(id) {
			problems = append(problems, fmt.Errorf("%s: %s %q: want a valid id", where, name, id))
		}
	}
	checkWord := func(where string, status Status) {
		if status.AgreeStatus == "" {
			problems = append(problems, fmt.Errorf("%s: want agree_status", where))
		}
	}
	if len(b.Single)+len(b.Room) == 0 {
		problems = append(problems, errors.New("want single or room, lists of statuses"))
	}
	for i, p := range b.Single {
		where := fmt.Sprintf("single %d", i)
		check(where, "open_userid", p.OpenUserID)
		check(where, "external_userid", p.ExternalUserID)
		checkWord(where, p.Status)
	}
	for i, r := range b.Room {
		where := fmt.Sprintf("room %d", i)
		check(where, "chatid", r.ChatID)
		if r.Members == nil {
			problems = append(problems, fmt.Errorf("%s: want members", where))
			continue
		}
		for j, m := range *r.Members {
			where := fmt.Sprintf("room %d, member %d", i, j)
			check(where, "external_userid", m.ExternalUserID)
			checkWord(where, m.Status)
		}
	}
	return errors.Join(problems...)
}

func (s *Simulator) controlStatus(b statusBody) (any, error) {
	if err := errors.Join(s.checkCorp(b.CorpID), b.problem()); err != nil {
		return nil, err
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	for _, p := range b.Single {
		s.book.set(pairKey{b.CorpID, p.OpenUserID, p.ExternalUserID}, p.Status)
	}
	for _, r := range b.Room {
		s.book.rooms[roomKey{b.CorpID, r.ChatID}] = *r.Members
	}
	return nil, nil
}

type flipBody struct {
	Fraction *float64 `json:"fraction"`
	Seed     uint64   `json:"seed"`
}

func (s *Simulator) controlFlip(b flipBody) (any, error) {
	if b.Fraction == nil || *b.Fraction < 0 || *b.Fraction > 1 {
		return nil, errors.New("fraction: want 0 to 1")
	}
	return s.Flip(*b.Fraction, b.Seed), nil
}

type rememberBody struct {
	Remember *bool `json:"remember"`
}

func (s *Simulator) controlRemember(b rememberBody) (any, error) {
	if b.Remember == nil {
		return nil, errors.New("remember: want true or false")
	}
	s.SetRemember(*b.Remember)
	return nil, nil
}

// faultBody is a Fault with its delay in milliseconds.
type faultBody struct {
	Fault
	DelayMS int64 `json:"delay_ms"`
}

func (s *Simulator) controlFault(b faultBody) (any, error) {
	delay, err := milliseconds("delay_ms", b.DelayMS)
	b.Delay = delay
	problems := []error{err, b.problem()}
	if b.Corp != "" {
		problems = append(problems, s.checkCorp(b.Corp))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	s.Script(b.Fault)
	return nil, nil
}

// controlClearFaults removes all faults, or with ?corp_id= those of this corp.
func (s *Simulator) controlClearFaults(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if len(query) == 0 {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	corp := query.Get("corp_id")
	err := s.checkCorp(corp)
	if len(query) > 1 || !query.Has("corp_id") {
		err = errors.New("query: want corp_id alone, or nothing")
	}
	if err != nil {
		refuse(w, err)
		return
	}
	s.ClearCorpFaults(corp)
	w.WriteHeader(http.StatusNoContent)
}

type delayBody struct {
	MS *int64 `json:"ms"`
}

func (s *Simulator) controlDelay(b delayBody) (any, error) {
	if b.MS == nil {
		return nil, errors.New("ms: want milliseconds")
	}
	delay, err := milliseconds("ms", *b.MS)
	if err != nil {
		return nil, err
	}
	s.SetDelay(delay)
	return nil, nil
}

func milliseconds(name string, ms int64) (time.Duration, error) {
	if ms < 0 || ms > math.MaxInt32 {
		return 0, fmt.Errorf("%s %d: want 0 to %d milliseconds", name, ms, math.MaxInt32)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
