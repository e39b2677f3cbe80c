package gather_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"consentd/internal/gather"
	"consentd/schemas"
)

// gathered are the requests that come of conversations.
func gathered(prefix string, all []schemas.Conversation) []gather.Request {
	g := gather.New(prefix)
	var requests []gather.Request
	for _, c := range all {
		if r, ok := g.Add(c); ok {
			requests = append(requests, r)
		}
	}
	return append(requests, g.Flush()...)
}

func decode(t interface {
	Helper()
	Fatalf(string, ...any)
}, r gather.Request,
) schemas.Request {
	t.Helper()
	req, err := schemas.DecodeRequest(nil, r.Value, nil)
	if err != nil || req.CorpID != r.CorpID || len(req.Items) != r.Items {
		t.Fatalf("%s: got %+v, %v", r.Value, req, err)
	}
	return req
}

func TestGatherer_AsksForEachConversationOnceInValidRequests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []schemas.Conversation
		var want []string
		for i := range rapid.IntRange(0, 500).Draw(t, "conversations") {
			c := schemas.Conversation{CorpID: fmt.Sprintf("ww%d", rapid.IntRange(0, 4).Draw(t, "corp")), Kind: schemas.Single, OpenUserID: "a", ExternalUserID: fmt.Sprintf("wm%d", i)}
			if rapid.IntRange(0, 9).Draw(t, "room") == 0 {
				c = schemas.Conversation{CorpID: c.CorpID, Kind: schemas.Room, ChatID: fmt.Sprintf("wr%d", i)}
			}
			all, want = append(all, c), append(want, c.Key())
		}
		var got []string
		for _, r := range gathered("x", all) {
			req := decode(t, r)
			if len(req.Items) > 100 {
				t.Fatalf("%d items in a request", len(req.Items))
			}
			for i := range req.Items {
				got = append(got, req.Conversation(i).Key())
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func TestGatherer_FillsCallsHoweverMixedTheCorpsAre(t *testing.T) {
	t.Parallel()
	var all []schemas.Conversation
	for i := range 1000 {
		all = append(all, schemas.Conversation{CorpID: fmt.Sprintf("ww%d", i%5), Kind: schemas.Single, OpenUserID: "a", ExternalUserID: fmt.Sprintf("wm%d", i)})
	}
	requests := gathered("recheck-1", all)
	if len(requests) != 10 {
		t.Fatalf("%d requests for 1000 pairs of 5 corps, want 10", len(requests))
	}
	for i, r := range requests {
		if id := decode(t, r).ID; id != fmt.Sprintf("recheck-1-%d", i+1) {
			t.Errorf("request %d has the id %q", i, id)
		}
	}
}

func TestGatherer_HoldsABoundedNumberOfPairs(t *testing.T) {
	t.Parallel()
	g, out := gather.New(""), 0
	for i := range 200_000 {
		c := schemas.Conversation{CorpID: fmt.Sprintf("ww%d", i%20_000), Kind: schemas.Single, OpenUserID: "a", ExternalUserID: "wm"}
		if r, ok := g.Add(c); ok {
			out += r.Items
		}
		if held := i + 1 - out; held > 50_000 {
			t.Fatalf("%d pairs are held", held)
		}
	}
}
