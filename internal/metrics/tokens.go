package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"consentd/schemas"
)

// TokenFetched counts a fetch of a token from a kind of source; class is empty when it succeeded.
func (m *Metrics) TokenFetched(source string, class schemas.Class) {
	if class == "" {
		class = "ok"
	}
	m.tokenFetches.WithLabelValues(source, string(class)).Inc()
}

// TokensHeld has held asked for how many corps have a token whenever the metrics are. It is called once.
func (m *Metrics) TokensHeld(held func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "consentd_tokens", Help: "Corps of which an access_token is held that is believed to be good.",
	}, func() float64 { return float64(held()) }))
}
