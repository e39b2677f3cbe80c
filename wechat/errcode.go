package wechat

import (
	"time"

	"consentd/schemas"
)

// The errcodes after which another access_token may help: either may mean that it expired.
const (
	errcodeTokenInvalid = 40014
	errcodeTokenExpired = 42001
)

// The errcodes after which another suite_access_token may help, and then another access_token.
const (
	errcodeSuiteTokenInvalid = 40082
	errcodeSuiteTokenExpired = 42009
)

// errcodeTicketInvalid is answered when there may be a newer suite_ticket.
const errcodeTicketInvalid = 40085

// errcodeTooManyPairs is answered to a call with more pairs than the API takes.
const errcodeTooManyPairs = 301060

// stoppedPause is the least time between two tries of a corp that is stopped: after a few wrong secrets WeCom bans the
// caller's IP for an hour.
const stoppedPause = time.Minute

// errcode is what an errcode means and what an operator is to do about it.
type errcode struct {
	class      schemas.Class
	text, hint string
	retryAfter time.Duration
	// perItem: it may be about single items of the call, so that the others succeed when they are asked for apart.
	perItem bool
	// allCorps: it is about the caller, so that the other corps of the token's provider fail alike.
	allCorps bool
}

// unknownErrcode stands for all that are not in the table.
var unknownErrcode = errcode{
	class: schemas.Transient,
	text:  "not documented",
	hint:  "look it up in WeCom's list of error codes; it is tried a few times and then rejected",
}

// errcodes has every errcode whose meaning for these calls is known, as of WeCom's list of global error codes,
// https://developer.work.weixin.qq.com/document/path/90313. docs/errors.md has the same table.
var errcodes = map[int]errcode{
	-1:   {class: schemas.Transient, text: "the API is busy", hint: "nothing: it is tried again"},
	6000: {class: schemas.Transient, text: "data version conflict", hint: "nothing: it is tried again"},

	errcodeTokenInvalid:      {class: schemas.Token, text: "access_token invalid", hint: "if it stays so after a new one was fetched, look for another program that fetches tokens of this corp"},
	errcodeTokenExpired:      {class: schemas.Token, text: "access_token expired", hint: "if it stays so after a new one was fetched, check who keeps the token fresh"},
	errcodeSuiteTokenInvalid: {class: schemas.Token, text: "suite_access_token invalid", hint: "nothing at first: a new one is to be fetched; if it stays, check the suite's secret and ticket"},
	errcodeSuiteTokenExpired: {class: schemas.Token, text: "suite_access_token expired", hint: "nothing at first: a new one is to be fetched; if it stays, check the suite's ticket"},
	errcodeTicketInvalid:     {class: schemas.Token, text: "suite_ticket invalid or expired", hint: "check that WeCom's pushes arrive and the ticket file is written: a ticket lives for 30 minutes", retryAfter: ticketPause},

	40001:  stopped("wrong secret", "put this corp's right secret into its secret file"),
	40091:  stopped("wrong secret", "put this corp's right secret into its secret file"),
	40080:  stopped("wrong suite secret", "put the suite's right secret into its secret file"),
	40013:  stopped("wrong corp id", "correct corp_id in the configuration"),
	40083:  stopped("wrong suite id", "correct suite_id in the configuration"),
	710000: stopped("wrong open_corpid", "use the corp's id as this provider sees it"),

	40084: stopped("permanent_code invalid", "have the corp authorise again and store the new permanent code"),
	41025: stopped("permanent_code missing", "store the corp's permanent code"),
	48004: stopped("the corp's authorisation is void", "have the corp authorise again"),

	41001: rejected("no access_token in the call", "report it: the program's mistake"),
	41002: rejected("no corp id in the call", "report it: the program's mistake"),
	41004: rejected("no secret in the call", "check that the corp's secret file is not empty; else report it"),
	41021: rejected("no suite id in the call", "check the suite's configuration; else report it"),
	41022: rejected("no suite_access_token in the call", "report it: the program's mistake"),
	41023: rejected("no suite_ticket in the call", "check that the suite's ticket file is not empty; else report it"),

	40058:               perItem(rejected("a parameter is bad", "check the item field and the ids of the batch")),
	40063:               perItem(rejected("a parameter is empty", "check the item field and the ids of the batch")),
	40035:               perItem(rejected("bad JSON", "report it: the program's mistake")),
	errcodeTooManyPairs: perItem(rejected("more than 100 pairs in a call", "lower batch.size to 100")),

	301061: notFound("no such user or customer", "check the ids: both are those of this corp and provider"),
	60111:  notFound("no such user", "check open_userid"),
	40003:  notFound("bad user id", "check open_userid"),
	40096:  notFound("bad external_userid", "check that external_userid is this provider's id of the customer"),
	60221:  notFound("not among the corp's users", "check open_userid"),
	84061:  notFound("not a contact", "ask no more: staff member and customer are no contacts (any longer)"),

	86001:  notFound("bad room id", "check chatid"),
	86003:  notFound("no such room", "check chatid; the room may be dissolved"),
	40050:  notFound("no such room", "check chatid; the room may be dissolved"),
	92002:  notFound("a room of another corp", "ask with the corp id that the room belongs to"),
	301059: notFound("not an internal group", "ask no more: the room is of a kind that is not covered"),

	50002: outOfScope("outside the authorised scope", "have the corp add the staff member to the archive's scope"),
	60011: outOfScope("no privilege for this user or room", "have the corp add the staff member to the archive's scope"),

	45009: {class: schemas.RateLimited, text: "too many calls", hint: "lower the calls a minute, or find who else calls from this IP or for this corp; a minute's limit lasts 60 s, an hour's 60 min", retryAfter: time.Minute},
	45033: {class: schemas.RateLimited, text: "too many calls at once", hint: "lower wechat.corp_concurrency"},

	48002: stopped("no permission for this call", "have the corp grant the message archive's permission"),
	48006: stopped("the permission was reclaimed", "have the corp grant the message archive's permission again"),

	60020:  allCorps(stopped("the caller's IP is not allowed", "add this machine's outgoing IP to the trusted IPs; it concerns all corps of this provider")),
	301042: allCorps(stopped("the caller's IP is not allowed", "add this machine's outgoing IP to the archive's IPs; it concerns all corps of this provider")),

	301052: stopped("the message archive expired", "have the corp renew the message archive"),
	301053: stopped("the message archive is not enabled", "have the corp enable the message archive"),

	50003:  stopped("the app is disabled", "have the corp enable the app"),
	301007: stopped("the corp is dissolved or banned", "remove the corp, or wait until it is lifted"),

	701008: stopped("no valid licence", "buy or activate licences for this corp"),
	701099: stopped("no valid licence", "buy or activate licences for this corp"),
}

