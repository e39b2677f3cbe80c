package metrics

import "consentd/schemas"

// zero makes the counters whose label values are known begin at 0: what appears with its first event can't be seen to
// increase by it.
func (m *Metrics) zero() {
	for _, fate := range []string{"asked", "forwarded", "forget", "invalid"} {
		m.requests.WithLabelValues(fate)
	}
	for _, class := range schemas.Classes() {
		if class.Passes() {
			m.parked.WithLabelValues(string(class))
			continue
		}
		m.items.WithLabelValues(string(class), "")
		m.deadLetters.WithLabelValues(string(class))
	}
	for _, result := range []string{"published", "failed"} {
		m.transactions.WithLabelValues(result)
	}
}
