package wechattest

import "strconv"

// The errcodes that the simulator gives by itself. Others come from a Fault.
const (
	errcodeWrongSecret       = 40001
	errcodeWrongCorp         = 40013
	errcodeWrongToken        = 40014
	errcodeBadJSON           = 40035
	errcodeBadParameter      = 40058
	errcodeEmptyParameter    = 40063
	errcodeWrongSuiteSecret  = 40080
	errcodeWrongSuiteToken   = 40082
	errcodeWrongSuite        = 40083
	errcodeWrongCode         = 40084
	errcodeWrongTicket       = 40085
	errcodeNoToken           = 41001
	errcodeNoCorp            = 41002
	errcodeNoSecret          = 41004
	errcodeNoSuite           = 41021
	errcodeNoSuiteToken      = 41022
	errcodeNoTicket          = 41023
	errcodeNoCode            = 41025
	errcodeTokenExpired      = 42001
	errcodeSuiteTokenExpired = 42009
	errcodeTooManyCalls      = 45009
	errcodeTooManyAtOnce     = 45033
	errcodeUnknownRoom       = 86001
	errcodeTooManyItems      = 301060
	errcodeUnknownPair       = 301061
)

// errcodeText is the beginning of errmsg. It covers also what a Fault is most often used for.
func errcodeText(code int) string {
	switch code {
	case 0:
		return "ok"
	case -1:
		return "system busy"
	case errcodeWrongSecret:
		return "invalid credential"
	case errcodeWrongCorp:
		return "invalid corpid"
	case errcodeWrongToken:
		return "invalid access_token"
	case errcodeBadJSON:
		return "invalid json"
	case errcodeBadParameter:
		return "invalid request parameter"
	case errcodeEmptyParameter:
		return "some parameters are empty"
	case errcodeNoToken:
		return "access_token missing"
	case errcodeNoCorp:
		return "corpid missing"
	case errcodeNoSecret:
		return "secret missing"
	case errcodeWrongSuiteSecret:
		return "invalid suite_secret"
	case errcodeWrongSuiteToken:
		return "invalid suite_access_token"
	case errcodeWrongSuite:
		return "invalid suite_id"
	case errcodeWrongCode:
		return "invalid permanent_code"
	case errcodeWrongTicket:
		return "invalid suite_ticket"
	case errcodeNoSuite:
		return "suite_id missing"
	case errcodeNoSuiteToken:
		return "suite_access_token missing"
	case errcodeNoTicket:
		return "suite_ticket missing"
	case errcodeNoCode:
		return "permanent_code missing"
	case errcodeTokenExpired:
		return "access_token expired"
	case errcodeSuiteTokenExpired:
		return "suite_access_token expired"
	case errcodeTooManyCalls:
		return "api freq out of limit"
	case errcodeTooManyAtOnce:
		return "api concurrent out of limit"
	case 48002:
		return "api forbidden"
	case 50002:
		return "user not in the authorised scope"
	case 60020:
		return "not allow to access from your ip"
	case errcodeUnknownRoom:
		return "invalid chatid"
	case errcodeTooManyItems:
		return "more than " + strconv.Itoa(MaxItems) + " items"
	case errcodeUnknownPair:
		return "user or external user not exist"
	}
	return "error " + strconv.Itoa(code)
}

// refusal is why a call fails by the API's own rules.
type refusal struct {
	code   int
	detail string
}

func (r *refusal) Error() string {
	if r.detail == "" {
		return errcodeText(r.code)
	}
	return errcodeText(r.code) + ": " + r.detail
}
