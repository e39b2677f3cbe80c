package daemon

import (
	"net/http"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/wechat"
)

// ClusterOptions say how the daemon reaches its cluster, for the commands beside it. A command does not wait for brokers that are
// gone, as the daemon does.
func ClusterOptions(cfg config.Config) (broker.Options, error) {
	o, err := clusterOptions(cfg)
	o.Patience = broker.TryFor
	return o, err
}

// API says how the daemon asks the API, and returns its corps with their sources of tokens, in the order of the configuration.
func API(cfg config.Config) (wechat.Config, []wechat.Corp, *http.Client) {
	c := newCorps(cfg, nil)
	return c.api, c.of(cfg), c.http
}
