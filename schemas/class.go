package schemas

// Class says why an item has no answer. The list is closed: the same word is the event's error class, the metric's
// label, the log's field and the dead letter's header.
type Class string

const (
	// InvalidRequest: the record or the item can't be understood.
	InvalidRequest Class = "invalid_request"
	// UnknownCorp: the configuration has no such corp.
	UnknownCorp Class = "unknown_corp"
	// NotFound: WeCom knows no such user, customer or room.
	NotFound Class = "not_found"
	// OutOfScope: the staff member or room is outside the range the corp authorised.
	OutOfScope Class = "out_of_scope"
	// NoAnswer: asked twice, and never in the reply.
	NoAnswer Class = "no_answer"
	// Rejected: any other errcode that asking again won't change.
	Rejected Class = "rejected"
	// Expired: not answered within retry.max_age.
	Expired Class = "expired"

	// Transient: the network or the API failed in a way that passes.
	Transient Class = "transient"
	// RateLimited: a quota of the API is used up for now.
	RateLimited Class = "rate_limited"
	// Token: no valid access_token could be had.
	Token Class = "token"
	// CorpStopped: the corp's calls need a person before they can succeed.
	CorpStopped Class = "corp_stopped"
)

// Classes is the closed list, terminal classes first.
func Classes() []Class {
	return []Class{
		InvalidRequest, UnknownCorp, NotFound, OutOfScope, NoAnswer, Rejected, Expired,
		Transient, RateLimited, Token, CorpStopped,
	}
}
