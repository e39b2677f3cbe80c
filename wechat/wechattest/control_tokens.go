package wechattest

import (
	"errors"
	"fmt"
)

// holderBody names a corp or a suite.
type holderBody struct {
	CorpID  string `json:"corp_id"`
	SuiteID string `json:"suite_id"`
}

// either does it with whom the body names.
func (b holderBody) either(corp, suite func(id string) error) error {
	switch {
	case b.CorpID != "" && b.SuiteID != "":
		return errors.New("corp_id, suite_id: want one of them")
	case b.SuiteID != "":
		return suite(b.SuiteID)
	}
	return corp(b.CorpID)
}

func (s *Simulator) checkSuite(id string) error {
	if !s.registry.knowsSuite(id) {
		return fmt.Errorf("suite_id %q: want a suite that the simulator knows", id)
	}
	return nil
}

type corpBody struct {
	CorpID string `json:"corp_id"`
}

type tokenReply struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"` // s
}

func (s *Simulator) controlToken(b corpBody) (any, error) {
	if err := s.checkCorp(b.CorpID); err != nil {
		return nil, err
	}
	return tokenReply{s.Token(b.CorpID), wholeSeconds(s.options.TokenTTL)}, nil
}

// controlEnd ends all tokens of a corp or of a suite.
func (s *Simulator) controlEnd(corp, suite func(id string)) func(holderBody) (any, error) {
	return func(b holderBody) (any, error) {
		if err := b.either(s.checkCorp, s.checkSuite); err != nil {
			return nil, err
		}
		if b.SuiteID != "" {
			suite(b.SuiteID)
		} else {
			corp(b.CorpID)
		}
		return nil, nil
	}
}

type secretBody struct {
	holderBody
	Secret *string `json:"secret"` // must be there, and may be empty
}

func (s *Simulator) controlSecret(b secretBody) (any, error) {
	valid := func(name string) func(id string) error {
		return func(id string) error {
			if !validID(id) {
				return fmt.Errorf("%s %q: want a valid id", name, id)
			}
			return nil
		}
	}
	err := b.either(valid("corp_id"), valid("suite_id"))
	if b.Secret == nil {
		err = errors.Join(err, errors.New("secret: want the right one, or an empty one for any"))
	}
	if err != nil {
		return nil, err
	}
	if b.SuiteID != "" {
		s.SetSuiteSecret(b.SuiteID, *b.Secret)
	} else {
		s.SetSecret(b.CorpID, *b.Secret)
	}
	return nil, nil
}

type ticketBody struct {
	SuiteID string `json:"suite_id"`
	Ticket  string `json:"ticket"`
	TTLMS   int64  `json:"ttl_ms"`
}

func (s *Simulator) controlTicket(b ticketBody) (any, error) {
	ttl, err := milliseconds("ttl_ms", b.TTLMS)
	if b.Ticket == "" {
		err = errors.Join(err, errors.New("ticket: want a suite_ticket"))
	}
	if err := errors.Join(s.checkSuite(b.SuiteID), err); err != nil {
		return nil, err
	}
	s.SetSuiteTicket(b.SuiteID, b.Ticket, ttl)
	return nil, nil
}