func stopped(text, hint string) errcode {
	return errcode{class: schemas.CorpStopped, text: text, hint: hint, retryAfter: stoppedPause}
}

func rejected(text, hint string) errcode {
	return errcode{class: schemas.Rejected, text: text, hint: hint}
}

func notFound(text, hint string) errcode {
	return perItem(errcode{class: schemas.NotFound, text: text, hint: hint})
}

func outOfScope(text, hint string) errcode {
	return perItem(errcode{class: schemas.OutOfScope, text: text, hint: hint})
}

func perItem(e errcode) errcode {
	e.perItem = true
	return e
}

func allCorps(e errcode) errcode {
	e.allCorps = true
	return e
}

// Hint returns what an operator is to do about a failure, in a few words: of its errcode, or else of its class.
func Hint(class schemas.Class, code int) string {
	if e, known := errcodes[code]; known {
		return e.hint
	}
	switch {
	case code != 0 && class != schemas.Token:
		return unknownErrcode.hint
	case class == schemas.Transient:
		return "nothing at first; if it lasts, look at the network, the proxy, and WeCom"
	case class == schemas.RateLimited:
		return "lower the calls a minute, or find who else calls from this IP or for this corp"
	case class == schemas.Token:
		return "look at the source of the corp's token: its file or service, and who else fetches tokens of this corp"
	case class == schemas.Rejected:
		return "check wechat.base_url, wechat.item_field and the proxy"
	case class == schemas.UnknownCorp:
		return "add the corp to corps, or correct the sender's corp_id"
	case class == schemas.Expired:
		return "mend what held it up, then replay the dead letters"
	}
	return "see the class in docs/errors.md"
}
