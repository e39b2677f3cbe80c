// Package handjson has what the packages share that read and write JSON by hand, token by token, because they are on the
// hot path. What their documents look like is left to them.
package handjson

import "github.com/go-json-experiment/json/jsontext"

// AppendString appends s to dst, quoted. Most strings here are ids and need no escapes; any other is quoted with care, and
// what is no valid UTF-8 in it becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			dst, _ = jsontext.AppendQuote(dst, s) // its error only tells of the replacement
			return dst
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// KindName says what a value is, for an error message.
func KindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "no JSON value"
}
