package wechat

import "github.com/go-json-experiment/json/jsontext"

// singleBody returns a body of its own for each call: the transport may still read it after the reply has come, so it
// can't be pooled.
func (c *Client) singleBody(pairs []Pair) []byte {
	const around = len(`{"open_userid":"","external_userid":""},`)
	size := len(c.open) + len("]}")
	for i := range pairs {
		size += around + len(pairs[i].OpenUserID) + len(pairs[i].ExternalUserID)
	}
	b := append(make([]byte, 0, size), c.open...)
	for i := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"open_userid":`...)
		b = appendString(b, pairs[i].OpenUserID)
		b = append(b, `,"external_userid":`...)
		b = appendString(b, pairs[i].ExternalUserID)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func roomBody(chatID string) []byte {
	b := append(make([]byte, 0, len(`{"chatid":""}`)+len(chatID)), `{"chatid":`...)
	return append(appendString(b, chatID), '}')
}

// appendString quotes s. Ids of WeCom need no escapes; any other text is quoted with care, and what is no valid UTF-8 in
// it becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b, _ = jsontext.AppendQuote(b, s) // its error only tells of the replacement
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
