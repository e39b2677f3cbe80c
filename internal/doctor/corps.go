package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"consentd/config"
	"consentd/schemas"
	"consentd/wechat"
)

const (
	// corpsAtOnce is how many corps are looked at at the same time.
	corpsAtOnce = 4
	// enoughRefused is after how many refused credentials no other is tried: WeCom bans an IP for an hour after a few.
	enoughRefused = 3
	// corpTimeout bounds what one corp takes.
	corpTimeout = 30 * time.Second
)

// The ids of the harmless call: no corp has such a staff member or customer.
var nobody = []wechat.Pair{{OpenUserID: "consentd-doctor-nobody", ExternalUserID: "consentd-doctor-nobody"}}

// corp is one whose token and call are tried.
type corp struct {
	config.Corp
	source wechat.TokenSource
	key    string // corps[0]
}

// corps tries each corp's token, and one call with it.
func (x *examination) corps(ctx context.Context, api wechat.Config, sources []wechat.Corp) {
	corps := x.chosen(sources)
	if len(corps) == 0 {
		x.add(Risk, checkToken, "", "there is no corp: every request will fail with unknown_corp", "add one", "corps")
		return
	}
	t := &trials{examination: x, api: api, stopped: make(map[string]string)}
	// What is found of a corp is reported together, in the order of the configuration.
	found := make([][]Finding, len(corps))
	var g errgroup.Group
	g.SetLimit(corpsAtOnce)
	for i, c := range corps {
		g.Go(func() error {
			found[i] = t.try(ctx, c)
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	for _, findings := range found {
		for _, f := range findings {
			x.report(f)
		}
	}
}

func (x *examination) chosen(sources []wechat.Corp) []corp {
	var corps []corp
	add := func(list []config.Corp, name string) {
		for i, c := range list {
			s := slices.IndexFunc(sources, func(w wechat.Corp) bool { return w.ID == c.CorpID })
			if s >= 0 && (len(x.options.Corps) == 0 || slices.Contains(x.options.Corps, c.CorpID)) {
				corps = append(corps, corp{c, sources[s].Source, fmt.Sprintf("%s[%d]", name, i)})
			}
		}
	}
	add(x.cfg.Corps, "corps")
	add(x.cfg.CorpsOfFile, "corps_file")
	return corps
}

// trials are those of all corps. What was found of some keeps others from being tried in vain.
type trials struct {
	*examination
	api wechat.Config

	mu      sync.Mutex
	refused int               // credentials so far
	stopped map[string]string // why, by provider
}

// provider is whom the corps share tokens or an IP list with.
func provider(c corp) string { return c.Token.Source + " " + c.Token.SuiteID }

// skip says why a corp is not tried; empty: it is.
func (t *trials) skip(c corp) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused >= enoughRefused {
		return fmt.Sprintf("not tried: %d credentials were refused already, and WeCom bans an IP for an hour after a few; mend those first", t.refused)
	}
	return t.stopped[provider(c)]
}

// note remembers what concerns other corps too.
func (t *trials) note(c corp, e *wechat.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case e.AllCorps:
		t.stopped[provider(c)] = "not tried: what is wrong with " + c.CorpID + " concerns all corps of the provider"
	case credential(e.Errcode):
		t.refused++
	}
}

// credential tells the errcodes after which WeCom counts a wrong secret.
func credential(errcode int) bool {
	switch errcode {
	case 40001, 40091, 40080, 40013, 40083, 40084:
		return true
	}
	return false
}

func (t *trials) try(ctx context.Context, c corp) []Finding {
	if why := t.skip(c); why != "" {
		return []Finding{{Level: Skipped, Check: checkToken, Subject: c.CorpID, Found: why}}
	}
	ctx, cancel := context.WithTimeout(ctx, corpTimeout)
	defer cancel()
	began := time.Now()
	token, life, err := c.source.Token(ctx)
	if err != nil {
		return []Finding{t.failed(c, checkToken, err)}
	}
	good := Finding{Level: OK, Check: checkToken, Subject: c.CorpID, Found: fmt.Sprintf("had from %s in %s", c.Token.Source, time.Since(began).Round(time.Millisecond))}
	if life > 0 {
		good.Found += ", good for " + life.String()
	}
	client, err := wechat.New(t.api, []wechat.Corp{{ID: c.CorpID, Source: wechat.Static(token)}}, nil)
	if err != nil {
		return []Finding{good, t.failed(c, checkCall, err)}
	}
	defer client.Close()
	_, err = client.CheckSingle(ctx, c.CorpID, nobody)
	var e *wechat.Error
	switch {
	case err == nil, errors.As(err, &e) && (e.Class == schemas.NotFound || e.Class == schemas.OutOfScope):
		return []Finding{good, {Level: OK, Check: checkCall, Subject: c.CorpID, Found: "asked for a pair that nobody has, and was answered"}}
	}
	return []Finding{good, t.failed(c, checkCall, err)}
}

// failed says why a token or call failed, and which key it hangs on.
func (t *trials) failed(c corp, check string, err error) Finding {
	f := Finding{Level: Wrong, Check: check, Subject: c.CorpID, Found: err.Error(), Do: "do what it says, and look again"}
	var e *wechat.Error
	if !errors.As(err, &e) {
		f.Key = c.key + ".token." + secretKey(c.Corp)
		return f
	}
	t.note(c, e)
	f.Key = t.keyOf(c, check, e)
	if f.Key == itemField {
		f.Do = "set it to the name of the list of pairs that the API wants: item, or info for the sibling API"
	}
	if e.Class == schemas.RateLimited {
		f.Level = Risk
	}
	return f
}

const itemField = "wechat.item_field"

// keyOf is the key that an errcode is mended by. What only WeCom's administrators can mend hangs on the corp.
func (t *trials) keyOf(c corp, check string, e *wechat.Error) string {
	switch e.Errcode {
	case 0:
		if key := t.keyWithoutErrcode(c, check, e); key != "" {
			return key
		}
	case 40001, 40091, 40084, 41025, 41004, 40014, 42001:
	case 40013, 41002, 710000:
		return c.key + ".corp_id"
	case 40080, 40082, 42009:
		return t.suiteKey(c, "secret_file")
	case 40083, 41021:
		return t.suiteKey(c, "suite_id")
	case 40085, 41023:
		return t.suiteKey(c, "ticket_file")
	case 40058, 40063, 40035:
		return itemField
	case 45009:
		return "wechat.calls_per_minute"
	case 45033:
		return "wechat.corp_concurrency"
	default:
		return c.key
	}
	return c.key + ".token." + secretKey(c.Corp)
}

// keyWithoutErrcode goes by what failed, where the API did not say.
func (t *trials) keyWithoutErrcode(c corp, check string, e *wechat.Error) string {
	switch source := c.Token.Source; {
	case check == checkCall && strings.Contains(e.Message, "item field"):
		return itemField
	case source == "suite" && strings.Contains(e.Message, "ticket"):
		return t.suiteKey(c, "ticket_file")
	case check == checkCall || source == "gettoken" || source == "suite":
		return baseURL
	}
	return ""
}

func (t *trials) suiteKey(c corp, name string) string {
	for i, s := range t.cfg.Suites {
		if s.SuiteID == c.Token.SuiteID {
			return fmt.Sprintf("suites[%d].%s", i, name)
		}
	}
	return c.key + ".token.suite_id"
}

// secretKey is the key that says where a corp's token comes from.
func secretKey(c config.Corp) string {
	switch c.Token.Source {
	case "gettoken":
		return "secret_file"
	case "suite":
		return "permanent_code_file"
	case "http":
		return "url"
	case "file":
		return "path"
	}
	return "value_file"
}
