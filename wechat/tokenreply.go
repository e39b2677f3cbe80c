package wechat

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"consentd/schemas"
)

// tokenReply is what hands out tokens: gettoken, the two calls of a suite, and token services.
type tokenReply struct {
	Errcode          int    `json:"errcode"` // a missing one means success
	Errmsg           string `json:"errmsg"`
	AccessToken      string `json:"access_token"`
	SuiteAccessToken string `json:"suite_access_token"`
	ExpiresIn        int64  `json:"expires_in"` // seconds
}

// decode is a decoder. A reply of which no more than the errcode can be read is still that failure: a wrong secret must
// not pass for a broken reply, which is tried again soon.
func (r *tokenReply) decode(body []byte) (verdict, error) {
	var whole tokenReply
	if json.Unmarshal(body, &whole) == nil {
		*r = whole
		handedOut := secrets{whole.AccessToken, whole.SuiteAccessToken}
		return verdict{whole.Errcode, handedOut.hide(whole.Errmsg)}, nil
	}
	var bare struct {
		Errcode jsontext.Value `json:"errcode"`
	}
	lax := json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if json.Unmarshal(body, &bare, lax) == nil {
		if code, err := strconv.Atoi(strings.Trim(string(bare.Errcode), `"`)); err == nil && code != 0 {
			return verdict{errcode: code}, nil
		}
	}
	// The decoder's own words may have a part of the token.
	return verdict{}, errors.New("want an object with a token, expires_in and, after a failure, errcode")
}

// life is for how long the token is good; 0: until it is refused.
func (r *tokenReply) life() time.Duration {
	return time.Duration(min(max(r.ExpiresIn, 0), int64(maxLife/time.Second))) * time.Second
}

// fetchFailure says of a failed fetch what was asked, and passes on everything else. Whatever is wrong with the token, the
// conversations that are asked about are not at fault: it is never about single items, and an errcode that nobody
// documented, as a token service may have its own, does not end them.
func fetchFailure(asked string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e
	told.Message = asked + ": " + e.Message
	if e.PerItem || e.Unknown || e.Class == schemas.Rejected && e.Errcode == 0 {
		told.Class = schemas.Token
	}
	told.PerItem, told.TooManyPairs, told.Unknown = false, false, false
	return &told
}
