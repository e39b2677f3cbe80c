package daemon

import (
	"net/http"

	"consentd/config"
	"consentd/wechat"
)

// corps makes the API's client of a configuration, and new corps for it when that has changed.
type corps struct {
	api    wechat.Config
	http   *http.Client
	suites map[string]suite
}

// suite is a provider's app with the settings that it was made with.
type suite struct {
	*wechat.Suite
	secret string
	ticket wechat.Ticket
}

func newCorps(cfg config.Config, tokens wechat.TokenObserver) *corps {
	return &corps{
		api:  wechat.Config{BaseURL: cfg.WeChat.BaseURL, ItemField: cfg.WeChat.ItemField, Timeout: cfg.WeChat.Timeout, Tokens: tokens},
		http: wechat.NewHTTPClient(),
	}
}

// newAPI returns the client of the API for the configured corps.
func (c *corps) newAPI(cfg config.Config) (*wechat.Client, error) {
	return wechat.New(c.api, c.of(cfg), c.http)
}

// of returns the corps of a configuration. Sources of the same settings are equal.
func (c *corps) of(cfg config.Config) []wechat.Corp {
	c.setSuites(cfg.Suites)
	var all []wechat.Corp
	for _, corp := range cfg.AllCorps() {
		all = append(all, wechat.Corp{ID: corp.CorpID, Source: c.source(corp)})
	}
	return all
}

// setSuites keeps a suite whose settings are the same: it holds the token of all its corps.
func (c *corps) setSuites(suites []config.Suite) {
	old := c.suites
	c.suites = make(map[string]suite, len(suites))
	for _, s := range suites {
		next := suite{old[s.SuiteID].Suite, s.Secret.Reveal(), wechat.TicketFile(s.TicketFile)}
		if s.TicketFile == "" {
			next.ticket = wechat.FixedTicket(s.Ticket.Reveal())
		}
		if next.Suite == nil || next != old[s.SuiteID] {
			next.Suite = wechat.NewSuite(c.api, s.SuiteID, next.secret, next.ticket, c.http)
		}
		c.suites[s.SuiteID] = next
	}
}

func (c *corps) source(corp config.Corp) wechat.TokenSource {
	secret := corp.Token.Secret.Reveal()
	switch corp.Token.Source {
	case "gettoken":
		return wechat.GetToken(c.api, corp.CorpID, secret, c.http)
	case "suite":
		return c.suites[corp.Token.SuiteID].Source(corp.CorpID, secret)
	case "http":
		return wechat.HTTPService(secret, c.http)
	case "file":
		return wechat.File(corp.Token.Path)
	case "static":
		return wechat.Static(secret)
	}
	return nil
}
