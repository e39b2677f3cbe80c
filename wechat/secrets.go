package wechat

import (
	"cmp"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"consentd/internal/handjson"
)

// maxForeignText bounds what of others' texts goes into an error, in bytes.
const maxForeignText = 200

// secrets are the texts that must not appear in an error.
type secrets []string

// userinfo is a URL's user and password: net/http names the proxy of the environment with it.
var userinfo = regexp.MustCompile(`//[^/@\s]+@`)

// clean makes a text that others wrote fit for an error: one line, without secrets, not too long.
func (s secrets) clean(text string) string {
	text = s.hide(text)
	text = userinfo.ReplaceAllString(text, "//[hidden]@")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > maxForeignText {
		end := maxForeignText
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return text
}

// hide replaces the secrets in each spelling in which they were sent, or may have been repeated. The longest go first:
// one may be a part of another.
func (s secrets) hide(text string) string {
	var spellings []string
	for _, secret := range s {
		quoted := handjson.AppendString(nil, secret)
		spellings = append(spellings, secret, url.QueryEscape(secret), url.PathEscape(secret), string(quoted[1:len(quoted)-1]))
	}
	slices.SortFunc(spellings, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, spelling := range spellings {
		if spelling != "" {
			text = strings.ReplaceAll(text, spelling, "[hidden]")
		}
	}
	return text
}

// cleanError leaves out what net/http puts around a failure: the URL, with its query.
func (s secrets) cleanError(err error) string {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	// What follows quotes the reply, which may be a token that nobody has read yet.
	text, _, _ := strings.Cut(err.Error(), "connection broken: ")
	return s.clean(text)
}
