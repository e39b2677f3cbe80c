package schemas

// Class says why an item has no answer. The list is closed: the same word is the event's error class, the metric's
// label, the log's field and the dead letter's header.
type Class string

const (
	// InvalidRequest says that the record or the item can't be understood.
	InvalidRequest Class = "invalid_request"
	// UnknownCorp says that the configuration has no such corp.
	UnknownCorp Class = "unknown_corp"
	// NotFound says that WeCom knows no such user, customer or room.
	NotFound Class = "not_found"
	// OutOfScope says that the staff member or room is outside the range the corp authorised.
	OutOfScope Class = "out_of_scope"
	// NoAnswer says that the pair was asked for twice and never in the reply.
	NoAnswer Class = "no_answer"
	// Rejected is any other errcode that asking again won't change.
	Rejected Class = "rejected"
	// Expired says that there was no answer within retry.max_age.
	Expired Class = "expired"

	// Transient says that the network or the API failed in a way that passes.
	Transient Class = "transient"
	// RateLimited says that a quota of the API is used up for now.
	RateLimited Class = "rate_limited"
	// Token says that no valid access_token could be had.
	Token Class = "token"
	// CorpStopped says that the corp's calls need a person before they can succeed.
	CorpStopped Class = "corp_stopped"
)

// Classes is the closed list, terminal classes first.
func Classes() []Class {
	return []Class{
		InvalidRequest, UnknownCorp, NotFound, OutOfScope, NoAnswer, Rejected, Expired,
		Transient, RateLimited, Token, CorpStopped,
	}
}

// Passes tells whether what failed so is parked and asked again later, rather than failed.
func (c Class) Passes() bool {
	switch c {
	case Transient, RateLimited, Token, CorpStopped:
		return true
	}
	return false
}
