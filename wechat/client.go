package wechat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"

	"consentd/schemas"
)

// The paths of the two calls, https://developer.work.weixin.qq.com/document/path/50859.
const (
	singlePath = "/cgi-bin/chatdata/getagreestatus/single"
	roomPath   = "/cgi-bin/chatdata/getagreestatus/room"
)

// MaxPairs is how many pairs the API takes in one call; with more it answers errcode 301060.
const MaxPairs = 100

// Pair is a staff member and a customer.
type Pair struct {
	OpenUserID, ExternalUserID string
}

// PairConsent is the API's word on a pair. Its ids are parts of one copy of the whole reply: who keeps one for long
// clones it.
type PairConsent struct {
	OpenUserID, ExternalUserID string
	schemas.Consent
}

// Client makes the calls. It is safe for concurrent use and starts no goroutines but those of net/http. What it keeps of an
// idle corp is a few hundred bytes.
type Client struct {
	exchange *exchange
	open     []byte // a single call's body up to its first pair
	observer TokenObserver

	corps    atomic.Pointer[tokensByCorp]
	setCorps sync.Mutex // held while corps is replaced
}

// New returns a client for the corps. A nil httpClient means NewHTTPClient; of any other the transport is used, but
// neither its redirects nor its cookies. The error names every problem of cfg and corps.
func New(cfg Config, corps []Corp, httpClient *http.Client) (*Client, error) {
	cfg, err := cfg.withDefaults()
	problems := []error{err}
	if httpClient == nil {
		httpClient = NewHTTPClient()
	}
	c := &Client{exchange: newExchange(cfg, httpClient), observer: cfg.Tokens}
	c.corps.Store(&tokensByCorp{})
	c.open, err = jsontext.AppendQuote([]byte("{"), cfg.ItemField)
	if err != nil {
		problems = append(problems, errors.New("item field: want valid UTF-8"))
	}
	c.open = append(c.open, ":["...)
	problems = append(problems, c.SetCorps(corps))
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("wechat client: %w", err)
	}
	return c, nil
}

// Close closes idle connections. Calls in flight are not ended by it; their contexts do that.
func (c *Client) Close() { c.exchange.http.CloseIdleConnections() }

// CheckSingle asks for the consent of up to MaxPairs pairs of a corp. The reply comes in the API's order and may have
// pairs that were not asked for, lack some that were, or name one twice; an entry without ids or word is left out. Errors
// are *Error, or the context's when ctx ended. It blocks for at most two exchanges and, before each, what a token takes: one
// exchange, with a Suite up to six.
func (c *Client) CheckSingle(ctx context.Context, corpID string, pairs []Pair) ([]PairConsent, error) {
	var consents []PairConsent
	err := c.ask(ctx, corpID, singlePath, c.singleBody(pairs), func(body []byte) (v verdict, err error) {
		v, consents, err = decodeReply(body, entryIsPair)
		return v, err
	})
	if err != nil {
		return nil, err
	}
	return consents, nil
}

// CheckRoom asks for the consent of the customers in a room; an empty list is a valid reply. Order, errors and time are
// those of CheckSingle, but an entry without id or word makes the reply malformed: a member that seems gone would count
// as having left.
func (c *Client) CheckRoom(ctx context.Context, corpID, chatID string) ([]schemas.Member, error) {
	var members []schemas.Member
	err := c.ask(ctx, corpID, roomPath, roomBody(chatID), func(body []byte) (verdict, error) {
		v, consents, err := decodeReply(body, entryIsMember)
		members = make([]schemas.Member, len(consents))
		for i := range consents {
			// Members are kept for as long as the room is known; the reply is not.
			members[i] = schemas.Member{
				ExternalUserID: strings.Clone(consents[i].ExternalUserID), Consent: consents[i].Consent,
			}
		}
		return v, err
	})
	if err != nil {
		return nil, err
	}
	return members, nil
}

// ask makes the call, and once more with another access_token when the first was refused.
func (c *Client) ask(ctx context.Context, corpID, path string, body []byte, decode decoder) error {
	tokens, err := c.tokens(corpID)
	if err != nil {
		return err
	}
	g, err := tokens.get(ctx)
	if err != nil {
		return err
	}
	err = c.call(ctx, path, g, body, decode)
	switch {
	case hasErrcode(err, errcodeTokenInvalid, errcodeTokenExpired):
	case hasErrcode(err, errcodeSuiteTokenInvalid, errcodeSuiteTokenExpired):
		// Nothing says that a call can't fail so, too; then another access_token alone is of no use.
		if s, ok := tokens.source.(suiteCorp); ok {
			s.suspect(g)
		}
	default:
		return err
	}
	if g, err = tokens.replace(ctx, g); err != nil {
		return err
	}
	return c.call(ctx, path, g, body, decode)
}

func (c *Client) call(ctx context.Context, path string, g *grant, body []byte, decode decoder) error {
	return c.exchange.post(ctx, path+"?access_token="+url.QueryEscape(g.token), body, secrets{g.token}, decode)
}
