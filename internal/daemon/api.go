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
	suites map[string]*wechat.Suite
}

func newCorps(cfg config.Config, tokens wechat.TokenObserver) *corps {
	c := &corps{
		api:    wechat.Config{BaseURL: cfg.WeChat.BaseURL, ItemField: cfg.WeChat.ItemField, Timeout: cfg.WeChat.Timeout, Tokens: tokens},
		http:   wechat.NewHTTPClient(),
		suites: make(map[string]*wechat.Suite),
	}
	for _, s := range cfg.Suites {
		c.suites[s.SuiteID] = wechat.NewSuite(c.api, s.SuiteID, s.Secret.Reveal(), s.TicketFile, c.http)
	}
	return c
}

// newAPI returns the client of the API for the configured corps.
func (c *corps) newAPI(cfg config.Config) (*wechat.Client, error) {
	return wechat.New(c.api, c.of(cfg), c.http)
}

// of returns the corps of a configuration. Sources of the same settings are equal.
func (c *corps) of(cfg config.Config) []wechat.Corp {
	var all []wechat.Corp
	for _, corp := range cfg.AllCorps() {
		if source := c.source(corp); source != nil { // a suite that was added waits for the next start
			all = append(all, wechat.Corp{ID: corp.CorpID, Source: source})
		}
	}
	return all
}

func (c *corps) source(corp config.Corp) wechat.TokenSource {
	secret := corp.Token.Secret.Reveal()
	switch corp.Token.Source {
	case "gettoken":
		return wechat.GetToken(c.api, corp.CorpID, secret, c.http)
	case "suite":
		if suite := c.suites[corp.Token.SuiteID]; suite != nil {
			return suite.Source(corp.CorpID, secret)
		}
	case "http":
		return wechat.HTTPService(secret, c.http)
	case "file":
		return wechat.File(corp.Token.Path)
	case "static":
		return wechat.Static(secret)
	}
	return nil
}
