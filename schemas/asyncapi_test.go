package schemas_test

import (
	"encoding/json"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"consentd/schemas"
)

func loadAsyncAPI(t *testing.T) map[string]any {
	t.Helper()
	text, err := schemas.FS.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.UnmarshalWithOptions(text, &doc, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at follows a path of names through objects; nil when there is no such thing.
func at(v any, names ...string) any {
	for _, name := range names {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func names(object any) []string {
	m, _ := object.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

func texts(list any) []string {
	var texts []string
	values, _ := list.([]any)
	for _, v := range values {
		s, _ := v.(string)
		texts = append(texts, s)
	}
	return texts
}

func TestAsyncAPI_ReferencesLeadSomewhere(t *testing.T) {
	t.Parallel()
	doc := loadAsyncAPI(t)
	files := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for name, e := range v {
				ref, isRef := e.(string)
				if name != "$ref" || !isRef {
					walk(e)
					continue
				}
				if pointer, inside := strings.CutPrefix(ref, "#/"); inside {
					if at(doc, strings.Split(pointer, "/")...) == nil {
						t.Errorf("%s leads nowhere", ref)
					}
					continue
				}
				files[path.Clean(ref)] = true
			}
		}
	}
	walk(doc)
	want := []string{"changed.schema.json", "checked.schema.json", "failed.schema.json", "request.schema.json", "status.schema.json"}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("refers to %v, want %v", got, want)
	}
	for file := range files {
		loadSchema(t, strings.TrimSuffix(file, ".schema.json"))
	}
}

func TestAsyncAPI_NamesTheContractsTopics(t *testing.T) {
	t.Parallel()
	doc := loadAsyncAPI(t)
	want := map[string]any{
		"requests":    "consent.requests",
		"results":     "consent.results",
		"changes":     nil,
		"status":      "consent.status",
		"forward":     "consent.forward",
		"retry":       "consent.retry-{delay}",
		"deadLetters": "consent.dead-letters",
	}
	got := map[string]any{}
	for _, channel := range names(doc["channels"]) {
		got[channel] = at(doc, "channels", channel, "address")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAsyncAPI_HeadersAreThoseTheProgramWrites(t *testing.T) {
	t.Parallel()
	doc := loadAsyncAPI(t)
	keys := func(headers []schemas.Header) []string {
		var keys []string
		for _, h := range headers {
			keys = append(keys, h.Key)
		}
		slices.Sort(keys)
		return keys
	}
	event := schemas.NewEventHeaders(schemas.SourceOf("consentd"))
	origin, first := schemas.Origin{Topic: "t"}, time.Unix(1, 0)
	deadLetter := schemas.Trail{
		Failure: schemas.Failure{Class: schemas.NotFound, Errcode: 1}, Origin: origin, FirstAttemptAt: first, RequestID: "r-1", Indexes: []int{1}, Count: 2, Truncated: 1,
	}
	why := schemas.Failure{Class: schemas.Transient}
	forwarded := schemas.Trail{
		Origin: origin, FirstAttemptAt: first, RequestID: "r-1", Indexes: []int{1}, Count: 2, HasKey: true, Command: schemas.CommandForget,
	}
	parked := schemas.Trail{
		Failure: deadLetter.Failure, Origin: origin, FirstAttemptAt: first, NotBefore: time.Unix(1, 0), RequestID: "r-1", Indexes: []int{1}, Count: 2, HasKey: true,
	}
	trace := []schemas.Header{{Key: schemas.HeaderTraceParent}}
	for name, want := range map[string]struct{ always, all []string }{
		"eventHeaders": {
			always: keys(event.Of(schemas.TypeFailed, []byte("id"), nil, time.Unix(1, 0), nil)),
			all:    keys(event.Of(schemas.TypeFailed, []byte("id"), []byte("subject"), time.Unix(1, 0), []byte("trace"))),
		},
		"deadLetterHeaders": {
			always: keys((&schemas.Trail{Failure: why, Origin: origin, FirstAttemptAt: first}).AppendHeaders(nil, nil)),
			all:    keys(deadLetter.AppendHeaders(nil, trace)),
		},
		"parkedHeaders": {
			always: keys((&schemas.Trail{Failure: why, Origin: origin, FirstAttemptAt: first, NotBefore: time.Unix(1, 0), HasKey: true}).AppendHeaders(nil, nil)),
			all:    keys(parked.AppendHeaders(nil, trace)),
		},
		"forwardedHeaders": {
			always: keys((&schemas.Trail{}).AppendHeaders(nil, nil)),
			all:    keys(forwarded.AppendHeaders(nil, trace)),
		},
		"requestHeaders": {
			all: []string{schemas.HeaderItemCount, schemas.HeaderItemIndexes, schemas.HeaderRequestID, schemas.HeaderTraceParent},
		},
	} {
		object := at(doc, "components", "schemas", name)
		if got := names(at(object, "properties")); !slices.Equal(got, want.all) {
			t.Errorf("%s: %q, want %q", name, got, want.all)
		}
		required := texts(at(object, "required"))
		slices.Sort(required)
		if !slices.Equal(required, want.always) {
			t.Errorf("%s: required %q, want %q", name, required, want.always)
		}
	}
	types := texts(at(doc, "components", "schemas", "eventHeaders", "properties", schemas.HeaderType, "enum"))
	if want := []string{schemas.TypeChecked, schemas.TypeFailed, schemas.TypeChanged}; !slices.Equal(types, want) {
		t.Errorf("types %q, want %q", types, want)
	}
}

func TestAsyncAPI_EveryMessageSaysItsKeyAndEveryOperationItsChannel(t *testing.T) {
	t.Parallel()
	doc := loadAsyncAPI(t)
	for _, message := range names(at(doc, "components", "messages")) {
		if at(doc, "components", "messages", message, "bindings", "kafka", "key") == nil {
			t.Errorf("message %s says nothing of its key", message)
		}
	}
	used := map[string]bool{}
	for _, operation := range names(doc["operations"]) {
		ref, _ := at(doc, "operations", operation, "channel", "$ref").(string)
		used[strings.TrimPrefix(ref, "#/channels/")] = true
	}
	if got, want := slices.Sorted(maps.Keys(used)), names(doc["channels"]); !slices.Equal(got, want) {
		t.Errorf("operations on %q, channels are %q", got, want)
	}
}

func TestAsyncAPI_ConversationKeysAreThoseThatParse(t *testing.T) {
	t.Parallel()
	pattern, _ := at(loadAsyncAPI(t), "components", "schemas", "conversationKey", "pattern").(string)
	isKey := regexp.MustCompile(pattern)
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(
			rapid.Map(genConversation, schemas.Conversation.Key),
			rapid.StringMatching(`(ww1|)(/(single|room|a|é|))*(/[a*]{0,130}){0,3}`),
		).Draw(t, "key")
		if _, err := schemas.ParseKey(key); (err == nil) != isKey.MatchString(key) {
			t.Fatalf("%q: %v", key, err)
		}
	})
}

func TestClasses_AreTheSameInSchemaAsyncAPIAndCode(t *testing.T) {
	t.Parallel()
	var want []string
	for _, class := range schemas.Classes() {
		want = append(want, string(class))
	}
	text, err := schemas.FS.ReadFile("failed.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var failed any
	if err := json.Unmarshal(text, &failed); err != nil {
		t.Fatal(err)
	}
	if got := texts(at(failed, "$defs", "error", "properties", "class", "enum")); !slices.Equal(got, want) {
		t.Errorf("failed.schema.json: %q, want %q", got, want)
	}
	header := at(loadAsyncAPI(t), "components", "schemas", "deadLetterHeaders", "properties", schemas.HeaderErrorClass)
	if got := texts(at(header, "enum")); !slices.Equal(got, want) {
		t.Errorf("asyncapi.yaml: %q, want %q", got, want)
	}
}
