package daemon

import (
	"fmt"

	"consentd/config"
	"consentd/wechat"
)

// newAPI returns the client of the API for the configured corps.
func newAPI(cfg config.Config) (*wechat.Client, error) {
	api := wechat.Config{BaseURL: cfg.WeChat.BaseURL, ItemField: cfg.WeChat.ItemField, Timeout: cfg.WeChat.Timeout}
	client := wechat.NewHTTPClient()
	corps := make([]wechat.Corp, len(cfg.Corps))
	for i, c := range cfg.Corps {
		corps[i].ID = c.CorpID
		switch c.Token.Source {
		case "gettoken":
			corps[i].Source = wechat.GetToken(api, c.CorpID, c.Token.Secret.Reveal(), client)
		case "file":
			corps[i].Source = wechat.File(c.Token.Path)
		case "static":
			corps[i].Source = wechat.Static(c.Token.Secret.Reveal())
		default:
			return nil, fmt.Errorf("corp %s: token source %q is not available", c.CorpID, c.Token.Source)
		}
	}
	return wechat.New(api, corps, client)
}
