package wechat

import "consentd/internal/handjson"

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
		b = handjson.AppendString(b, pairs[i].OpenUserID)
		b = append(b, `,"external_userid":`...)
		b = handjson.AppendString(b, pairs[i].ExternalUserID)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func roomBody(chatID string) []byte {
	b := append(make([]byte, 0, len(`{"chatid":""}`)+len(chatID)), `{"chatid":`...)
	return append(handjson.AppendString(b, chatID), '}')
}
