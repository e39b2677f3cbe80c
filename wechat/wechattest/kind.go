package wechattest

import (
	"net/http"
	"strings"
)

const (
	singlePath     = "/cgi-bin/chatdata/getagreestatus/single"
	roomPath       = "/cgi-bin/chatdata/getagreestatus/room"
	getTokenPath   = "/cgi-bin/gettoken"
	suiteTokenPath = "/cgi-bin/service/get_suite_token"
	corpTokenPath  = "/cgi-bin/service/get_corp_token"
	// tokenServicePath is followed by a corp id. It is not WeCom's.
	tokenServicePath = "/token-service/"
)

// Kind is one of the calls that are simulated.
type Kind string

// The calls that are simulated.
const (
	Single        Kind = "single"
	Room          Kind = "room"
	GetToken      Kind = "gettoken"
	GetSuiteToken Kind = "get_suite_token"
	GetCorpToken  Kind = "get_corp_token"
	// TokenService is what an operator may have beside WeCom: it gives access_tokens to whoever asks.
	TokenService Kind = "token_service"
)

var kinds = []Kind{Single, Room, GetToken, GetSuiteToken, GetCorpToken, TokenService}

// kindOf returns what a path calls; empty: nothing of the API.
func kindOf(path string) Kind {
	switch path {
	case singlePath:
		return Single
	case roomPath:
		return Room
	case getTokenPath:
		return GetToken
	case suiteTokenPath:
		return GetSuiteToken
	case corpTokenPath:
		return GetCorpToken
	}
	if strings.HasPrefix(path, tokenServicePath) {
		return TokenService
	}
	return ""
}

func (k Kind) method() string {
	if k == GetToken || k == TokenService {
		return http.MethodGet
	}
	return http.MethodPost
}

// fetches tells whether a token is asked for, rather than consent.
func (k Kind) fetches() bool { return k != Single && k != Room }

// bare tells whether a success comes without errcode and errmsg.
func (k Kind) bare() bool { return k.fetches() && k != GetToken }
