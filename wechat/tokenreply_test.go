package wechat

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func TestTokenReply_AnErrcodeCountsWhateverElseIsThere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"errcode":40001}`, `{"errcode":40001,"errmsg":7,"access_token":[]}`, `{"expires_in":"x","errcode":40001}`,
		`{"errcode":40001,"errmsg":"` + "\xff" + `"}`, `{"errcode":40001,"errmsg":"a","errmsg":"b"}`, " {\"errcode\" : 40001}\r\n",
	} {
		var r tokenReply
		if v, err := r.decode([]byte(body)); v.errcode != 40001 || err != nil {
			t.Errorf("%q: got errcode %d, %v: want 40001", body, v.errcode, err)
		}
	}
}

func FuzzTokenReply(f *testing.F) {
	for _, reply := range []string{
		`{"errcode":0,"errmsg":"ok","access_token":"t","expires_in":7200}`, `{"suite_access_token":"t","expires_in":-1}`,
		`{"errcode":40001,"access_token":5}`, `{"errcode":1e3}`, `{"expires_in":9223372036854775807}`, `[]`, `{"errcode":"x"}`,
		`{"errcode":40001,"errmsg":"` + "\xff" + `"}`, `{"errcode":1,"errcode":0,"access_token":"t"}`, `{"errmsg":"t","access_token":"t"}`,
		`{"x":1e700,"access_token":"t"}`,
	} {
		f.Add([]byte(reply))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		var r tokenReply
		v, err := r.decode(body)
		if string(body) != before {
			t.Fatal("the body was changed")
		}
		if life := r.life(); life < 0 || life > maxLife || life%time.Second != 0 {
			t.Errorf("life %s", life)
		}
		if err != nil {
			if v != (verdict{}) || r != (tokenReply{}) {
				t.Errorf("got %v and %v beside the error %v", v, r, err)
			}
			return
		}
		// What was taken, an independent decoder takes too, and it sees the same.
		var plain map[string]any
		numbers := json.NewDecoder(bytes.NewReader(body))
		numbers.UseNumber()
		if err := numbers.Decode(&plain); err != nil {
			t.Fatalf("taken, but not by encoding/json: %v", err)
		}
		code, _ := plain["errcode"].(json.Number)
		token, _ := plain["access_token"].(string)
		suiteToken, _ := plain["suite_access_token"].(string)
		if n, _ := code.Int64(); int64(v.errcode) != n {
			t.Errorf("errcode %d, want %s", v.errcode, code)
		}
		if r != (tokenReply{}) && (r.AccessToken != token || r.SuiteAccessToken != suiteToken) {
			t.Errorf("tokens %q and %q, want %q and %q", r.AccessToken, r.SuiteAccessToken, token, suiteToken)
		}
		if r == (tokenReply{}) && v.errcode == 0 && (token != "" || suiteToken != "") {
			t.Errorf("no token taken of %q", body)
		}
	})
}
