package schemas_test

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
)

// decode reads a request that must be valid as a whole.
func decode(t *testing.T, value string, headers ...schemas.Header) schemas.Request {
	t.Helper()
	req, err := schemas.DecodeRequest([]byte("ww1"), []byte(value), headers)
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	return req
}

func TestDecodeRequest_ReadsTheContractsExamples(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]schemas.Request{
		"request-pair": {
			ID: "r-1", Items: []schemas.Item{{OpenUserID: "XuJinSheng", ExternalUserID: "wmeDKaCQAAGd9oGi"}}, Count: 1,
		},
		"request-items": {
			ID: "r-2", Count: 2, MaxAge: time.Hour, Context: `{"msgid":"77"}`,
			Items: []schemas.Item{{OpenUserID: "a", ExternalUserID: "wm1"}, {Index: 1, OpenUserID: "a", ExternalUserID: "wm2"}},
		},
		"request-room": {
			ID: "r-3", Kind: schemas.Room, Items: []schemas.Item{{ChatID: "wrjc7bDwAASxc8tZvBErFE02BtPWyAAA"}}, Count: 1,
		},
	} {
		value := string(readExample(t, file))
		want.IDInValue, want.CorpID, want.Raw = true, "ww1", value
		if want.Kind == "" {
			want.Kind = schemas.Single
		}
		if got := decode(t, value); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", file, got, want)
		}
	}
}

func TestDecodeRequest_TakesNullForAbsent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, with, without string }{
		{
			"a pair",
			pair(`,"chatid":null,"items":null,"max_age_seconds":null`),
			pair(``),
		},
		{
			"items",
			items(`{"open_userid":"a","external_userid":"wm1"}],"open_userid":null,"external_userid":null,"chatid":null,"note":[null`),
			items(`{"open_userid":"a","external_userid":"wm1"}`),
		},
		{
			"a room",
			room(`,"chatid":"wr1","open_userid":null,"external_userid":null,"items":null`),
			room(`,"chatid":"wr1"`),
		},
		{
			"id and context",
			`{"request_id":null,"corp_id":"ww1","kind":"room","chatid":"wr1","context":null}`,
			`{"corp_id":"ww1","kind":"room","chatid":"wr1"}`,
		},
		{
			"an item's id",
			items(`{"open_userid":"a","external_userid":null}`),
			items(`{"open_userid":"a"}`),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			with, without := decode(t, tc.with), decode(t, tc.without)
			with.Raw, without.Raw = "", ""
			if !reflect.DeepEqual(with, without) {
				t.Errorf("with null %+v\nwithout %+v", with, without)
			}
		})
	}
}

func TestDecodeRequest_IgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	got := decode(t, pair(`,"Kind":"room","nested":{"corp_id":"ww2","deep":[[{"kind":7}]]},"":0`))
	want := decode(t, pair(``))
	got.Raw, want.Raw = "", ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	item := decode(t, items(`{"open_userid":"a","name":{"open_userid":"b"},"external_userid":"wm1","chatid":5}`)).Items[0]
	if want := (schemas.Item{OpenUserID: "a", ExternalUserID: "wm1"}); item != want {
		t.Errorf("got %+v, want %+v", item, want)
	}
}

func TestDecodeRequest_KeepsAPairThatStandsTwice(t *testing.T) {
	t.Parallel()
	req := decode(t, items(strings.Repeat(`{"open_userid":"a","external_userid":"wm1"},`, 2)+`{"open_userid":"a","external_userid":"wm1"}`))
	if len(req.Items) != 3 || req.Count != 3 {
		t.Fatalf("%+v", req)
	}
	for i, it := range req.Items {
		if want := (schemas.Item{Index: i, OpenUserID: "a", ExternalUserID: "wm1"}); it != want {
			t.Errorf("got %+v, want %+v", it, want)
		}
	}
}

