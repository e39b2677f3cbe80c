package doctor

import (
	"fmt"
	"slices"

	"consentd/config"
)

// Level says how bad a finding is.
type Level string

// The levels. Only Wrong keeps the daemon from its work.
const (
	OK      Level = "ok"
	Risk    Level = "risk"
	Wrong   Level = "WRONG"
	Skipped Level = "skipped"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level `json:"level"`
	// Check is what was looked at, a word of Checks.
	Check string `json:"check"`
	// Subject is whose it is: an address, a topic, a corp.
	Subject string `json:"subject,omitempty"`
	// Found says what is the case.
	Found string `json:"found"`
	// Do says what to do about it, Key which key of the configuration to change, or the topic's setting beside its key. Both are
	// empty where nothing is to be done.
	Do  string `json:"do,omitempty"`
	Key string `json:"key,omitempty"`
}

// The things that are looked at, in this order.
const (
	checkConfiguration = "configuration"
	checkDNS           = "dns"
	checkBroker        = "broker"
	checkTLS           = "tls"
	checkSASL          = "sasl"
	checkVersions      = "versions"
	checkTopics        = "topics"
	checkRights        = "rights"
	checkGroup         = "group"
	checkTransactions  = "transactions"
	checkAPI           = "api"
	checkClock         = "clock"
	checkToken         = "token"
	checkCall          = "call"
)

// Failed tells whether something is wrong.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Level == Wrong })
}

// Configuration is what there is to say of a configuration that was loaded with these warnings, or that could not be; traces is
// what is wrong with the variables of OpenTelemetry.
func Configuration(err *config.Error, warnings []string, traces error) []Finding {
	var findings []Finding
	if traces != nil {
		findings = append(findings, Finding{
			Level: Wrong, Check: checkConfiguration, Found: traces.Error(), Do: "correct it: the daemon does not start", Key: "OTEL_…",
		})
	}
	for _, w := range warnings {
		findings = append(findings, Finding{Level: Risk, Check: checkConfiguration, Found: w, Do: "see docs/configuration.md"})
	}
	if err == nil {
		return append(findings, Finding{Level: OK, Check: checkConfiguration, Found: "can be loaded"})
	}
	for _, p := range err.Problems {
		f := Finding{Level: Wrong, Check: checkConfiguration, Subject: p.File, Found: p.Message, Do: "correct it: consentd config checks it too", Key: p.Key}
		if p.Line > 0 {
			f.Subject += fmt.Sprintf(":%d", p.Line)
		}
		if f.Key == "" {
			f.Key = "--config"
		}
		findings = append(findings, f)
	}
	return append(findings, Finding{Level: Skipped, Check: checkBroker, Found: "nothing else was looked at: the configuration can't be loaded"})
}
