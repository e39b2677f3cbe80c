package wechat

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"consentd/schemas"
)

// classesByCode is transcribed by hand from what is known of the API, so that a slip in the table shows.
var classesByCode = map[schemas.Class][]int{
	schemas.Transient: {-1, 6000},
	schemas.Token:     {40014, 42001, 40082, 42009, 40085},
	schemas.CorpStopped: {
		40001, 40091, 40080, 40013, 40083, 710000, 40084, 41025, 48004, 48002, 48006, 60020, 301042, 301052, 301053,
		50003, 301007, 701008, 701099,
	},
	schemas.Rejected:    {41001, 41002, 41004, 41021, 41022, 41023, 40058, 40063, 40035, 301060},
	schemas.NotFound:    {301061, 60111, 40003, 40096, 60221, 84061, 86001, 86003, 40050, 92002, 301059},
	schemas.OutOfScope:  {50002, 60011},
	schemas.RateLimited: {45009, 45033},
}

var (
	// perItemCodes may be about single items of a call.
	perItemCodes = slices.Concat(classesByCode[schemas.NotFound], classesByCode[schemas.OutOfScope], []int{40058, 40063, 40035, 301060})
	// allCorpsCodes are about the caller's IP.
	allCorpsCodes = []int{60020, 301042}
)

func TestErrcodes_EachHasItsClass(t *testing.T) {
	t.Parallel()
	count := 0
	for class, codes := range classesByCode {
		for _, code := range codes {
			count++
			for _, a := range asks {
				t.Run(fmt.Sprintf("%d/%s", code, a.name), func(t *testing.T) {
					t.Parallel()
					// Errors may bear what looks like the beginning of an answer.
					reply := strings.TrimSuffix(errcodeReply(code, "said"), "}") + `,"agreeinfo":null}`
					e := mustFail(t, a.call(t.Context(), setup(t, answer(reply))))
					if e.Class != class || e.Errcode != code || e.Unknown {
						t.Errorf("got class %s, errcode %d, unknown %t: want %s, %d, false", e.Class, e.Errcode, e.Unknown, class, code)
					}
					if per, all := slices.Contains(perItemCodes, code), slices.Contains(allCorpsCodes, code); e.PerItem != per || e.AllCorps != all {
						t.Errorf("per item %t, all corps %t: want %t, %t", e.PerItem, e.AllCorps, per, all)
					}
					if e.TooManyPairs != (code == 301060) {
						t.Errorf("too many pairs %t", e.TooManyPairs)
					}
					if class == schemas.CorpStopped && e.RetryAfter != time.Minute {
						t.Errorf("to be tried again in %s, want a minute", e.RetryAfter)
					}
					if !strings.HasSuffix(e.Message, "(the API says: said)") {
						t.Errorf("message %q: want the API's own words in it", e.Message)
					}
				})
			}
		}
	}
	if count != len(errcodes) {
		t.Errorf("the table has %d errcodes, %d are known", len(errcodes), count)
	}
}

func TestErrcodes_AnUnknownOneIsTransientAndSaysSo(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1, -2, 99999, 2147483647} {
		e := mustFail(t, asks[0].call(t.Context(), setup(t, answer(errcodeReply(code, "?")))))
		if e.Class != schemas.Transient || e.Errcode != code || !e.Unknown || !e.Temporary() || !e.Replied {
			t.Errorf("%d: got class %s, errcode %d, unknown %t, temporary %t", code, e.Class, e.Errcode, e.Unknown, e.Temporary())
		}
	}
}

func TestErrcodes_TextsAreForPeople(t *testing.T) {
	t.Parallel()
	for code, c := range errcodes {
		if c.text == "" || c.hint == "" || strings.ContainsAny(c.text+c.hint, "|\n") {
			t.Errorf("%d: %q, %q: want a meaning and a hint that fit a table", code, c.text, c.hint)
		}
	}
}

func TestHint_IsThereForEveryFailure(t *testing.T) {
	t.Parallel()
	for code, c := range errcodes {
		if got := Hint(c.class, code); got != c.hint {
			t.Errorf("%d: %q, want %q", code, got, c.hint)
		}
	}
	if got := Hint(schemas.Transient, 99999); got != unknownErrcode.hint {
		t.Errorf("of an unknown errcode: %q, want %q", got, unknownErrcode.hint)
	}
	for _, class := range schemas.Classes() {
		if got := Hint(class, 0); got == "" || got == unknownErrcode.hint {
			t.Errorf("%s without an errcode: %q", class, got)
		}
	}
}

const errorsPage = "../docs/errors.md"

func readErrorsPage(t *testing.T, row *regexp.Regexp) [][]string {
	t.Helper()
	page, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	return row.FindAllStringSubmatch(string(page), -1)
}

func TestDocs_HaveTheTableOfErrcodes(t *testing.T) {
	t.Parallel()
	var got, want []string
	for _, row := range readErrorsPage(t, regexp.MustCompile(`(?m)^\| -?\d.*$`)) {
		got = append(got, row[0])
	}
	codes := make([]int, 0, len(errcodes))
	for code := range errcodes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		c := errcodes[code]
		want = append(want, fmt.Sprintf("| %s | %s | `%s` | %s |", strconv.Itoa(code), c.text, c.class, c.hint))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has other rows than the code's table; want\n%s", errorsPage, strings.Join(want, "\n"))
	}
}

func TestDocs_HaveEveryClassOnce(t *testing.T) {
	t.Parallel()
	var got []schemas.Class
	for _, row := range readErrorsPage(t, regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")) {
		got = append(got, schemas.Class(row[1]))
	}
	if want := schemas.Classes(); !slices.Equal(got, want) {
		t.Errorf("%s has the classes %q, want %q", errorsPage, got, want)
	}
}
