package schemas_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"consentd/schemas"
)

func TestNarrow_LeavesTheseItemsWithTheirFirstIndexesAndAllElseAsSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom([]string{
			`{"open_userid":"a","external_userid":"wm1"}`, `{ "external_userid" : "wm2" , "open_userid":"\u0061" , "x":[{}] }`, `{"open_userid":"*"}`,
			`{"open_userid":"a","external_userid":"wm1","items":[1,"]"]}`,
		}), 1, 30).Draw(t, "items")
		before := rapid.SampledFrom([]string{
			`{"corp_id":"ww1","kind":"single","items":[`,
			"{ \"note\" : {\"items\":[ {}, 1 ]}, \"kind\"\t: \"single\" ,\"corp_id\":\"ww1\", \"\\u0069tems\" :\r\n[",
		}).Draw(t, "before")
		after := rapid.SampledFrom([]string{`]}`, "] , \"context\" : { \"items\":[1 , 2] },\"request_id\":\"r 1\"\r\n}\n"}).Draw(t, "after")
		comma := rapid.SampledFrom([]string{",", " ,\n"}).Draw(t, "comma")
		value := before + strings.Join(list, comma) + after

		var keep []int
		var kept []string
		for place := range list {
			if rapid.Bool().Draw(t, "keep") {
				keep, kept = append(keep, place), append(kept, list[place])
			}
		}
		if len(keep) == 0 {
			keep, kept = []int{len(list) - 1}, list[len(list)-1:]
		}
		narrowed, err := schemas.Narrow([]byte(value), keep)
		if err != nil {
			t.Fatal(err)
		}
		if want := before + strings.Join(kept, ",") + after; string(narrowed) != want {
			t.Fatalf("got  %s\nwant %s", narrowed, want)
		}

		whole, err := schemas.DecodeRequest(nil, []byte(value), nil)
		if err != nil {
			t.Fatal(err)
		}
		part, err := schemas.DecodeRequest(nil, narrowed, indexHeaders(keep, len(list)))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]schemas.Item, 0, len(keep))
		for _, place := range keep {
			want = append(want, whole.Items[place])
		}
		if !slices.Equal(part.Items, want) || part.Count != whole.Count || part.ID != whole.ID || part.Context != whole.Context {
			t.Fatalf("got %+v\nof %+v", part, whole)
		}
	})
}

// indexHeaders says that the items are those at the given places of a request of count.
func indexHeaders(indexes []int, count int) []schemas.Header {
	texts := make([]string, len(indexes))
	for i, index := range indexes {
		texts[i] = strconv.Itoa(index)
	}
	return []schemas.Header{
		{Key: schemas.HeaderItemIndexes, Value: []byte(strings.Join(texts, ","))},
		{Key: schemas.HeaderItemCount, Value: fmt.Append(nil, count)},
	}
}

func TestNarrow_LeavesAPairAndARoomAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, value := range []string{pair(``), room(`,"chatid":"wr1"`), pair(`,"items":null`)} {
		narrowed, err := schemas.Narrow([]byte(value), []int{0})
		if err != nil || string(narrowed) != value {
			t.Errorf("%s: %s %v", value, narrowed, err)
		}
	}
}