func TestDecodeRequest_OneBadItemDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	const rule = "an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @"
	good := `{"open_userid":"a","external_userid":"wm1"}`
	for _, tc := range []struct{ name, item, want string }{
		{"no ids", `{}`, "open_userid: missing or empty: " + rule + "; external_userid: missing or empty: " + rule},
		{"one id", `{"open_userid":"a"}`, "external_userid: missing or empty: " + rule},
		{"null", `{"open_userid":null,"external_userid":"wm1"}`, "open_userid: missing or empty: " + rule},
		{"empty", `{"open_userid":"a","external_userid":""}`, "external_userid: missing or empty: " + rule},
		{"too long", `{"open_userid":"` + strings.Repeat("a", 129) + `","external_userid":"wm1"}`, "open_userid: 129 bytes long: " + rule},
		{"other characters", `{"open_userid":"a","external_userid":"wm/1"}`, `external_userid: "wm/1" has other characters: ` + rule},
		{"not ASCII", `{"open_userid":"徐","external_userid":"wm1"}`, `open_userid: "徐" has other characters: ` + rule},
		{"escaped", `{"open_userid":"a\n","external_userid":"wm1"}`, `open_userid: "a\n" has other characters: ` + rule},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			req := decode(t, items(good+","+tc.item+","+good))
			if len(req.Items) != 3 || req.Items[0].Problem != "" || req.Items[2].Problem != "" {
				t.Fatalf("%+v", req)
			}
			if got := req.Items[1]; got.Index != 1 || got.Problem != tc.want {
				t.Errorf("%+v, want problem %q", got, tc.want)
			}
		})
	}
}

func TestDecodeRequest_OnlyBadItemsFailOneByOne(t *testing.T) {
	t.Parallel()
	req := decode(t, items(`{},{"open_userid":"*","external_userid":"wm1"}`))
	if len(req.Items) != 2 || req.Items[0].Problem == "" || req.Items[1].Problem == "" {
		t.Errorf("%+v", req)
	}
}

func TestDecodeRequest_TakesWhatIsJustWithinTheLimits(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("A-z_0.9@", 16)
	context := `["` + strings.Repeat("c", schemas.MaxContextBytes-4) + `"]`
	for _, tc := range []struct{ name, value string }{
		{"ids of 128 characters", `{"corp_id":"` + id + `","kind":"single","open_userid":"` + id + `","external_userid":"` + id + `"}`},
		{"request_id of 128 characters", replace("r-1", strings.Repeat("~ ", 64))},
		{"context of 4,096 bytes", replace(`{"k":1}`, context)},
		{"a context nested 1,000 deep", replace(`{"k":1}`, strings.Repeat("[", 1000)+strings.Repeat("]", 1000))},
		{"max_age_seconds of a year", pair(`,"max_age_seconds":31536000`)},
		{"1,000 items", items(strings.Repeat(`{"open_userid":"a","external_userid":"wm1"},`, 999) + `{}`)},
		{"white space around", " \r\n\t" + pair(``) + " \r\n\t"},
		{"a record of 1 MiB", pair(`,"note":"` + strings.Repeat("n", schemas.MaxRecordBytes-len(pair(`,"note":""`))-len("ww1")) + `"`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if req := decode(t, tc.value); req.Raw != tc.value {
				t.Error("the value is not kept")
			}
		})
	}
}

func TestDecodeRequest_ReadsIntegersAsTheSchemaDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"0": 0, "-0": 0, "1": time.Second, "60.0": time.Minute, "3.6e3": time.Hour} {
		if got := decode(t, pair(`,"max_age_seconds":`+text)).MaxAge; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestDecodeRequest_ReadsEscapes(t *testing.T) {
	t.Parallel()
	req := decode(t, `{"request_id":"\u0041\/\"","corp_\u0069d":"\u0077w1","kind":"\u0073ingle","items":[{"open_useri\u0064":"\u0041","external_userid":"wm\u0031"}],"context":"\u0041"}`)
	want := schemas.Item{OpenUserID: "A", ExternalUserID: "wm1"}
	if req.ID != `A/"` || req.CorpID != "ww1" || req.Kind != schemas.Single || req.Items[0] != want {
		t.Errorf("%+v", req)
	}
	if req.Context != `"\u0041"` {
		t.Errorf("context %s is not as sent", req.Context)
	}
}

func TestDecodeRequest_KeepsNothingOfTheCallersBuffers(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		items(`{"open_userid":"a","external_userid":"wm1"},{"open_userid":"\u0062","external_userid":"*"}`),
		room(`,"chatid":"wr1","max_age_seconds":1.5`),
		room(`,"chatid":"wr1","note":1,"note":2`),
	} {
		key, buf := []byte("ww1"), []byte(value)
		headers := []schemas.Header{{Key: schemas.HeaderRequestID, Value: []byte("r-2")}}
		want, wantErr := schemas.DecodeRequest(nil, []byte(value), headers)
		got, err := schemas.DecodeRequest(key, buf, headers)
		for _, b := range [][]byte{key, buf, headers[0].Value} {
			for i := range b {
				b[i] = '#'
			}
		}
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(err, wantErr) {
			t.Errorf("got %+v %v, want %+v %v", got, err, want, wantErr)
		}
	}
}

