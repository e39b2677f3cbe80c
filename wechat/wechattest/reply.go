package wechattest

import (
	"strconv"

	"consentd/internal/handjson"
)

// Each field of a reply is appended with a comma before it.

func appendVerdict(b []byte, errcode int, errmsg string, asString bool) []byte {
	b = append(b, `,"errcode":`...)
	if asString {
		b = append(b, '"')
	}
	b = strconv.AppendInt(b, int64(errcode), 10)
	if asString {
		b = append(b, '"')
	}
	b = append(b, `,"errmsg":`...)
	return handjson.AppendString(b, errmsg)
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
			b = handjson.AppendString(b, e.staff)
		}
		b = append(b, `,"external_userid":`...)
		b = handjson.AppendString(b, e.customer)
		b = append(b, `,"agree_status":`...)
		b = handjson.AppendString(b, e.AgreeStatus)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendToken(b []byte, kind Kind, token string, expiresIn int64) []byte {
	if kind == GetSuiteToken {
		b = append(b, `,"suite_access_token":`...)
	} else {
		b = append(b, `,"access_token":`...)
	}
	b = handjson.AppendString(b, token)
	b = append(b, `,"expires_in":`...)
	return strconv.AppendInt(b, expiresIn, 10)
}
