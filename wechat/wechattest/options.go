package wechattest

import (
	"cmp"
	"time"
)

// MaxItems is how many pairs a single call may ask for; with more the answer is errcode 301060.
const MaxItems = 100

// Defaults of Options.
const (
	DefaultTokenTTL  = 2 * time.Hour
	DefaultItemField = "item"
)

// Options say how the simulated WeCom behaves. The zero value is a good one.
type Options struct {
	// Corps has each corp's secret by its id; in the suite flow it is the permanent_code, of every suite. An empty secret:
	// any that is not empty is right. No corps: every corp exists, with any secret. SetSecret changes it.
	Corps map[string]string
	// Suites has each suite's secret by its id, in the same way. SetSuiteSecret changes it, SetSuiteTicket its suite_ticket.
	Suites map[string]string
	// Limits are the API's quotas; zero: none. SetLimits changes them, SetCorpLimits those of one corp.
	Limits Limits
	// TokenTTL is how long an access_token is good; 0: DefaultTokenTTL. Replies tell whole seconds, rounded up.
	TokenTTL time.Duration
	// SuiteTokenTTL is how long a suite_access_token is good; 0: as long as an access_token.
	SuiteTokenTTL time.Duration
	// Delay is how long each call takes, those for tokens included; 0: no longer than it has to. SetDelay changes it.
	Delay time.Duration
	// ItemField is what the list of pairs is called in a single call; empty: DefaultItemField.
	ItemField string
	// UnknownIDs says what becomes of pairs and rooms that were not set; 0: UnknownDerived.
	UnknownIDs UnknownIDs
	// DefaultStatus is the status of every pair and derived member that was not set. With an empty AgreeStatus it is
	// derived from the ids: nine in ten Agree, the others Disagree, since some time between 2021 and 2024.
	DefaultStatus Status
	// Remember keeps the pairs that were asked for, about 150 bytes each, so that Flip knows them. Pairs that were set
	// are known in any case. SetRemember changes it.
	Remember bool
	// Seed makes derived statuses, members and tokens others than those of another seed.
	Seed uint64
}

// UnknownIDs is what becomes of pairs and rooms that were not set.
type UnknownIDs int

const (
	// UnknownDerived gives them a status derived from their ids, a room one to five members.
	UnknownDerived UnknownIDs = iota
	// UnknownRefused fails the call: 301061 for a single call with such a pair, 86001 for such a room.
	UnknownRefused
	// UnknownOmitted leaves such pairs out of the reply. Such a room is refused with 86001.
	UnknownOmitted
)

func (o Options) withDefaults() Options {
	o.TokenTTL = cmp.Or(o.TokenTTL, DefaultTokenTTL)
	o.SuiteTokenTTL = cmp.Or(o.SuiteTokenTTL, o.TokenTTL)
	o.ItemField = cmp.Or(o.ItemField, DefaultItemField)
	return o
}