func TestDecodeRequest_IsStrictAgainAfterABadRequest(t *testing.T) {
	t.Parallel()
	for range 100 { // readers are reused
		for _, value := range []string{pair(`,"note":1,"note":2`), pair(",\"note\":\"\xff\""), `{`, pair(``) + `x`} {
			if _, err := schemas.DecodeRequest(nil, []byte(value), nil); err == nil {
				t.Fatalf("%s: no error", value)
			}
		}
		if req := decode(t, pair(``)); len(req.Items) != 1 {
			t.Fatalf("%+v", req)
		}
	}
}

// jsonField is a field of an object in the making, its value as text.
type jsonField struct{ name, text string }

func objectText(fields []jsonField, space string) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteString("," + space)
		}
		b.WriteString(strconv.Quote(f.name) + space + ":" + space + f.text)
	}
	return "{" + space + b.String() + space + "}"
}

var (
	fieldNames = []string{
		"request_id", "corp_id", "kind", "open_userid", "external_userid", "chatid", "items", "max_age_seconds", "context", "note", "Kind",
	}
	// oddValues has what a sender may put anywhere by mistake, and what is right somewhere.
	oddValues = []string{
		`null`, `true`, `0`, `-0`, `1.0`, `1.5`, `-1`, `3e3`, `31536000`, `31536001`, `1e400`, `""`, `"a"`, `"a b"`, `"a/b"`, `"é"`, `"a\n"`,
		`"\u0041"`, `"single"`, `"room"`, `"Room"`, `"` + strings.Repeat("x", 128) + `"`, `"` + strings.Repeat("x", 129) + `"`,
		`{}`, `{"a":[]}`, `[]`, `[null]`, `[[]]`, `[{}]`, `["a"]`, `[{"open_userid":"a","external_userid":"wm1"}]`,
		`[{"open_userid":"a","external_userid":null}]`, `[{"open_userid":1,"external_userid":"wm1"}]`,
		`[{"open_userid":"a","external_userid":"wm1","more":1},{"open_userid":"a"}]`,
		`[` + strings.Repeat(`{"open_userid":"a","external_userid":"wm1"},`, schemas.MaxItems-1) + `{"open_userid":"a","external_userid":"wm1"}]`,
		`[` + strings.Repeat(`{"open_userid":"a","external_userid":"wm1"},`, schemas.MaxItems) + `{"open_userid":"a","external_userid":"wm1"}]`,
	}
	// genRequestText writes a valid request and then spoils it, in no way, one or several: well-formed JSON in any case.
	genRequestText = rapid.Custom(func(t *rapid.T) string {
		quoted := rapid.Map(genID, strconv.Quote)
		fields := []jsonField{{"corp_id", quoted.Draw(t, "corp_id")}}
		switch rapid.IntRange(0, 2).Draw(t, "form") {
		case 0:
			fields = append(fields, jsonField{"kind", `"single"`},
				jsonField{"open_userid", quoted.Draw(t, "open_userid")}, jsonField{"external_userid", quoted.Draw(t, "external_userid")})
		case 1:
			var list []string
			for range rapid.IntRange(1, 4).Draw(t, "items") {
				list = append(list, objectText([]jsonField{
					{"open_userid", quoted.Draw(t, "open_userid")}, {"external_userid", quoted.Draw(t, "external_userid")},
				}, ""))
			}
			fields = append(fields, jsonField{"kind", `"single"`}, jsonField{"items", "[" + strings.Join(list, ",") + "]"})
		case 2:
			fields = append(fields, jsonField{"kind", `"room"`}, jsonField{"chatid", quoted.Draw(t, "chatid")})
		}
		if rapid.Bool().Draw(t, "more") {
			fields = append(fields, jsonField{"request_id", `"r-1"`}, jsonField{"max_age_seconds", `60`}, jsonField{"context", `[1, {"a" : 1}]`})
		}
		for range rapid.IntRange(0, 3).Draw(t, "mistakes") {
			name := rapid.SampledFrom(fieldNames).Draw(t, "field")
			value := rapid.SampledFrom(oddValues)
			if name == "context" { // how long it is a schema can't say
				value = value.Filter(func(text string) bool { return len(text) <= schemas.MaxContextBytes })
			}
			at := -1
			for i := range fields {
				if fields[i].name == name {
					at = i
				}
			}
			switch {
			case at < 0:
				fields = append(fields, jsonField{name, value.Draw(t, "value")})
			case rapid.Bool().Draw(t, "drop"):
				fields = append(fields[:at], fields[at+1:]...)
			default:
				fields[at].text = value.Draw(t, "value")
			}
		}
		fields = rapid.Permutation(fields).Draw(t, "order")
		return objectText(fields, rapid.SampledFrom([]string{"", " ", "\r\n\t"}).Draw(t, "space"))
	})
)

