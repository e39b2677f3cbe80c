package check

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"consentd/chaos/history"
)

// request is what a record of the requests topic asks for.
type request struct {
	record  history.Record
	id      string
	corp    string
	kind    string
	context string // as sent
	count   int    // of the items of the first request
	items   []item
	broken  bool // the whole request is invalid: it has one item
}

// item is what one terminal event is expected for.
type item struct {
	index        int
	conversation string // empty: its ids are invalid
	open         string
	external     string
	chat         string
	terminal     []*event // what came
}

// subject names an item in a violation.
func (r *request) subject(i int) string {
	return fmt.Sprintf("%s item %d (request %s)", r.record.Position(), r.items[i].index, r.id)
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9_.@-]{1,128}$`)

// pair is a pair of ids as it stands in a request.
type pair struct {
	Open     string `json:"open_userid"`
	External string `json:"external_userid"`
}

// decodeRequest reads a request by the documented rules, as far as the load of the chaos goes.
func decodeRequest(record history.Record) *request {
	r := &request{record: record, id: record.Position(), count: 1, items: []item{{}}}
	var body struct {
		ID    string `json:"request_id"`
		Corp  string `json:"corp_id"`
		Kind  string `json:"kind"`
		Items []pair `json:"items"`
		pair
		Chat    string          `json:"chatid"`
		Context json.RawMessage `json:"context"`
	}
	if json.Unmarshal(record.Value, &body) != nil {
		r.broken = true
		return r
	}
	if id := record.Headers["consentd-request-id"]; id != "" {
		r.id = id
	}
	if body.ID != "" {
		r.id = body.ID
	}
	r.corp, r.kind, r.context = body.Corp, body.Kind, string(body.Context)
	switch {
	case !idPattern.MatchString(body.Corp):
		r.broken = true
	case body.Kind == "room" && idPattern.MatchString(body.Chat):
		r.items[0] = item{chat: body.Chat, conversation: body.Corp + "/room/" + body.Chat}
	case body.Kind == "single" && len(body.Items) > 0:
		r.items = r.items[:0]
		for i, p := range body.Items {
			r.items = append(r.items, pairItem(i, body.Corp, p))
		}
		r.count = len(r.items)
		r.narrow(record.Headers)
	case body.Kind == "single":
		r.items[0] = pairItem(0, body.Corp, body.pair)
		r.broken = r.items[0].conversation == ""
	default:
		r.broken = true
	}
	return r
}

func pairItem(index int, corp string, p pair) item {
	it := item{index: index, open: p.Open, external: p.External}
	if idPattern.MatchString(p.Open) && idPattern.MatchString(p.External) {
		it.conversation = corp + "/single/" + p.Open + "/" + p.External
	}
	return it
}

// narrow gives the items of a replayed request the places that they had in the first one.
func (r *request) narrow(headers map[string]string) {
	indexes, ok := headers["consentd-item-indexes"]
	if !ok {
		return
	}
	for i, text := range strings.Split(indexes, ",") {
		if index, err := strconv.Atoi(text); err == nil && i < len(r.items) {
			r.items[i].index = index
		}
	}
	if n, err := strconv.Atoi(headers["consentd-item-count"]); err == nil {
		r.count = n
	}
}

func (c *checker) readRequests() {
	c.requests, c.byID = map[string]*request{}, map[string][]*request{}
	for _, record := range c.h.Requests {
		r := decodeRequest(record)
		c.requests[record.Position()] = r
		c.byID[r.id] = append(c.byID[r.id], r)
		c.figures.Items += len(r.items)
	}
}

// known says whether the daemon has the request's corp.
func (c *checker) known(r *request) bool { return slices.Contains(c.o.Corps, r.corp) }
