package schemas_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"consentd/schemas"
)

var (
	isID        = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,128}$`)
	isRequestID = regexp.MustCompile(`^[ -~]{1,280}$`)
)

// addExamples seeds with the contract's examples.
func addExamples(f *testing.F, pattern string, add func(text []byte)) {
	f.Helper()
	files, err := filepath.Glob("testdata/" + pattern)
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(text)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	addExamples(f, "request-*.json", func(text []byte) { f.Add(text, "", "", "") })
	for _, value := range []string{
		"", "null", pair(`,"note":1,"note":2`), pair(",\"note\":\"\xff\""), pair(`,"note":"\ud800"`), pair(`}`), items(`{},null,[],1`),
		replace(`{"k":1}`, `{"k":1,"k":2}`), room(`,"chatid":1,"max_age_seconds":1e3`), "\xef\xbb\xbf{}", `{"request_id":"r-1","context":[1,`,
	} {
		f.Add([]byte(value), "r-1", "0", "1")
	}
	f.Add([]byte(items(`{"open_userid":"a","external_userid":"wm1"},{}`)), "r-1", "3,17", "20")
	f.Fuzz(func(t *testing.T, value []byte, requestID, indexes, count string) {
		var headers []schemas.Header
		for _, h := range []struct{ key, value string }{
			{schemas.HeaderRequestID, requestID}, {schemas.HeaderItemIndexes, indexes}, {schemas.HeaderItemCount, count},
		} {
			if h.value != "" {
				headers = append(headers, schemas.Header{Key: h.key, Value: []byte(h.value)})
			}
		}
		req, err := schemas.DecodeRequest(nil, value, headers)
		if req.ID != "" && !isRequestID.MatchString(req.ID) {
			t.Errorf("request id %q", req.ID)
		}
		if req.Context != "" && (len(req.Context) > schemas.MaxContextBytes || !json.Valid([]byte(req.Context))) {
			t.Errorf("context %q", req.Context)
		}
		if err != nil {
			checkRefused(t, req, err)
			return
		}
		checkAccepted(t, req, value)
	})
}

// checkRefused makes sure that the sender can be told.
func checkRefused(t *testing.T, req schemas.Request, err error) {
	t.Helper()
	var invalid *schemas.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || slices.Contains(invalid.Problems, "") {
		t.Fatalf("error %#v", err)
	}
	if len(req.Items) != 0 || req.Raw != "" {
		t.Errorf("%+v", req)
	}
	f := schemas.Failure{Class: schemas.InvalidRequest, Message: err.Error()}
	env := schemas.Envelope{Request: schemas.RequestRef{ID: req.ID, Count: 1}, Context: req.Context}
	if event := schemas.AppendFailed(nil, schemas.Conversation{}, &f, time.Unix(1, 0), &env); !json.Valid(event) {
		t.Errorf("event %s", event)
	}
}

func checkAccepted(t *testing.T, req schemas.Request, value []byte) {
	t.Helper()
	if !json.Valid(value) || req.Raw != string(value) {
		t.Errorf("value %q, raw %q", value, req.Raw)
	}
	if !isID.MatchString(req.CorpID) || len(req.Items) == 0 || len(req.Items) > schemas.MaxItems || req.Count < len(req.Items) ||
		req.MaxAge < 0 || req.MaxAge > schemas.MaxAge || req.MaxAge%time.Second != 0 {
		t.Errorf("%+v", req)
	}
	last := -1
	for i, it := range req.Items {
		if it.Index <= last || it.Index >= req.Count {
			t.Errorf("index %d after %d of %d", it.Index, last, req.Count)
		}
		last = it.Index
		var valid bool
		switch req.Kind {
		case schemas.Single:
			valid = isID.MatchString(it.OpenUserID) && isID.MatchString(it.ExternalUserID) && it.ChatID == ""
		case schemas.Room:
			valid = isID.MatchString(it.ChatID) && it.OpenUserID == "" && it.ExternalUserID == "" && len(req.Items) == 1
		}
		if valid != (it.Problem == "") {
			t.Errorf("%+v", it)
		}
		if valid {
			if c, err := schemas.ParseKey(req.Conversation(i).Key()); err != nil || c != req.Conversation(i) {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}

func FuzzDecodeStatus(f *testing.F) {
	addExamples(f, "status-*.json", func(text []byte) {
		f.Add(text, true)
		f.Add(text, false)
	})
	f.Fuzz(func(t *testing.T, value []byte, ofRoom bool) {
		kind := schemas.Single
		if ofRoom {
			kind = schemas.Room
		}
		s, err := schemas.DecodeStatus(kind, value)
		if err != nil {
			return
		}
		if s.Version < 0 || s.CheckedAt.IsZero() || (kind == schemas.Room) != (s.AgreeStatus == "") {
			t.Fatalf("%+v", s)
		}
		if year := s.CheckedAt.UTC().Year(); year < 1970 || year > 9999 {
			return // a time that no program of ours wrote
		}
		again, err := schemas.DecodeStatus(kind, schemas.AppendStatus(nil, kind, &s))
		if err != nil || again.Consent != s.Consent || !slices.Equal(again.Members, s.Members) || again.Version != s.Version ||
			!again.CheckedAt.Equal(s.CheckedAt.Truncate(time.Millisecond)) {
			t.Fatalf("%+v became %+v %v", s, again, err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, key := range []string{"", "ww1/single/a/wm1", "ww1/room/wr1", "ww1/room/wr1/", "//", "ww1/single/a", "a/b/c/d/e"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		c, err := schemas.ParseKey(key)
		if err != nil {
			if c != (schemas.Conversation{}) {
				t.Errorf("%+v with an error", c)
			}
			return
		}
		if c.Key() != key || c.ValidIDs() != c || !isID.MatchString(c.CorpID) {
			t.Errorf("%q became %+v", key, c)
		}
	})
}

func FuzzNarrow(f *testing.F) {
	addExamples(f, "request-*.json", func(text []byte) { f.Add(text, uint64(2)) })
	f.Add([]byte(items(`{},{"open_userid":"a"},{"x":[{}]}`)), uint64(5))
	f.Add([]byte(`["items",[1,2],{}]`), uint64(1))
	f.Add([]byte(`{"items":[1,2`), uint64(1))
	f.Fuzz(func(t *testing.T, value []byte, choice uint64) {
		req, err := schemas.DecodeRequest(nil, value, nil)
		if err != nil {
			_, _ = schemas.Narrow(value, []int{0, 1}) // whatever it returns, it returns
			return
		}
		var keep []int
		var want []schemas.Item
		for place, it := range req.Items {
			if choice>>(place%64)&1 == 1 {
				keep, want = append(keep, place), append(want, it)
			}
		}
		if len(keep) == 0 {
			return
		}
		narrowed, err := schemas.Narrow(value, keep)
		if err != nil {
			t.Fatal(err)
		}
		part, err := schemas.DecodeRequest(nil, narrowed, indexHeaders(keep, len(req.Items)))
		if err != nil {
			t.Fatalf("%s: %v", narrowed, err)
		}
		if !slices.Equal(part.Items, want) || part.Count != req.Count || part.ID != req.ID || part.Context != req.Context {
			t.Fatalf("%s became %s", value, narrowed)
		}
	})
}
