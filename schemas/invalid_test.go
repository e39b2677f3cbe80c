package schemas_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"consentd/schemas"
)

// The requests that the bad ones are made from all have this id and context.
func pair(more string) string {
	return `{"request_id":"r-1","corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm1","context":{"k":1}` + more + `}`
}

func items(list string) string {
	return `{"request_id":"r-1","corp_id":"ww1","kind":"single","context":{"k":1},"items":[` + list + `]}`
}

func room(more string) string {
	return `{"request_id":"r-1","corp_id":"ww1","kind":"room","context":{"k":1}` + more + `}`
}

// replace returns the pair's request with one thing in it replaced.
func replace(old, by string) string { return strings.Replace(pair(``), old, by, 1) }

func TestDecodeRequest_TellsAllThatIsWrongAndEchoesWhatCanBeRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, value string
		headers     []schemas.Header
		want        []string // the problems
		id, context string   // what is echoed
	}{
		{
			name:  "the value: empty",
			value: ``,
			want:  []string{`no JSON value: EOF`},
		},
		{
			name:  "the value: white space",
			value: " \n\t",
			want:  []string{`no JSON value: EOF`},
		},
		{
			name:  "the value: JSON null",
			value: `null`,
			want:  []string{`the value is null: want an object`},
		},
		{
			name:  "the value: an array",
			value: `[]`,
			want:  []string{`the value is an array: want an object`},
		},
		{
			name:  "the value: a string",
			value: `"request"`,
			want:  []string{`the value is a string: want an object`},
		},
		{
			name:  "the value: a number",
			value: `1`,
			want:  []string{`the value is a number: want an object`},
		},
		{
			name:  "the value: a boolean",
			value: `true`,
			want:  []string{`the value is a boolean: want an object`},
		},
		{
			name:  "the value: an empty object",
			value: `{}`,
			want: []string{
				`corp_id: missing: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`,
				`kind: missing: want single or room`,
			},
		},
		{
			name:  "the value: a byte order mark",
			value: "\xef\xbb\xbf" + pair(``),
			want:  []string{`not valid JSON at byte 0: invalid character '\ufeff' at start of value`},
		},
		{
			name:  "the value: no JSON",
			value: `hello`,
			want:  []string{`not valid JSON at byte 0: invalid character 'h' at start of value`},
		},
		{
			name:  "the value: cut short",
			value: strings.TrimSuffix(pair(``), `}`),
			want:  []string{`not valid JSON at byte 111: unexpected EOF`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: cut in a string",
			value: `{"request_id":"r-1","corp_id":"w`,
			want:  []string{`not valid JSON at byte 32 ("/corp_id"): unexpected EOF`},
			id:    "r-1",
		},
		{
			name:  "the value: a comma too many",
			value: strings.TrimSuffix(pair(``), `}`) + `,}`,
			want:  []string{`not valid JSON at byte 111: invalid character ',' at start of value`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: single quotes",
			value: "{'request_id':'r-1'}",
			want:  []string{`not valid JSON at byte 1: invalid character '\'' at start of value`},
		},
		{
			name:  "the value: a comment",
			value: pair(`/**/`),
			want:  []string{`not valid JSON at byte 111: invalid character '/' after object value (expecting ',' or '}')`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: bytes after it",
			value: pair(``) + `x`,
			want:  []string{`not valid JSON at byte 112: bytes after the value`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: two values",
			value: pair(``) + "\n" + pair(``),
			want:  []string{`not valid JSON at byte 112: bytes after the value`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: a zero byte after it",
			value: pair(``) + "\x00",
			want:  []string{`not valid JSON at byte 112: bytes after the value`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: NaN",
			value: pair(`,"max_age_seconds":NaN`),
			want:  []string{`not valid JSON at byte 130 ("/max_age_seconds"): invalid character 'N' at start of value`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: a raw line break in a string",
			value: pair(`,"note":"` + "\n" + `"`),
			want:  []string{`not valid JSON at byte 120 ("/note"): invalid character '\n' in string (expecting non-control character)`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: a name without quotes",
			value: pair(`,note:1`),
			want:  []string{`not valid JSON at byte 113: invalid character 'o' in literal null (expecting 'u')`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: invalid UTF-8 in an ignored field",
			value: pair(",\"note\":\"\xff\""),
			want:  []string{`not valid JSON at byte 120 ("/note"): invalid UTF-8`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: invalid UTF-8 in a name",
			value: pair(",\"n\xc3\":1"),
			want:  []string{`not valid JSON at byte 114: invalid UTF-8`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: an overlong UTF-8 form",
			value: pair(",\"note\":\"\xc0\xaf\""),
			want:  []string{`not valid JSON at byte 120 ("/note"): invalid UTF-8`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: half a surrogate pair",
			value: pair(`,"note":"\ud800"`),
			want:  []string{"not valid JSON at byte 120 (\"/note\"): invalid surrogate pair `\\ud800\"}` in string"},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: deep nesting",
			value: pair(`,"note":` + strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000)),
			want:  []string{`not valid JSON at byte 10118 ("/note/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/"): exceeded max depth`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "the value: UTF-16",
			value: "\xff\xfe{\x00}\x00",
			want:  []string{`not valid JSON at byte 0: invalid character '\xff' at start of value`},
		},
		{
			name:  "duplicate keys: at the top",
			value: pair(`,"corp_id":"ww2"`),
			want:  []string{`duplicate key at byte 112 ("/corp_id"): each may stand once`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "duplicate keys: at the top, escaped",
			value: pair(`,"corp\u005fid":"ww2"`),
			want:  []string{`duplicate key at byte 112 ("/corp_id"): each may stand once`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "duplicate keys: of an ignored field",
			value: pair(`,"note":1,"note":1`),
			want:  []string{`duplicate key at byte 121 ("/note"): each may stand once`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "duplicate keys: request_id",
			value: pair(`,"request_id":"r-9"`),
			want:  []string{`duplicate key at byte 112 ("/request_id"): each may stand once`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "duplicate keys: of an item",
			value: items(`{"open_userid":"a","open_userid":"b","external_userid":"wm1"}`),
			want:  []string{`duplicate key at byte 98 ("/items/0/open_userid"): each may stand once`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "duplicate keys: in the context",
			value: replace(`{"k":1}`, `{"k":1,"k":2}`),
			want:  []string{`duplicate key at byte 111 ("/context/k"): each may stand once`},
			id:    "r-1",
		},
		{
			name:  "duplicate keys: nested in the context",
			value: replace(`{"k":1}`, `[{"a":{"k":1,"k":2}}]`),
			want:  []string{`duplicate key at byte 117 ("/context/0/a/k"): each may stand once`},
			id:    "r-1",
		},
		{
			name:  "duplicate keys: nested in an ignored field",
			value: pair(`,"note":[{"a":{"k":1,"k":2}}]`),
			want:  []string{`duplicate key at byte 132 ("/note/0/a/k"): each may stand once`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:    "request_id: a number",
			value:   replace(`"r-1"`, `7`),
			want:    []string{`request_id: is a number: want a string`},
			context: `{"k":1}`,
		},
		{
			name:    "request_id: empty",
			value:   replace(`"r-1"`, `""`),
			want:    []string{`request_id: 0 bytes long: want 1 to 128 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:    "request_id: 129 characters",
			value:   replace(`r-1`, strings.Repeat(`r`, 129)),
			want:    []string{`request_id: 129 bytes long: want 1 to 128 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:    "request_id: a control character",
			value:   replace(`r-1`, `r\u0007`),
			want:    []string{`request_id: "r\a": want 1 to 128 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:    "request_id: DEL",
			value:   replace(`r-1`, "r\x7f"),
			want:    []string{`request_id: "r\x7f": want 1 to 128 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:    "request_id: a letter that is not ASCII",
			value:   replace(`r-1`, `é`),
			want:    []string{`request_id: "é": want 1 to 128 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:  "request_id: invalid UTF-8",
			value: replace(`r-1`, "r\xff"),
			want: []string{
				`not valid JSON at byte 16 ("/request_id"): invalid UTF-8`,
				`request_id: "r\xff": want 1 to 128 printable ASCII characters`,
			},
			context: `{"k":1}`,
		},
		{
			name:  "corp_id: absent",
			value: replace(`"corp_id":"ww1",`, ``),
			want:  []string{`corp_id: missing: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: null",
			value: replace(`"ww1"`, `null`),
			want:  []string{`corp_id: missing: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: empty",
			value: replace(`"ww1"`, `""`),
			want:  []string{`corp_id: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: a number",
			value: replace(`"ww1"`, `1`),
			want:  []string{`corp_id: is a number: want a string`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: an object",
			value: replace(`"ww1"`, `{"id":"ww1"}`),
			want:  []string{`corp_id: is an object: want a string`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: 129 characters",
			value: replace(`ww1`, strings.Repeat(`w`, 129)),
			want:  []string{`corp_id: 129 bytes long: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: a slash",
			value: replace(`ww1`, `ww/1`),
			want:  []string{`corp_id: "ww/1" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: a letter that is not ASCII",
			value: replace(`ww1`, `ｗｗ1`),
			want:  []string{`corp_id: "ｗｗ1" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "corp_id: a zero byte",
			value: replace(`ww1`, `ww1\u0000`),
			want:  []string{`corp_id: "ww1\x00" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "kind: absent",
			value: replace(`"kind":"single",`, ``),
			want:  []string{`kind: missing: want single or room`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "kind: another word",
			value: replace(`"single"`, `"group"`),
			want:  []string{`kind: "group": want single or room`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "kind: upper case",
			value: replace(`"single"`, `"Single"`),
			want:  []string{`kind: "Single": want single or room`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "kind: a boolean",
			value: replace(`"single"`, `true`),
			want:  []string{`kind: is a boolean: want a string`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: no external_userid",
			value: replace(`,"external_userid":"wm1"`, ``),
			want:  []string{`external_userid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: no open_userid, no external_userid",
			value: replace(`,"open_userid":"a","external_userid":"wm1"`, ``),
			want:  []string{`open_userid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @; external_userid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: external_userid null",
			value: replace(`"wm1"`, `null`),
			want:  []string{`external_userid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: open_userid empty",
			value: replace(`"a"`, `""`),
			want:  []string{`open_userid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: open_userid an array",
			value: replace(`"a"`, `["a"]`),
			want: []string{
				`open_userid: is an array: want a string`,
				`open_userid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`,
			},
			id: "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: external_userid of 129 characters",
			value: replace(`wm1`, strings.Repeat(`w`, 129)),
			want:  []string{`external_userid: 129 bytes long: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: a space",
			value: replace(`wm1`, `wm 1`),
			want:  []string{`external_userid: "wm 1" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: both ids bad",
			value: strings.Replace(replace(`"wm1"`, `"*"`), `"a"`, `"+"`, 1),
			want:  []string{`open_userid: "+" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @; external_userid: "*" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: beside items",
			value: pair(`,"items":[{"open_userid":"a","external_userid":"wm1"}]`),
			want:  []string{`items: stands beside open_userid or external_userid: want one or the other`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: half of it beside items",
			value: items(`{"open_userid":"a","external_userid":"wm1"}],"open_userid":"a","x":[1`),
			want:  []string{`items: stands beside open_userid or external_userid: want one or the other`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a pair: with chatid",
			value: pair(`,"chatid":"wr1"`),
			want:  []string{`chatid: belongs to kind room, not single`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: no chatid",
			value: room(``),
			want:  []string{`chatid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: chatid null",
			value: room(`,"chatid":null`),
			want:  []string{`chatid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: chatid empty",
			value: room(`,"chatid":""`),
			want:  []string{`chatid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: chatid a number",
			value: room(`,"chatid":1`),
			want: []string{
				`chatid: is a number: want a string`,
				`chatid: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`,
			},
			id: "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: chatid of 129 characters",
			value: room(`,"chatid":"` + strings.Repeat(`r`, 129) + `"`),
			want:  []string{`chatid: 129 bytes long: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: chatid with a slash",
			value: room(`,"chatid":"wr/1"`),
			want:  []string{`chatid: "wr/1" has other characters: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: with a pair",
			value: room(`,"chatid":"wr1","open_userid":"a","external_userid":"wm1"`),
			want:  []string{`items, open_userid and external_userid belong to kind single, not room`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "a room: with items",
			value: room(`,"chatid":"wr1","items":[{"open_userid":"a","external_userid":"wm1"}]`),
			want:  []string{`items, open_userid and external_userid belong to kind single, not room`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: none",
			value: items(``),
			want:  []string{`items: has 0 pairs: want 1 to 1000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: 1,001",
			value: items(strings.Repeat(`{"open_userid":"a","external_userid":"wm1"},`, 1000) + `{}`),
			want:  []string{`items: has 1001 pairs: want 1 to 1000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: an object",
			value: replace(`"open_userid":"a","external_userid":"wm1"`, `"items":{}`),
			want:  []string{`items: is an object: want an array of 1 to 1000 pairs`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: a string",
			value: replace(`"open_userid":"a","external_userid":"wm1"`, `"items":"a"`),
			want:  []string{`items: is a string: want an array of 1 to 1000 pairs`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: null in them",
			value: items(`null`),
			want:  []string{`items[0]: is null: want an object`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: an array in them",
			value: items(`{"open_userid":"a","external_userid":"wm1"},["a","wm1"]`),
			want:  []string{`items[1]: is an array: want an object`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: an id that is a number",
			value: items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":7,"external_userid":"wm1"}`),
			want:  []string{`items[1].open_userid: is a number: want a string`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: an id that is an object",
			value: items(`{"open_userid":"a","external_userid":{}}`),
			want:  []string{`items[0].external_userid: is an object: want a string`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "items: with chatid",
			value: items(`{"open_userid":"a","external_userid":"wm1"}],"chatid":"wr1","x":[1`),
			want:  []string{`chatid: belongs to kind room, not single`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: below 0",
			value: pair(`,"max_age_seconds":-1`),
			want:  []string{`max_age_seconds: -1: want an integer of 0 to 31536000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: above a year",
			value: pair(`,"max_age_seconds":31536001`),
			want:  []string{`max_age_seconds: 31536001: want an integer of 0 to 31536000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: a fraction",
			value: pair(`,"max_age_seconds":0.5`),
			want:  []string{`max_age_seconds: 0.5: want an integer of 0 to 31536000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: a string",
			value: pair(`,"max_age_seconds":"3600"`),
			want:  []string{`max_age_seconds: is a string: want an integer of 0 to 31536000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: a boolean",
			value: pair(`,"max_age_seconds":false`),
			want:  []string{`max_age_seconds: is a boolean: want an integer of 0 to 31536000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: larger than any number",
			value: pair(`,"max_age_seconds":1e999`),
			want:  []string{`max_age_seconds: 1e999: want an integer of 0 to 31536000`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "max_age_seconds: a leading zero",
			value: pair(`,"max_age_seconds":07`),
			want:  []string{`not valid JSON at byte 131: invalid character '7' after object value (expecting ',' or '}')`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "context: 4,097 bytes",
			value: replace(`{"k":1}`, `"`+strings.Repeat(`c`, 4095)+`"`),
			want:  []string{`context: 4097 bytes: at most 4096 are allowed`},
			id:    "r-1",
		},
		{
			name:  "context: 4,097 bytes with white space",
			value: replace(`{"k":1}`, `[`+strings.Repeat(` `, 4095)+`]`),
			want:  []string{`context: 4097 bytes: at most 4096 are allowed`},
			id:    "r-1",
		},
		{
			name:  "context: invalid UTF-8",
			value: replace(`{"k":1}`, "\"\xff\""),
			want:  []string{`not valid JSON at byte 105 ("/context"): invalid UTF-8`},
			id:    "r-1",
		},
		{
			name:  "context: no JSON",
			value: replace(`{"k":1}`, `k`),
			want:  []string{`not valid JSON at byte 104 ("/context"): invalid character 'k' at start of value`},
			id:    "r-1",
		},
		{
			name:  "over 1 MiB: the value",
			value: pair(`,"note":"` + strings.Repeat(`n`, 1<<20) + `"`),
			want:  []string{`the record has 1048701 bytes (key, value and headers): at most 1048576 are allowed`},
			id:    "r-1", context: `{"k":1}`,
		},
		{
			name:  "over 1 MiB: id and context beyond the limit",
			value: `{"note":"` + strings.Repeat(`n`, 1<<20) + `","request_id":"r-1"}`,
			want:  []string{`the record has 1048609 bytes (key, value and headers): at most 1048576 are allowed`},
		},
		{
			name:  "over 1 MiB: no JSON either",
			value: strings.Repeat(`[`, 1<<20+1),
			want:  []string{`the record has 1048580 bytes (key, value and headers): at most 1048576 are allowed`},
		},
		{
			name:    "over 1 MiB: a header",
			value:   pair(``),
			headers: []schemas.Header{{Key: "note", Value: make([]byte, 1<<20)}},
			want:    []string{`the record has 1048695 bytes (key, value and headers): at most 1048576 are allowed`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: indexes without a count",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,17")}},
			want:    []string{`headers consentd-item-indexes and consentd-item-count: want both or neither`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: a count without indexes",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`headers consentd-item-indexes and consentd-item-count: want both or neither`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: fewer indexes than items",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: names 1 items, the request has 2`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: more indexes than items",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,17,18")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: names 3 items, the request has 2`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: no index",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: names 1 items, the request has 2`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: descending indexes",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("17,3")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "3": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index twice",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,3")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "3": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index as large as the count",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,20")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "20": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index below 0",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("-1,3")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "-1": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index with a sign",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("+1,3")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "+1": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index with a leading zero",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,017")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "017": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: a space between indexes",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3, 17")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: " 17": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index that is no number",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,x")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "x": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an index beyond 64 bits",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,99999999999999999999")}, {Key: schemas.HeaderItemCount, Value: []byte("20")}},
			want:    []string{`header consentd-item-indexes: "99999999999999999999": want ascending integers below 20, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: a count of 0",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,17")}, {Key: schemas.HeaderItemCount, Value: []byte("0")}},
			want:    []string{`header consentd-item-count: "0": want an integer of 1 to 1000`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: a count of 1,001",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,17")}, {Key: schemas.HeaderItemCount, Value: []byte("1001")}},
			want:    []string{`header consentd-item-count: "1001": want an integer of 1 to 1000`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: a count that is no number",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("3,17")}, {Key: schemas.HeaderItemCount, Value: []byte("many")}},
			want:    []string{`header consentd-item-count: "many": want an integer of 1 to 1000`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: a count below the number of items",
			value:   items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"a","external_userid":"wm2"}`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("0,1")}, {Key: schemas.HeaderItemCount, Value: []byte("1")}},
			want:    []string{`header consentd-item-indexes: "1": want ascending integers below 1, each once`},
			id:      "r-1", context: `{"k":1}`,
		},
		{
			name:    "headers: an empty request id",
			value:   replace(`"request_id":"r-1",`, ``),
			headers: []schemas.Header{{Key: schemas.HeaderRequestID, Value: []byte("")}},
			want:    []string{`header consentd-request-id: 0 bytes long: want 1 to 280 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:    "headers: a request id with a control character",
			value:   replace(`"request_id":"r-1",`, ``),
			headers: []schemas.Header{{Key: schemas.HeaderRequestID, Value: []byte("r\n")}},
			want:    []string{`header consentd-request-id: "r\n": want 1 to 280 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:    "headers: a request id of 281 characters",
			value:   replace(`"request_id":"r-1",`, ``),
			headers: []schemas.Header{{Key: schemas.HeaderRequestID, Value: []byte(strings.Repeat("r", 281))}},
			want:    []string{`header consentd-request-id: 281 bytes long: want 1 to 280 printable ASCII characters`},
			context: `{"k":1}`,
		},
		{
			name:  "several problems: of many fields",
			value: `{"request_id":1,"corp_id":"","kind":"pair","items":7,"max_age_seconds":-1,"context":{"k":1}}`,
			want: []string{
				`request_id: is a number: want a string`,
				`corp_id: missing or empty: an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @`,
				`kind: "pair": want single or room`,
				`items: is a number: want an array of 1 to 1000 pairs`,
				`max_age_seconds: -1: want an integer of 0 to 31536000`,
			},
			context: `{"k":1}`,
		},
		{
			name:  "several problems: a duplicate key and a bad field",
			value: pair(`,"max_age_seconds":-1,"note":1,"note":2`),
			want: []string{
				`duplicate key at byte 142 ("/note"): each may stand once`,
				`max_age_seconds: -1: want an integer of 0 to 31536000`,
			},
			id: "r-1", context: `{"k":1}`,
		},
		{
			name:  "several problems: more than are worth telling",
			value: items(strings.Repeat(`1,`, 29) + `1`),
			want: []string{
				`items[0]: is a number: want an object`,
				`items[1]: is a number: want an object`,
				`items[2]: is a number: want an object`,
				`items[3]: is a number: want an object`,
				`items[4]: is a number: want an object`,
				`items[5]: is a number: want an object`,
				`items[6]: is a number: want an object`,
				`items[7]: is a number: want an object`,
				`items[8]: is a number: want an object`,
				`items[9]: is a number: want an object`,
				`items[10]: is a number: want an object`,
				`items[11]: is a number: want an object`,
				`items[12]: is a number: want an object`,
				`items[13]: is a number: want an object`,
				`items[14]: is a number: want an object`,
				`items[15]: is a number: want an object`,
				`items[16]: is a number: want an object`,
				`items[17]: is a number: want an object`,
				`items[18]: is a number: want an object`,
				`items[19]: is a number: want an object`,
				`and more`,
			},
			id: "r-1", context: `{"k":1}`,
		},
		{
			name:    "several problems: of value and headers",
			value:   pair(`,"max_age_seconds":-1`),
			headers: []schemas.Header{{Key: schemas.HeaderItemIndexes, Value: []byte("0")}},
			want: []string{
				`max_age_seconds: -1: want an integer of 0 to 31536000`,
				`headers consentd-item-indexes and consentd-item-count: want both or neither`,
			},
			id: "r-1", context: `{"k":1}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			checkInvalid(t, []byte(tc.value), tc.headers, tc.want, tc.id, tc.context)
		})
	}
}

func TestDecodeRequest_RefusesATombstone(t *testing.T) {
	t.Parallel()
	checkInvalid(t, nil, nil, []string{"the value is null: a tombstone is no request"}, "", "")
	checkInvalid(t, nil, []schemas.Header{{Key: schemas.HeaderRequestID, Value: []byte("r-1")}},
		[]string{"the value is null: a tombstone is no request"}, "r-1", "")
}

func checkInvalid(t *testing.T, value []byte, headers []schemas.Header, want []string, id, context string) {
	t.Helper()
	req, err := schemas.DecodeRequest([]byte("ww1"), value, headers)
	var invalid *schemas.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, request %+v", err, req)
	}
	if !slices.Equal(invalid.Problems, want) {
		t.Errorf("problems\n\t%s\nwant\n\t%s", strings.Join(invalid.Problems, "\n\t"), strings.Join(want, "\n\t"))
	}
	if req.ID != id || req.Context != context {
		t.Errorf("echoed id %q and context %q, want %q and %q", req.ID, req.Context, id, context)
	}
	if len(req.Items) != 0 || req.Raw != "" {
		t.Errorf("an invalid request has items or a value: %+v", req)
	}
}
