package schemas_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"consentd/schemas"
)

// readPage returns docs/messages.md, and its examples by the schema that stands after "```json".
func readPage(t *testing.T) (page string, examples map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	page, examples = string(text), map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```(\\S*) ?(\\S*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		if m[1] != "json" || m[2] == "" {
			t.Errorf("an example says not what it is: %.80q", m[0])
			continue
		}
		examples[m[2]] = append(examples[m[2]], m[3])
	}
	return page, examples
}

func TestMessagesPage_ExamplesAreValid(t *testing.T) {
	t.Parallel()
	_, examples := readPage(t)
	for _, name := range []string{"request", "checked", "failed", "changed", "status"} {
		sch := loadSchema(t, name)
		if len(examples[name]) == 0 {
			t.Errorf("no example of %s", name)
		}
		for _, text := range examples[name] {
			if err := sch.validate([]byte(text)); err != nil {
				t.Errorf("%s%v", text, err)
			}
		}
		delete(examples, name)
	}
	if len(examples) > 0 {
		t.Errorf("examples of nothing: %v", examples)
	}
}

func TestMessagesPage_RequestsAndStatusDecode(t *testing.T) {
	t.Parallel()
	_, examples := readPage(t)
	for _, text := range examples["request"] {
		for _, it := range decode(t, text).Items {
			if it.Problem != "" {
				t.Errorf("%s%s", text, it.Problem)
			}
		}
	}
	for _, text := range examples["status"] {
		kind := schemas.Single
		if strings.Contains(text, "members") {
			kind = schemas.Room
		}
		if _, err := schemas.DecodeStatus(kind, []byte(text)); err != nil {
			t.Errorf("%s%v", text, err)
		}
	}
}

func TestMessagesPage_NamesAllHeadersAndClassesAndNoOthers(t *testing.T) {
	t.Parallel()
	page, _ := readPage(t)
	headers := []string{
		schemas.HeaderSpecVersion, schemas.HeaderID, schemas.HeaderSource, schemas.HeaderType, schemas.HeaderSubject, schemas.HeaderTime,
		schemas.HeaderErrorClass, schemas.HeaderError, schemas.HeaderErrcode, schemas.HeaderAttempt, schemas.HeaderFirstAttemptAt,
		schemas.HeaderOrigin, schemas.HeaderRequestID, schemas.HeaderItemIndexes, schemas.HeaderItemCount, schemas.HeaderTruncated,
		schemas.HeaderNotBefore, schemas.HeaderKey,
	}
	var classes []string
	for _, class := range schemas.Classes() {
		classes = append(classes, string(class))
	}
	_, classTable, _ := strings.Cut(page, "\n| class |")
	classTable, _, _ = strings.Cut(classTable, "\n\n")
	for _, tc := range []struct {
		what, text, pattern string
		want                []string
	}{
		{"headers", page, "`((?:ce_|consentd-)[a-z-]+)`", headers},
		{"classes", classTable, "(?m)^\\| `([a-z_]+)` \\|", classes},
	} {
		var got []string
		for _, m := range regexp.MustCompile(tc.pattern).FindAllStringSubmatch(tc.text, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if got = slices.Compact(got); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}
