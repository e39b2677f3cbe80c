package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// YAML returns the effective configuration. It names the files of secrets, not what is in them, and loads again.
func (c Config) YAML() ([]byte, error) {
	return yaml.MarshalWithOptions(toMap(reflect.ValueOf(c)), yaml.IndentSequence(true))
}

// toMap turns a struct into ordered keys and values, as the file has them.
func toMap(v reflect.Value) yaml.MapSlice {
	var m yaml.MapSlice
	for i := range v.NumField() {
		tags := v.Type().Field(i).Tag
		key := tags.Get("yaml")
		_, leaf := tags.Lookup("default")
		f := v.Field(i)
		switch {
		case key == "-":
		case leaf && f.Type() == durationType:
			m = append(m, yaml.MapItem{Key: key, Value: shortDuration(time.Duration(f.Int()))})
		case f.Kind() == reflect.Struct:
			m = append(m, yaml.MapItem{Key: key, Value: toMap(f)})
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			items := make([]yaml.MapSlice, f.Len())
			for i := range items {
				items[i] = toMap(f.Index(i))
			}
			if len(items) > 0 {
				m = append(m, yaml.MapItem{Key: key, Value: items})
			}
		case !leaf && f.IsZero(): // a key of a corp's that does not belong to its source
		default:
			m = append(m, yaml.MapItem{Key: key, Value: f.Interface()})
		}
	}
	return m
}

// shortDuration writes 1h and not 1h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Reference returns the table of all keys as Markdown, for docs/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString("| key | default | may be | meaning |\n|---|---|---|---|\n")
	for _, k := range Keys() {
		may := strings.ReplaceAll(k.Range, "|", " · ")
		if strings.HasPrefix(k.Range, "|") {
			may = "empty" + may
		}
		if low, high, ok := strings.Cut(k.Range, ".."); ok {
			may = fmt.Sprintf("%s to %s", low, high)
		}
		if may == "" {
			may = k.Type
		}
		value := k.Default
		if value == "" {
			value = "empty"
		} else {
			value = strconv.Quote(value)
			value = "`" + value[1:len(value)-1] + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Key, value, may, k.Doc)
	}
	return b.String()
}
