package wechattest

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// appendVerdict appends the beginning of any reply, up to where its own fields follow.
func appendVerdict(b []byte, errcode int, errmsg string, asString bool) []byte {
	b = append(b, `{"errcode":`...)
	if asString {
		b = append(b, '"')
	}
	b = strconv.AppendInt(b, int64(errcode), 10)
	if asString {
		b = append(b, '"')
	}
	b = append(b, `,"errmsg":`...)
	return appendString(b, errmsg)
}

// appendAgreeInfo appends the entries with the official page's fields, in its order.
func appendAgreeInfo(b []byte, kind Kind, entries []entry) []byte {
	b = append(b, `,"agreeinfo":[`...)
	for i := range entries {
		e := &entries[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"status_change_time":`...)
		b = strconv.AppendInt(b, e.ChangeTime, 10)
		if kind == Single {
			b = append(b, `,"open_userid":`...)
			b = appendString(b, e.staff)
		}
		b = append(b, `,"external_userid":`...)
		b = appendString(b, e.customer)
		b = append(b, `,"agree_status":`...)
		b = appendString(b, e.AgreeStatus)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendToken(b []byte, token string, expiresIn int64) []byte {
	b = append(b, `,"access_token":`...)
	b = appendString(b, token)
	b = append(b, `,"expires_in":`...)
	return strconv.AppendInt(b, expiresIn, 10)
}

func appendString(b []byte, s string) []byte {
	if validID(s) { // nearly all are, and need no escaping
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD")) // fails for invalid UTF-8 only
	return b
}
