package wechat

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"consentd/internal/handjson"
)

// The paths of a provider's tokens, https://developer.work.weixin.qq.com/document/path/90600 and 90605.
const (
	suiteTokenPath = "/cgi-bin/service/get_suite_token"
	corpTokenPath  = "/cgi-bin/service/get_corp_token"
)

// ticketPause is how long a refused suite_ticket is believed to be the newest: WeCom pushes one every ten minutes.
const ticketPause = 10 * time.Second

// Suite is a provider's app that corps have authorised. It holds the app's suite_access_token for all of them: one fetch
// at a time, ahead of its end. It is safe for concurrent use and starts no goroutine. What fails for the suite fails for
// all of its corps, and is tried for all of them together: after a refused credential in a minute, then two, four, at most
// every ten.
type Suite struct {
	origin
	exchange *exchange
	tokens   *tokenCache
}

// NewSuite returns a suite with the secret of suiteID. cfg and httpClient are those of New, which checks them; a nil httpClient
// means one of its own.
func NewSuite(cfg Config, suiteID, secret string, ticket Ticket, httpClient *http.Client) *Suite {
	cfg, _ = cfg.withDefaults()
	if httpClient == nil {
		httpClient = NewHTTPClient()
	}
	x := newExchange(cfg, httpClient)
	s := &Suite{
		origin: origin("suite " + suiteID), exchange: x,
		tokens: newTokenCache(&suiteTokens{
			exchange: x, id: suiteID, secret: secret, tickets: wordFile{path: ticket.path, word: ticket.word, what: "suite_ticket"},
		}),
	}
	s.tokens.observer = cfg.Tokens
	return s
}

// Source fetches the tokens of a corp that authorised the suite, by its permanent code.
func (s *Suite) Source(corpID, permanentCode string) TokenSource {
	return suiteCorp{s, corpID, permanentCode}
}

// concernsAll makes what hinders the suite's own token a failure of all its corps, and passes on everything else.
func (s *Suite) concernsAll(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	shared := *e
	shared.Message = string(s.origin) + ": " + e.Message
	shared.AllCorps, shared.ofSuite = true, true
	return &shared
}

// suiteCorp is the TokenSource of one corp of a suite.
type suiteCorp struct {
	*Suite
	corpID, permanentCode string
}

func (s suiteCorp) Token(ctx context.Context) (token string, expiresIn time.Duration, err error) {
	g, err := s.tokens.get(ctx)
	if err != nil {
		return "", 0, s.concernsAll(err)
	}
	token, expiresIn, err = s.fetch(ctx, g.token)
	if !hasErrcode(err, errcodeSuiteTokenInvalid, errcodeSuiteTokenExpired) {
		return token, expiresIn, err
	}
	if g, err = s.tokens.replace(ctx, g); err != nil {
		return "", 0, s.concernsAll(err)
	}
	return s.fetch(ctx, g.token)
}

// suspect gives up the suite's token after an access_token was refused on its account, unless it is the newer one: all
// corps of a suite may come with the same complaint.
func (s suiteCorp) suspect(refused *grant) { s.tokens.drop(refused.fetchedAt) }

func (s suiteCorp) fetch(ctx context.Context, suiteToken string) (string, time.Duration, error) {
	var reply tokenReply
	err := s.exchange.post(ctx, corpTokenPath+"?suite_access_token="+url.QueryEscape(suiteToken),
		jsonObject("auth_corpid", s.corpID, "permanent_code", s.permanentCode),
		secrets{suiteToken, s.permanentCode}, reply.decode)
	if err != nil {
		return "", 0, fetchFailure("get_corp_token", err)
	}
	return reply.AccessToken, reply.life(), nil
}

// suiteTokens is the TokenSource of a suite: its tokens are suite_access_tokens.
type suiteTokens struct {
	exchange   *exchange
	id, secret string
	tickets    wordFile

	// refused is the ticket that is not sent again, and why. A TokenSource is asked by one goroutine at a time.
	refused string
	refusal *Error
}

func (s *suiteTokens) Token(ctx context.Context) (token string, expiresIn time.Duration, err error) {
	for range 2 { // a refused ticket may have been replaced since it was read
		ticket, err := s.tickets.read()
		if err != nil {
			return "", 0, err
		}
		if ticket == s.refused {
			break
		}
		token, expiresIn, err = s.fetch(ctx, ticket)
		var e *Error
		if !errors.As(err, &e) || e.Errcode != errcodeTicketInvalid {
			return token, expiresIn, err
		}
		s.refused, s.refusal = ticket, e.in(e.RetryAfter)
	}
	return "", 0, s.refusal
}

func (s *suiteTokens) fetch(ctx context.Context, ticket string) (string, time.Duration, error) {
	var reply tokenReply
	err := s.exchange.post(ctx, suiteTokenPath,
		jsonObject("suite_id", s.id, "suite_secret", s.secret, "suite_ticket", ticket),
		secrets{s.secret, ticket}, reply.decode)
	if err != nil {
		return "", 0, fetchFailure("get_suite_token", err)
	}
	return reply.SuiteAccessToken, reply.life(), nil
}

// jsonObject returns an object of strings: names and values by turns.
func jsonObject(namesAndValues ...string) []byte {
	b := []byte{'{'}
	for i, s := range namesAndValues {
		if i > 0 {
			b = append(b, ",:"[i%2])
		}
		b = handjson.AppendString(b, s)
	}
	return append(b, '}')
}
