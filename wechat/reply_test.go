package wechat

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"consentd/schemas"
)

func TestDecodeReply_TakesWhatTheAPISays(t *testing.T) {
	t.Parallel()
	consent := func(word string, at int64) schemas.Consent {
		return schemas.Consent{AgreeStatus: word, StatusChangeTime: at}
	}
	for _, tt := range []struct {
		name, agreeinfo string
		kind            entryKind
		want            []PairConsent
	}{
		{
			"order and repeats as sent", `[
			{"status_change_time" : 2, "open_userid":"b","external_userid":"y","agree_status":"Disagree"},
			{"agree_status":"Agree","external_userid":"x","open_userid":"a","status_change_time":1},
			{"agree_status":"Agree","external_userid":"x","open_userid":"a","status_change_time":1}]`, entryIsPair,
			[]PairConsent{{"b", "y", consent("Disagree", 2)}, {"a", "x", consent("Agree", 1)}, {"a", "x", consent("Agree", 1)}},
		},
		{
			"no time", `[{"open_userid":"a","external_userid":"x","agree_status":"Agree"}]`, entryIsPair,
			[]PairConsent{{"a", "x", consent("Agree", 0)}},
		},
		{
			"null time", `[{"open_userid":"a","external_userid":"x","agree_status":"Agree","status_change_time":null}]`, entryIsPair,
			[]PairConsent{{"a", "x", consent("Agree", 0)}},
		},
		{
			"negative time", `[{"open_userid":"a","external_userid":"x","agree_status":"Agree","status_change_time":-5}]`, entryIsPair,
			[]PairConsent{{"a", "x", consent("Agree", 0)}},
		},
		{
			"unknown words verbatim, an empty one is none", `[{"open_userid":"a","external_userid":"x","agree_status":"Default_Agree"},{"open_userid":"a","external_userid":"y","agree_status":"同意\u0021"},{"open_userid":"a","external_userid":"z","agree_status":""}]`, entryIsPair,
			[]PairConsent{{"a", "x", consent("Default_Agree", 0)}, {"a", "y", consent("同意!", 0)}},
		},
		{
			"unknown fields ignored", `[{"x":{"agree_status":1},"open_userid":"a","external_userid":"x","agree_status":"Agree","y":[1,2]}]`, entryIsPair,
			[]PairConsent{{"a", "x", consent("Agree", 0)}},
		},
		{
			"escaped names and ids", `[{"open\u005fuserid":"\u0061","external_userid":"x\"","agree_status":"Agree"}]`, entryIsPair,
			[]PairConsent{{"a", `x"`, consent("Agree", 0)}},
		},
		{
			"incomplete pairs left out", `[{"open_userid":"a","external_userid":"x"},{"open_userid":"a","agree_status":"Agree"},{"external_userid":"x","agree_status":"Agree"},{},{"open_userid":"a","external_userid":"x","agree_status":null},{"open_userid":null,"external_userid":"x","agree_status":"Agree"},{"open_userid":"a","external_userid":"y","agree_status":"Agree"}]`, entryIsPair,
			[]PairConsent{{"a", "y", consent("Agree", 0)}},
		},
		{
			"members", `[{"external_userid":"x","agree_status":"Agree","status_change_time":9,"open_userid":7}]`, entryIsMember,
			[]PairConsent{{"", "x", consent("Agree", 9)}},
		},
		{"nobody", `[]`, entryIsMember, []PairConsent{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, reply := range []string{
				`{"errcode":0,"errmsg":"ok","agreeinfo":` + tt.agreeinfo + `}`,
				` {"agreeinfo":` + tt.agreeinfo + `,"more":{"errcode":1},"errmsg":null,"errcode":0}` + "\n",
			} {
				v, got, err := decodeReply([]byte(reply), tt.kind)
				if err != nil || v.errcode != 0 || !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%s\ngot %+v, errcode %d, error %v; want %+v", reply, got, v.errcode, err, tt.want)
				}
			}
		})
	}
}

