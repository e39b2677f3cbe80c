package wechat

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"consentd/schemas"
)

// Error says why a call brought no answer.
type Error struct {
	// Class is one of schemas.Classes.
	Class schemas.Class
	// Errcode is the API's own; 0: there was none.
	Errcode int
	// Unknown: nobody documented the Errcode. Its Class is Transient, and after some tries it is best taken for Rejected.
	Unknown bool
	// Message says what happened and what would help, for a person. It holds no access_token, secret or URL.
	Message string
	// PerItem: it may be about single items of the call. Asked for in parts, the others get their answers.
	PerItem bool
	// TooManyPairs: the API takes fewer in a call.
	TooManyPairs bool
	// AllCorps: it concerns every corp of the corp's provider (see Client.Provider), as with errcodes 60020 and 301042 and
	// whenever a Suite's own token is not to be had. Where Class is CorpStopped all of them are best stopped, and one probed.
	AllCorps bool
	// Replied: the API itself said so, just now. Else nothing was heard of it: it could not be reached, something before it
	// answered, or it was not even asked, as while an earlier failure to get a token stands.
	Replied bool
	// Beside: it is a token service that failed, beside the API: of that it says nothing.
	Beside bool
	// RetryAfter is the shortest pause that is of use before the next try; 0: the caller's choice.
	RetryAfter time.Duration

	cause error
	// ofSuite: the suite's tokenCache said so. It sees to the pause, for all corps of the suite.
	ofSuite bool
}

func (e *Error) Error() string {
	if e.Errcode != 0 {
		return fmt.Sprintf("%s: errcode %d: %s", e.Class, e.Errcode, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Class, e.Message)
}

// Is makes errors.Is find context.DeadlineExceeded after a timeout, and the network's errors. The cause itself is not
// handed out: its text may have what Message must not.
func (e *Error) Is(target error) bool { return e.cause != nil && errors.Is(e.cause, target) }

// Temporary tells whether asking again may help without a person: after a pause, for the classes transient,
// rate_limited and token.
func (e *Error) Temporary() bool {
	switch e.Class {
	case schemas.Transient, schemas.RateLimited, schemas.Token:
		return true
	}
	return false
}

func failure(class schemas.Class, cause error, format string, args ...any) *Error {
	return &Error{Class: class, cause: cause, Message: fmt.Sprintf(format, args...)}
}

// in is the same failure later, when nobody was asked and this pause is of use.
func (e *Error) in(wait time.Duration) *Error {
	later := *e
	later.RetryAfter, later.Replied = wait, false
	return &later
}

// errcodeFailure is about a reply with an errcode other than 0.
func errcodeFailure(code int, errmsg string) *Error {
	meaning, known := errcodes[code]
	if !known {
		meaning = unknownErrcode
	}
	return &Error{
		Class: meaning.class, Errcode: code, Unknown: !known, RetryAfter: meaning.retryAfter,
		PerItem: meaning.perItem, TooManyPairs: code == errcodeTooManyPairs, AllCorps: meaning.allCorps, Replied: true,
		Message: fmt.Sprintf("%s: %s (the API says: %s)", meaning.text, meaning.hint, errmsg),
	}
}

// hasErrcode tells whether the API failed with one of the codes.
func hasErrcode(err error, codes ...int) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Errcode)
}
