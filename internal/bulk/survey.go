package bulk

import (
	"context"
	"time"

	"consentd/internal/lookup"
	"consentd/schemas"
)

// Selection says which conversations are meant.
type Selection struct {
	lookup.Filter
	// Known tells the corps that can be asked about; those of others are left out. Nil: all are.
	Known func(corpID string) bool
	// Named is meant even if nothing is known of it: it may be being asked about for the first time. Nil: there is none.
	Named *schemas.Conversation
}

// each hands over what is known of the conversations of a selection.
func (s *Selection) each(ctx context.Context, topic lookup.Topic, take func(*lookup.Entry) error) error {
	named := s.Named
	err := topic.Each(ctx, s.Filter, func(e *lookup.Entry) error {
		if named != nil && e.Conversation == *named {
			named = nil
		}
		return take(e)
	})
	if err != nil || named == nil {
		return err
	}
	return take(&lookup.Entry{Conversation: *named})
}

// Survey says what a selection comes to.
type Survey struct {
	Conversations int `json:"conversations"`
	Pairs         int `json:"pairs"`
	Rooms         int `json:"rooms"`
	// Calls is how many calls of the API a check of them takes.
	Calls int `json:"calls"`
	// Corps counts the conversations of each corp, Statuses the pairs by the API's word.
	Corps    map[string]int `json:"corps"`
	Statuses map[string]int `json:"agree_statuses"`
	// Oldest and Newest are the first and last checked_at; zero: there is none.
	Oldest time.Time `json:"oldest_checked_at,omitzero"`
	Newest time.Time `json:"newest_checked_at,omitzero"`
	// NeverChecked is how many of them nothing is known of: the one that the selection names whole.
	NeverChecked int `json:"never_checked,omitempty"`
	// First are the keys of a few.
	First []string `json:"first"`
	// Unknown counts the conversations of each corp that can't be asked about: they are left out.
	Unknown map[string]int `json:"unknown_corps,omitempty"`
}

// samples is how many conversations a survey names.
const samples = 5

// pairsPerCall is what one call of the API takes.
const pairsPerCall = 100

// Look reads the status topic and says what a selection comes to. Nothing is written.
func Look(ctx context.Context, topic lookup.Topic, s Selection) (Survey, error) {
	v := Survey{Corps: map[string]int{}, Statuses: map[string]int{}, Unknown: map[string]int{}, First: []string{}}
	pairs := make(map[string]int) // by corp
	err := s.each(ctx, topic, func(e *lookup.Entry) error {
		corpID := e.Conversation.CorpID
		if s.Known != nil && !s.Known(corpID) {
			v.Unknown[corpID]++
			return nil
		}
		v.add(e)
		if e.Conversation.Kind == schemas.Single {
			pairs[corpID]++
		}
		return nil
	})
	v.Calls = v.Rooms
	for _, n := range pairs {
		v.Calls += (n + pairsPerCall - 1) / pairsPerCall
	}
	return v, err
}

func (v *Survey) add(e *lookup.Entry) {
	v.Conversations++
	v.Corps[e.Conversation.CorpID]++
	if e.Conversation.Kind == schemas.Room {
		v.Rooms++
	} else {
		v.Pairs++
		if e.AgreeStatus != "" {
			v.Statuses[e.AgreeStatus]++
		}
	}
	if e.CheckedAt.IsZero() {
		v.NeverChecked++
	} else if v.Oldest.IsZero() || e.CheckedAt.Before(v.Oldest) {
		v.Oldest = e.CheckedAt
	}
	if e.CheckedAt.After(v.Newest) {
		v.Newest = e.CheckedAt
	}
	if len(v.First) < samples {
		v.First = append(v.First, e.Conversation.Key())
	}
}