func TestDecodeReply_RefusesWhatItCanNotTrust(t *testing.T) {
	t.Parallel()
	entry := func(e string) string { return `{"errcode":0,"agreeinfo":[` + e + `]}` }
	for _, tt := range []struct{ name, reply, says string }{
		{"word a number", entry(`{"open_userid":"a","external_userid":"x","agree_status":1}`), "agree_status is a number: want a string"},
		{"word a boolean", entry(`{"open_userid":"a","external_userid":"x","agree_status":true}`), "agree_status is a boolean"},
		{"id a number", entry(`{"open_userid":"a","external_userid":5,"agree_status":"Agree"}`), "external_userid is a number"},
		{"id an object", entry(`{"open_userid":"a","external_userid":{},"agree_status":"Agree"}`), "external_userid is an object"},
		{"time a string", entry(`{"open_userid":"a","external_userid":"x","agree_status":"Agree","status_change_time":"1"}`), "status_change_time is a string"},
		{"time a fraction", entry(`{"open_userid":"a","external_userid":"x","agree_status":"Agree","status_change_time":1.5}`), "status_change_time: want an integer"},
		{"time too large", entry(`{"open_userid":"a","external_userid":"x","agree_status":"Agree","status_change_time":9223372036854775808}`), "64 bits"},
		{"entry a string", entry(`"x"`), "an entry is a string: want an object"},
		{"entry null", entry(`null`), "an entry is null"},
		{"two words", entry(`{"open_userid":"a","external_userid":"x","agree_status":"Disagree","agree_status":"Agree"}`), "duplicate"},
		{"trailing comma", entry(`{"open_userid":"a","external_userid":"x","agree_status":"Agree",}`), "invalid character"},
		{"no agreeinfo", `{"errcode":0,"errmsg":"ok"}`, "no agreeinfo"},
		{"agreeinfo null", `{"errcode":0,"agreeinfo":null}`, "agreeinfo is null: want an array"},
		{"agreeinfo an object", `{"errcode":0,"agreeinfo":{}}`, "agreeinfo is an object"},
		{"errcode too large", `{"errcode":2147483648,"agreeinfo":[]}`, "32 bits"},
		{"an array", `[{"errcode":0}]`, "the reply is an array"},
		{"two values", `{"errcode":0,"agreeinfo":[]}{}`, "bytes after"},
		{"bad UTF-8", `{"errcode":0,"errmsg":"` + "\xff" + `","agreeinfo":[]}`, "UTF-8"},
		{"half a surrogate", `{"errcode":0,"errmsg":"\ud800","agreeinfo":[]}`, "invalid"},
	} {
		for _, kind := range []entryKind{entryIsPair, entryIsMember} {
			_, got, err := decodeReply([]byte(tt.reply), kind)
			if err == nil || !strings.Contains(err.Error(), tt.says) || got != nil {
				t.Errorf("%s: got %v, %v; want nothing and an error with %q", tt.name, got, err, tt.says)
			}
		}
	}
	for _, member := range []string{`{"external_userid":"x"}`, `{"agree_status":"Agree"}`, `{"external_userid":"","agree_status":"Agree"}`} {
		if _, got, err := decodeReply([]byte(entry(member)), entryIsMember); err == nil || got != nil {
			t.Errorf("member %s: got %v, %v; want an error: nobody may leave a room unseen", member, got, err)
		}
	}
}

func TestDecodeReply_AnErrcodeCountsWhateverElseIsThere(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		`{"errcode":48002}`,
		`{"agreeinfo":null,"errcode":48002,"errmsg":7}`,
		`{"errmsg":"x","agreeinfo":"","errcode":48002}`,
		`{"errcode":48002,"agreeinfo":[{"agree_status":7}]}`,
	} {
		v, got, err := decodeReply([]byte(reply), entryIsPair)
		if err != nil || v.errcode != 48002 || got != nil {
			t.Errorf("%s: got errcode %d, %v, %v; want 48002", reply, v.errcode, got, err)
		}
	}
}

// It is not parallel: other tests' allocations would count.
func TestDecodeReply_TakesFewAllocations(t *testing.T) {
	body := fullReply(MaxPairs)
	allocs := testing.AllocsPerRun(100, func() {
		if _, _, err := decodeReply(body, entryIsPair); err != nil {
			t.Fatal(err)
		}
	})
	// One copy of the reply and one list; under the race detector the pool forgets every fourth reader, with its buffers.
	if allocs > 50 {
		t.Errorf("%.0f allocations for %d pairs: want at most 50", allocs, MaxPairs)
	}
}

