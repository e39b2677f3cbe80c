package config

import "reflect"

// later are the keys whose feature does not exist yet: they are refused when they are set to other than their default,
// never ignored.
var later = map[string]string{
	"topics.forward":               "several instances",
	"topics.retry_prefix":          "parking",
	"producer.transaction_timeout": "transactions",
	"wechat.calls_per_minute":      "quotas",
	"wechat.corp_calls_per_minute": "quotas",
	"wechat.corps_file":            "a list of corps that is read anew",
	"retry.delays":                 "parking",
	"retry.max_age":                "parking",
	"delivery":                     "exactly_once",
	"ops.listen":                   "metrics and health",
}

// laterSources are the token sources that do not exist yet.
var laterSources = map[string]bool{"suite": true, "http": true}

func (l *loader) refuseLater() {
	d := Default()
	defaults := fields(&d)
	for i, f := range l.fields {
		feature, ok := later[f.key]
		if ok && !reflect.DeepEqual(f.value.Interface(), defaults[i].value.Interface()) {
			if f.key == "delivery" {
				l.problem(f.key, "exactly_once is not available yet: use at_least_once")
				continue
			}
			l.problem(f.key, "%s is not available yet: leave the key out (its default is %s)", feature, f.tag("default"))
		}
	}
	if len(l.config.Suites) > 0 {
		l.problem("suites", "the suite flow is not available yet: leave the key out")
	}
}
