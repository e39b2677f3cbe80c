package config

import (
	"fmt"
	"net"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// KeyDoc describes one key, for the reference page.
type KeyDoc struct {
	Key, Env, Type, Default, Range, Doc string
}

// Keys returns every key that has a single value or a list of them, in the order of the file.
func Keys() []KeyDoc {
	var docs []KeyDoc
	c := Default()
	for _, f := range fields(&c) {
		docs = append(docs, KeyDoc{Key: f.key, Env: f.env(), Type: f.typeName(), Default: f.tag("default"), Range: f.tag("range"), Doc: f.tag("doc")})
	}
	return docs
}

// field is a key of the table, and where its value goes.
type field struct {
	key    string
	value  reflect.Value
	tags   reflect.StructTag
	parent reflect.Value
}

func (f field) tag(name string) string { return f.tags.Get(name) }

const envPrefix = "CONSENTD_"

// env is the key's environment variable.
func (f field) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// secretEnv is the variable that may hold the secret itself instead of its file's name; empty for other keys.
func (f field) secretEnv() string {
	if f.tag("secret") == "" {
		return ""
	}
	return strings.TrimSuffix(f.env(), "_FILE")
}

var durationType = reflect.TypeFor[time.Duration]()

func (f field) typeName() string {
	switch {
	case f.value.Type() == durationType:
		return "duration"
	case f.value.Kind() == reflect.Slice:
		return "list"
	case f.value.Kind() == reflect.Bool:
		return "true or false"
	case f.value.Kind() == reflect.Int:
		return "integer"
	}
	return "text"
}

// fields returns the keys of c with a single value or a list of them; corps and suites are lists of objects and are read
// on their own.
func fields(c *Config) []field {
	var all []field
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			tags := v.Type().Field(i).Tag
			key := prefix + tags.Get("yaml")
			_, leaf := tags.Lookup("default")
			switch {
			case leaf:
				all = append(all, field{key: key, value: v.Field(i), tags: tags, parent: v})
			case v.Field(i).Kind() == reflect.Struct && v.Field(i).Type() != reflect.TypeFor[Secret]():
				walk(key+".", v.Field(i))
			}
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	return all
}

// Default returns the defaults, with the instance left empty.
func Default() Config {
	var c Config
	for _, f := range fields(&c) {
		if err := f.set(f.split(f.tag("default"))); err != nil {
			panic(fmt.Sprintf("the default of %s: %v", f.key, err)) // a slip in a tag, which the first test sees
		}
	}
	return c
}

// split makes a list of a text, as it stands in a variable.
func (f field) split(text string) []string {
	if f.value.Kind() != reflect.Slice {
		return []string{text}
	}
	var texts []string
	for text := range strings.SplitSeq(text, ",") {
		texts = append(texts, strings.TrimSpace(text))
	}
	return texts
}

// set parses the texts, one but for a list, and takes them when they are as the table wants them.
func (f field) set(texts []string) error {
	if f.value.Kind() == reflect.Slice {
		for _, text := range texts {
			if err := checkText(f.tag("range"), text); err != nil {
				return err
			}
		}
		if len(texts) == 0 {
			return fmt.Errorf("is empty: want %s", f.want())
		}
		f.value.Set(reflect.ValueOf(texts))
		return nil
	}
	text := texts[0]
	switch {
	case f.value.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil || !inRange(f.tag("range"), int64(d), parseDuration) {
			return fmt.Errorf("%q: want %s", text, f.want())
		}
		f.value.SetInt(int64(d))
	case f.value.Kind() == reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !inRange(f.tag("range"), n, parseInt) {
			return fmt.Errorf("%q: want %s", text, f.want())
		}
		f.value.SetInt(n)
	case f.value.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q: want true or false", text)
		}
		f.value.SetBool(text == "true")
	default:
		if err := checkText(f.tag("range"), text); err != nil {
			return err
		}
		f.value.SetString(text)
	}
	return nil
}

// want says what would be right.
func (f field) want() string {
	low, high, ok := strings.Cut(f.tag("range"), "..")
	switch {
	case f.value.Type() == durationType:
		return fmt.Sprintf("a duration of %s to %s, such as 20ms, 10s or 1h", low, high)
	case ok:
		return fmt.Sprintf("an integer of %s to %s", low, high)
	case f.value.Kind() == reflect.Slice:
		return "a list of texts"
	}
	return f.typeName()
}

func parseDuration(s string) (int64, error) { d, err := time.ParseDuration(s); return int64(d), err }
func parseInt(s string) (int64, error)      { return strconv.ParseInt(s, 10, 64) }

func inRange(bounds string, n int64, parse func(string) (int64, error)) bool {
	lowText, highText, _ := strings.Cut(bounds, "..")
	low, err1 := parse(lowText)
	high, err2 := parse(highText)
	return err1 == nil && err2 == nil && low <= n && n <= high
}

var (
	topicName  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
	plainName  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
	corpName   = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,128}$`)
)

// checkText checks a text against its range: a kind of text by its name, or the words that it may be.
func checkText(kind, text string) error {
	switch kind {
	case "", "url": // a URL is looked at together with allow_http
	case "topic", "topic or empty":
		if (text != "" || kind == "topic") && (!topicName.MatchString(text) || text == "." || text == "..") {
			return fmt.Errorf("%q: want a topic name: 1 to 249 characters of A-Z a-z 0-9 . _ -", text)
		}
	case "name", "name or empty":
		if (text != "" || kind == "name") && !plainName.MatchString(text) {
			return fmt.Errorf("%q: want 1 to 128 characters of A-Z a-z 0-9 . _ -", text)
		}
	case "identifier":
		if !identifier.MatchString(text) {
			return fmt.Errorf("%q: want a letter or _, then at most 63 of A-Z a-z 0-9 _", text)
		}
	case "address", "addresses":
		host, port, err := net.SplitHostPort(text)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || host == "" && kind == "addresses" || n == 0 && kind == "addresses" {
			return fmt.Errorf("%q: want host:port", text)
		}
	case "durations":
		if d, err := time.ParseDuration(text); err != nil || d < time.Second || d > 168*time.Hour {
			return fmt.Errorf("%q: want durations of 1s to 168h, such as 1m or 1h", text)
		}
	default:
		words := strings.Split(kind, "|")
		for _, word := range words {
			if text == word {
				return nil
			}
		}
		return fmt.Errorf("%q: want %s", text, strings.TrimPrefix(strings.Join(words, " or "), " or "))
	}
	return nil
}