// checkVerdict compares the decoder's verdict with the schema's, and returns it.
func checkVerdict(t rapid.TB, sch schema, text string) bool {
	t.Helper()
	schemaErr := sch.validate([]byte(text))
	req, err := schemas.DecodeRequest(nil, []byte(text), nil)
	accepted := err == nil
	for _, it := range req.Items { // an invalid item fails alone, which a schema can't say
		accepted = accepted && it.Problem == ""
	}
	if accepted != (schemaErr == nil) {
		t.Fatalf("%.1000s\nby the schema: %v\nby the decoder: %v", text, schemaErr, err)
	}
	return accepted
}

func TestDecodeRequest_AcceptsWhatTheSchemaAccepts(t *testing.T) {
	t.Parallel()
	sch := loadSchema(t, "request")
	verdicts := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		verdicts[checkVerdict(t, sch, genRequestText.Draw(t, "request"))]++
	})
	if verdicts[true] == 0 || verdicts[false] == 0 {
		t.Errorf("%v: the requests are too much alike", verdicts)
	}
}

func TestDecodeRequest_AgreesWithTheSchemaOnEveryOddValueOfEveryField(t *testing.T) {
	t.Parallel()
	sch := loadSchema(t, "request")
	for _, fields := range [][]jsonField{
		{{"corp_id", `"ww1"`}, {"kind", `"single"`}, {"open_userid", `"a"`}, {"external_userid", `"wm1"`}},
		{{"corp_id", `"ww1"`}, {"kind", `"single"`}, {"items", `[{"open_userid":"a","external_userid":"wm1"}]`}},
		{{"corp_id", `"ww1"`}, {"kind", `"room"`}, {"chatid", `"wr1"`}},
	} {
		for _, name := range fieldNames {
			others := slices.DeleteFunc(slices.Clone(fields), func(f jsonField) bool { return f.name == name })
			checkVerdict(t, sch, objectText(others, ""))
			for _, value := range oddValues {
				if name != "context" || len(value) <= schemas.MaxContextBytes {
					checkVerdict(t, sch, objectText(append(slices.Clone(others), jsonField{name, value}), ""))
				}
			}
		}
	}
}

// What is valid must fit into what it may become: its dead letter, or a parked or forwarded request.
func TestRequestBytes_WhatIsKeptOfAValidRequestIsBounded(t *testing.T) {
	t.Parallel()
	value := []byte(`{"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm1"}`)
	many := func(n int, h schemas.Header) []schemas.Header { return slices.Repeat([]schemas.Header{h}, n) }
	replayed := []schemas.Header{
		{Key: "consentd-replay-id", Value: []byte("20261125T000000Z-" + strings.Repeat("x", 40))},
		{Key: "consentd-replay-count", Value: []byte("3")},
		{Key: "consentd-replay-from", Value: []byte(strings.Repeat("t", 249) + "/1000/123456789")},
	}
	full := append(replayed, schemas.Header{Key: "consentd-error", Value: []byte(strings.Repeat("e", 1024))},
		schemas.Header{Key: "filler", Value: []byte(strings.Repeat("f", schemas.MaxRecordBytes-len(value)-len("filler")))})
	for name, tt := range map[string]struct {
		headers []schemas.Header
		valid   bool
	}{
		"a replayed one of the full size":     {full, true},
		"a large header that looks like ours": {many(1, schemas.Header{Key: "consentd-replay-x", Value: []byte(strings.Repeat("x", 3<<20))}), false},
		"many that do":                        {many(100_000, schemas.Header{Key: "consentd-replay-id", Value: []byte("1")}), false},
		"very many empty ones":                {many(1_500_000, schemas.Header{}), false},
		"one that is dropped":                 {many(1, schemas.Header{Key: "consentd-x", Value: []byte(strings.Repeat("x", 3<<20))}), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schemas.DecodeRequest(nil, value, tt.headers)
			if (err == nil) != tt.valid {
				t.Fatalf("valid %t, want %t: %v", err == nil, tt.valid, err)
			}
			trail := schemas.Trail{Failure: schemas.Failure{Class: schemas.NotFound, Message: strings.Repeat("m", 2000)}}
			kept := trail.AppendHeaders(nil, tt.headers)
			if n := schemas.RecordBytes(nil, value, kept) + 10*len(kept); tt.valid && n > 2<<20 {
				t.Errorf("its dead letter has %d bytes", n)
			}
		})
	}
}