// plainReply is the same reply as encoding libraries see it.
type plainReply struct {
	Errcode   *int32 `json:"errcode"`
	Errmsg    any    `json:"errmsg"`
	Agreeinfo *[]struct {
		OpenUserID       string `json:"open_userid"`
		ExternalUserID   string `json:"external_userid"`
		AgreeStatus      string `json:"agree_status"`
		StatusChangeTime int64  `json:"status_change_time"`
	} `json:"agreeinfo"`
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(pairReply))
	f.Add([]byte(memberReply))
	f.Add(fullReply(2))
	f.Add([]byte(`{"errcode":48002,"errmsg":"\u0041","agreeinfo":null}`))
	f.Add([]byte(`{"agreeinfo":[{}],"errcode":0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []entryKind{entryIsPair, entryIsMember} {
			before := string(body)
			v, got, err := decodeReply(body, kind)
			if string(body) != before {
				t.Fatal("the body was changed")
			}
			if err != nil {
				if got != nil || v != (verdict{}) {
					t.Fatalf("got %v, %v beside the error %v", v, got, err)
				}
				continue
			}
			// What was taken, an independent decoder takes too, and it sees the same.
			var plain plainReply
			if plainErr := json.Unmarshal(body, &plain); plainErr != nil {
				if kind == entryIsMember || v.errcode != 0 || v.warns() {
					continue // fields that were rightly not looked at
				}
				// Null stands for absent, and unknown times are 0: only the independent decoder's strictness differs.
				t.Fatalf("taken, but not by encoding/json: %v", plainErr)
			}
			if plain.Errcode == nil || int(*plain.Errcode) != v.errcode {
				t.Fatalf("errcode %d, want %v", v.errcode, plain.Errcode)
			}
			if v.errcode != 0 || plain.Agreeinfo == nil {
				continue
			}
			i := 0
			for _, e := range *plain.Agreeinfo {
				if i < len(got) && got[i].ExternalUserID == e.ExternalUserID && got[i].AgreeStatus == e.AgreeStatus &&
					(kind == entryIsMember || got[i].OpenUserID == e.OpenUserID) &&
					got[i].StatusChangeTime == max(e.StatusChangeTime, 0) {
					i++
				}
			}
			if i != len(got) {
				t.Fatalf("entry %d of %+v is not in the reply", i, got)
			}
		}
	})
}

func fullReply(pairs int) []byte {
	b := []byte(`{"errcode":0,"errmsg":"ok","agreeinfo":[`)
	for i := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"status_change_time":1562766651,"open_userid":"woAAAAXuJinSheng%016d",`+
			`"external_userid":"wmeDKaCPAAGdvxci%016d","agree_status":"Agree"}`, i%7, i)
	}
	return append(b, "]}"...)
}

// BenchmarkDecodeReply measures a reply of 100 pairs; BenchmarkPlainDecodeReply is what it is to be cheaper than.
func BenchmarkDecodeReply(b *testing.B) {
	body := fullReply(MaxPairs)
	b.ReportAllocs()
	for b.Loop() {
		if _, got, err := decodeReply(body, entryIsPair); err != nil || len(got) != MaxPairs {
			b.Fatal(len(got), err)
		}
	}
}

func BenchmarkPlainDecodeReply(b *testing.B) {
	body := fullReply(MaxPairs)
	b.ReportAllocs()
	for b.Loop() {
		var plain plainReply
		if err := json.Unmarshal(body, &plain); err != nil || len(*plain.Agreeinfo) != MaxPairs {
			b.Fatal(err)
		}
	}
}

func BenchmarkSingleBody(b *testing.B) {
	c := &Client{open: []byte(`{"item":[`)}
	pairs := make([]Pair, MaxPairs)
	for i := range pairs {
		pairs[i] = Pair{fmt.Sprintf("woAAAAXuJinSheng%016d", i%7), fmt.Sprintf("wmeDKaCPAAGdvxci%016d", i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.singleBody(pairs)
	}
}
