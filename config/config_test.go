package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the reference table to docs/configuration.md")

const canary = "canary-8d21"

// load loads a file with this text and these variables.
func load(t *testing.T, text string, environ ...string) (Config, []string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"consentd.yaml": text, "secret": canary + "\n", "empty": "", "nobody.yaml": "[]\n", "two": "a\nb\n",
		"good.yaml": "- {corp_id: f1, token: {source: gettoken, secret_file: $DIR/secret}}\n- {corp_id: f2, token: {source: file, path: p}}\n",
		"bad.yaml":  "- {corp_id: f1, token: {source: file, path: p}}\n- {corp_id: f2, token: {source: file}}\n",
		"keys.yaml": "corps: []\n",
	} {
		content = strings.NewReplacer("$DIR", dir, "$LONG", strings.Repeat("x", 248)).Replace(content)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, warnings, err := Load(filepath.Join(dir, "consentd.yaml"), environ)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), dir+string(os.PathSeparator), ""))
	}
	return cfg, warnings, err
}

func TestLoad_WithoutAnythingGivesTheDefaults(t *testing.T) {
	t.Parallel()
	cfg, warnings, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Instance != host || cfg.Consumer.MaxInFlight != 20000 || cfg.Batch.Linger != 20*time.Millisecond || cfg.Kafka.Brokers[0] != "localhost:9092" || cfg.Delivery != "exactly_once" {
		t.Errorf("defaults: %+v", cfg)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "unknown_corp") {
		t.Errorf("warnings %q, want one about corps", warnings)
	}
}

func TestLoad_TakesTheFileAndTheEnvironmentOverIt(t *testing.T) {
	t.Parallel()
	cfg, warnings, err := load(t, `
kafka: {brokers: [a:1, localhost:9092, "[::1]:9093"], sasl: {mechanism: plain, username: u, password_file: $DIR/secret}}
topics: {changes: changes, create: true}
consumer: {max_in_flight: 5, start: latest}
batch: {size: 7, linger: 1s}
status:
  refresh: 1h30m
corps:
  - {corp_id: ww1, token: {source: gettoken, secret_file: $DIR/secret}}
  - corp_id: ww-2
    token: {source: static}
  - {corp_id: ww3, token: {source: file, path: /tmp/token}}
`, "CONSENTD_BATCH_SIZE=8", "CONSENTD_CONSUMER_GROUP=g", "CONSENTD_CORPS_WW_2_TOKEN_VALUE=v2", "CONSENTD_SERVICE_HOST=10.0.0.1", "CONSENTD_PORT=tcp://x", "HOME=/")
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(cfg.Kafka.Brokers) != "[a:1 localhost:9092 [::1]:9093]" || cfg.Kafka.SASL.Password.Reveal() != canary ||
		cfg.Batch.Size != 8 || cfg.Batch.Linger != time.Second || cfg.Consumer.Group != "g" || cfg.Consumer.MaxInFlight != 5 ||
		cfg.Status.Refresh != 90*time.Minute || !cfg.Topics.Create {
		t.Errorf("%+v", cfg)
	}
	if cfg.Corps[0].Token.Secret.Reveal() != canary || cfg.Corps[1].Token.Secret.Reveal() != "v2" || cfg.Corps[2].Token.Path != "/tmp/token" {
		t.Errorf("corps %+v", cfg.Corps)
	}
	if len(warnings) != 2 {
		t.Errorf("warnings %q, want one for each variable of Kubernetes", warnings)
	}
	cfg, _, err = load(t, "kafka: {brokers: [a:1]}", "CONSENTD_KAFKA_BROKERS=b:2, c:3")
	if err != nil || fmt.Sprint(cfg.Kafka.Brokers) != "[b:2 c:3]" {
		t.Errorf("brokers %q, %v", cfg.Kafka.Brokers, err)
	}
}

func TestLoad_NamesFileLineKeyAndWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, env, want string }{
		{"typo", "batch:\n  sice: 10", "", "consentd.yaml:2: batch.sice: unknown key: did you mean batch.size?"},
		{"unknown section", "nonsense: {a: 1}", "", "consentd.yaml:1: nonsense: unknown key: want one of batch, consumer, corps, delivery, instance, kafka, log, ops, producer, recheck, retry, status, suites, topics, wechat"},
		{"a key of nothing near", "kafka: {sasl: {pass: x}}", "", "consentd.yaml:1: kafka.sasl.pass: unknown key: want one of mechanism, password_file, username"},
		{"a list", "- kafka", "", "consentd.yaml:1: is a list: want keys and values"},
		{"a ticket twice", "suites: [{suite_id: s1, secret_file: $DIR/secret, ticket_file: t}]", "CONSENTD_SUITES_S1_TICKET=x", "CONSENTD_SUITES_S1_TICKET: is set beside suites[0].ticket_file: want one of them"},
		{"no ticket", "suites: [{suite_id: s1, secret_file: $DIR/secret}]", "", "consentd.yaml:1: suites[0].ticket_file: is missing: want the file with the secret of suite s1, or CONSENTD_SUITES_S1_TICKET"},
		{"out of range", "batch: {size: 500}", "", `consentd.yaml:1: batch.size: "500": want an integer of 1 to 100`},
		{"not a number", "batch: {size: many}", "", `consentd.yaml:1: batch.size: "many": want an integer of 1 to 100`},
		{"fraction", "batch: {size: 1.5}", "", `consentd.yaml:1: batch.size: "1.5": want an integer of 1 to 100`},
		{"duration without unit", "batch: {linger: 20}", "", `consentd.yaml:1: batch.linger: "20": want a duration of 0s to 10s, such as 20ms, 10s or 1h`},
		{"negative duration", "batch: {linger: -1s}", "", `consentd.yaml:1: batch.linger: "-1s": want a duration`},
		{"bool", "topics: {create: maybe}", "", `consentd.yaml:1: topics.create: "maybe": want true or false`},
		{"list for text", "consumer: {group: [a]}", "", `consentd.yaml:1: consumer.group: is a list: want text`},
		{"mapping for text", "consumer: {group: {a: 1, b: 2}}", "", `consentd.yaml:1: consumer.group: is a mapping: want text`},
		{"text for section", "batch: 7", "", `consentd.yaml:1: batch: is "7": want keys and values`},
		{"broker", "kafka: {brokers: [nohost]}", "", `consentd.yaml:1: kafka.brokers: "nohost": want host:port`},
		{"no brokers", "kafka: {brokers: []}", "", `consentd.yaml:1: kafka.brokers: is empty`},
		{"topic", "topics: {results: a b}", "", `consentd.yaml:1: topics.results: "a b": want a topic name`},
		{"same topic", "topics:\n  results: consent.requests", "", `consentd.yaml:2: topics.results: "consent.requests" is topics.requests already: want a topic of its own`},
		{"start", "consumer: {start: now}", "", `consentd.yaml:1: consumer.start: "now": want earliest or latest`},
		{"mechanism", "kafka: {sasl: {mechanism: gssapi}}", "", `consentd.yaml:1: kafka.sasl.mechanism: "gssapi": want plain or scram-sha-256 or scram-sha-512`},
		{"sasl half", "kafka: {sasl: {mechanism: plain}}", "", `consentd.yaml:1: kafka.sasl.mechanism: plain needs username and password_file`},
		{"tls half", "kafka: {tls: {enabled: true, cert_file: $DIR/secret}}", "", `consentd.yaml:1: kafka.tls.cert_file: cert_file and key_file go together`},
		{"tls off", "kafka: {tls: {ca_file: a}}", "", `kafka.tls.enabled: is false, but other keys`},
		{"http", "wechat: {base_url: 'http://example.com'}", "", `consentd.yaml:1: wechat.base_url: is plain http to a host that is not loopback`},
		{"url with user", "wechat: {base_url: 'https://u:canary-8d21@example.com'}", "", `consentd.yaml:1: wechat.base_url: want https://`},
		{"timeouts", "consumer:\n  session_timeout: 30s", "", `consentd.yaml:2: consumer.session_timeout: 30s: want more than 36s`},
		{"intervals", "retry: {initial_interval: 10s}", "", `retry.max_interval: 5s is less than retry.initial_interval (10s)`},
		{"delivery", "delivery: twice", "", `consentd.yaml:1: delivery: "twice": want exactly_once or at_least_once`},
		{"half a suite", "suites: [{suite_id: s1}]", "", `consentd.yaml:1: suites[0].secret_file: is missing: want the file with the secret of suite s1, or CONSENTD_SUITES_S1_SECRET`},
		{"suite without tickets", "suites: [{suite_id: s1, secret_file: $DIR/secret}]", "", `consentd.yaml:1: suites[0].ticket_file: is missing`},
		{"suite twice", "suites: [{suite_id: s1, secret_file: $DIR/secret, ticket_file: t}, {suite_id: s1, secret_file: $DIR/secret, ticket_file: t}]", "", `consentd.yaml:1: suites[1].suite_id: s1 is suites[0] already: want each once`},
		{"suite's key", "suites: [{suite_id: s1, ticket: x}]", "", `consentd.yaml:1: suites[0].ticket: unknown key: want suite_id, secret_file, ticket_file`},
		{"unknown suite", "corps: [{corp_id: a, token: {source: suite, suite_id: s2, permanent_code_file: $DIR/secret}}]", "", `consentd.yaml:1: corps[0].token.suite_id: "s2" is not one of suites`},
		{"no permanent code", "suites: [{suite_id: s1, secret_file: $DIR/secret, ticket_file: t}]\ncorps: [{corp_id: a, token: {source: suite, suite_id: s1}}]", "", `consentd.yaml:2: corps[0].token.permanent_code_file: is missing: want the file with the secret of corp a, or CONSENTD_CORPS_A_TOKEN_PERMANENT_CODE`},
		{"token service", "corps: [{corp_id: a, token: {source: http, url: canary-8d21}}]", "", `consentd.yaml:1: corps[0].token.url: want https://host[:port][/path]`},
		{"token service in the clear", "corps: [{corp_id: a, token: {source: http, url: 'http://example.com/canary-8d21'}}]", "", `consentd.yaml:1: corps[0].token.url: is plain http to a host that is not loopback`},
		{"corps file absent", "wechat: {corps_file: $DIR/none}", "", `none: no such file or directory`},
		{"corps file with keys", "wechat: {corps_file: $DIR/keys.yaml}", "", `keys.yaml:1: corps_file: is a mapping: want a list`},
		{"corps file with a problem", "wechat: {corps_file: $DIR/bad.yaml}", "", `bad.yaml:2: corps_file[1].token.path: is missing: want the file that holds the access_token`},
		{"corp in both", "wechat: {corps_file: $DIR/good.yaml}\ncorps: [{corp_id: f1, token: {source: file, path: p}}]", "", `good.yaml:1: corps_file[0].corp_id: f1 is corps[0] already: want each once`},
		{"delay", "retry: {delays: [soon]}", "", `consentd.yaml:1: retry.delays: "soon": want durations of 1s to 168h`},
		{"delay too short", "retry: {delays: [500ms]}", "", `consentd.yaml:1: retry.delays: "500ms": want durations of 1s to 168h`},
		{"delay twice", "retry: {delays: [1m, 60s]}", "", `consentd.yaml:1: retry.delays: 60s is as long as 1m: want each once`},
		{"many delays", "retry: {delays: [1s, 2s, 3s, 4s, 5s, 6s, 7s, 8s, 9s, 10s, 11s, 12s, 13s, 14s, 15s, 16s, 17s]}", "", `consentd.yaml:1: retry.delays: has 17 delays: want at most 16`},
		{"delay's topic", "topics: {results: consent.retry-1m}", "", `the topic of 1m, consent.retry-1m, is topics.results already`},
		{"long topic", "topics: {retry_prefix: $LONG}", "", `want a topic name: 1 to 249 characters`},
		{"max_age", "retry: {max_age: 30s}", "", `consentd.yaml:1: retry.max_age: 30s is less than the first of retry.delays (1m)`},
		{"no source", "corps: [{corp_id: a}]", "", `consentd.yaml:1: corps[0].token.source: "": want gettoken, suite, http, file or static`},
		{"two sources", "corps: [{corp_id: a, token: {source: gettoken, secret_file: $DIR/secret, path: p}}]", "", `consentd.yaml:1: corps[0].token.path: does not belong to source gettoken: want secret_file`},
		{"no secret", "corps: [{corp_id: a.b, token: {source: gettoken}}]", "", `consentd.yaml:1: corps[0].token.secret_file: is missing: want the file with the secret of corp a.b, or CONSENTD_CORPS_A_B_TOKEN_SECRET`},
		{"absent secret", "corps: [{corp_id: a, token: {source: gettoken, secret_file: $DIR/none}}]", "", `consentd.yaml:1: corps[0].token.secret_file: file none: no such file or directory`},
		{"empty secret", "corps: [{corp_id: a, token: {source: gettoken, secret_file: $DIR/empty}}]", "", `consentd.yaml:1: corps[0].token.secret_file: file empty: want one line with the secret`},
		{"two lines", "corps: [{corp_id: a, token: {source: static, value_file: $DIR/two}}]", "", `consentd.yaml:1: corps[0].token.value_file: file two: want one line with the secret`},
		{"corp twice", "corps:\n - {corp_id: a, token: {source: file, path: p}}\n - {corp_id: a, token: {source: file, path: p}}", "", `consentd.yaml:3: corps[1].corp_id: a is corps[0] already: want each once`},
		{"corp id", "corps: [{corp_id: 'a/b', token: {source: file, path: p}}]", "", `consentd.yaml:1: corps[0].corp_id: "a/b": want 1 to 128 characters`},
		{"corp key", "corps: [{corp_id: a, tokn: {}}]", "", `consentd.yaml:1: corps[0].tokn: unknown key: want corp_id, token`},
		{"corps a mapping", "corps: {a: 1, b: 2}", "", `consentd.yaml:1: corps: is a mapping: want a list`},
		{"not YAML", "a: [", "", `consentd.yaml:1: not valid YAML`},
		{"duplicate key", "log: {level: info}\nlog: {level: warn}", "", `consentd.yaml:2: log: stands twice, first on line 1: want it once`},
		{"two documents", "log: {level: info}\n---\nlog: {level: warn}", "", `consentd.yaml: has 2 documents: want one`},
		{"dotted key", "batch.size: 7", "", "consentd.yaml:1: batch.size: unknown key: want sections, as in batch: {size: 100}"},
		{"quoted number", "batch: {size: \"7\"}", "", `consentd.yaml:1: batch.size: is "7": want an integer of 1 to 100, without quotes`},
		{"number for text", "consumer: {group: 5}", "", "consentd.yaml:1: consumer.group: is 5, which is no text: want it in quotes"},
		{"number for a corp", "corps: [{corp_id: 123, token: {source: file, path: p}}]", "", "consentd.yaml:1: corps[0].corp_id: is 123, which is no text: want it in quotes"},
		{"anchor", "batch: &b {size: 5}", "", "consentd.yaml:1: batch: is an anchor, alias or tag, which are not read here"},
		{"instance of two lines", "instance: \"a\\nb\"", "", `consentd.yaml:1: instance: "a\nb": want 1 to 128 characters`},
		{"item field", "wechat: {item_field: 1-.}", "", `consentd.yaml:1: wechat.item_field: "1-.": want a letter or _`},
		{"port", "wechat: {base_url: 'https://h:99999'}", "", "consentd.yaml:1: wechat.base_url: want https://host"},
		{"no certificate", "kafka: {tls: {enabled: true, ca_file: $DIR/secret}}", "", "consentd.yaml:1: kafka.tls.ca_file: secret has no certificate: want PEM"},
		{"no client certificate", "kafka: {tls: {enabled: true, cert_file: $DIR/none, key_file: $DIR/none}}", "", "consentd.yaml:1: kafka.tls.cert_file: file none: no such file or directory\nconsentd.yaml:1: kafka.tls.key_file: file none: no such file or directory"},
		{"section's line", "retry:\n  initial_interval: 10s", "", "consentd.yaml:1: retry.max_interval: 5s is less than"},
		{"variable against the file", "consumer: {rebalance_timeout: 1m}", "CONSENTD_CONSUMER_SESSION_TIMEOUT=30s", "CONSENTD_CONSUMER_SESSION_TIMEOUT: 30s: want more than 36s"},
		{"empty secret variable", "corps: [{corp_id: a, token: {source: gettoken, secret_file: $DIR/secret}}]", "CONSENTD_CORPS_A_TOKEN_SECRET=", "CONSENTD_CORPS_A_TOKEN_SECRET: want one line with the secret"},
		{"variable of a file's corp", "corps: [{corp_id: a, token: {source: file, path: p}}]", "CONSENTD_CORPS_A_TOKEN_SECRET=canary-8d21", "CONSENTD_CORPS_A_TOKEN_SECRET: unknown variable"},
		{"variable unknown", "", "CONSENTD_BATCH_SICE=1", `CONSENTD_BATCH_SICE: unknown variable: did you mean CONSENTD_BATCH_SIZE?`},
		{"variable wrong", "", "CONSENTD_BATCH_SIZE=x", `CONSENTD_BATCH_SIZE: "x": want an integer of 1 to 100`},
		{"variable of a list", "", "CONSENTD_KAFKA_BROKERS=a", `CONSENTD_KAFKA_BROKERS: "a": want host:port`},
		{"variable empty", "", "CONSENTD_CONSUMER_GROUP=", `CONSENTD_CONSUMER_GROUP: "": want 1 to 128 characters`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var environ []string
			if c.env != "" {
				environ = append(environ, c.env)
			}
			_, _, err := load(t, c.text, environ...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got:\n%v\nwant:\n%s", err, c.want)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("a secret is in: %v", err)
			}
		})
	}
}

func TestLoad_ReportsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, "batch: {size: 0}\nlog: {level: loud}\ntopics: {reqests: x}\n", "CONSENTD_RETRY_MAX_ELAPSED=never", "CONSENTD_NONSENSE=1")
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Fatalf("want five lines, got:\n%v", err)
	}
	for i, want := range []string{":1: batch.size", ":2: log.level", ":3: topics.reqests", "CONSENTD_NONSENSE", "CONSENTD_RETRY_MAX_ELAPSED"} {
		if line := strings.Split(err.Error(), "\n")[i]; !strings.Contains(line, want) {
			t.Errorf("line %d is %q, want %s", i, line, want)
		}
	}
}

func TestLoad_OneProblemHidesNoOtherAndCausesNone(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, `
consumer: {session_timeout: soon, heartbeat_interval: 0s}
log: {level: info, level: loud}
corps:
  - {corp_id: [1], token: 7}
  - 3
  - {corp_id: a, foo: 1, token: {source: gettoken, bar: 2}}
`, "CONSENTD_CORPS_A_TOKEN_SECRET=x")
	want := `consentd.yaml:2: consumer.heartbeat_interval: "0s": want a duration of 100ms to 1m, such as 20ms, 10s or 1h
consentd.yaml:2: consumer.session_timeout: "soon": want a duration of 1s to 30m, such as 20ms, 10s or 1h
consentd.yaml:3: log.level: stands twice, first on line 3: want it once
consentd.yaml:5: corps[0].corp_id: is a list: want text
consentd.yaml:5: corps[0].token: is "7": want keys and values
consentd.yaml:6: corps[1]: is "3": want keys and values
consentd.yaml:7: corps[2].foo: unknown key: want corp_id, token
consentd.yaml:7: corps[2].token.bar: unknown key: want source, secret_file, suite_id, permanent_code_file, path, url, value_file`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestLoad_ReadsTextsOfSeveralLinesAsYAMLHasThem(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"instance: |\n  pod-1\n", "instance: >-\n  pod-1\n"} {
		if cfg, _, err := load(t, text); err != nil || cfg.Instance != "pod-1" {
			t.Errorf("%q: instance %q, %v", text, cfg.Instance, err)
		}
	}
}

func TestLoad_RefusesASecretBesideTheVariableOfItsFile(t *testing.T) {
	t.Parallel()
	_, _, err := load(t, "kafka: {sasl: {mechanism: plain, username: u}}", "CONSENTD_KAFKA_SASL_PASSWORD="+canary, "CONSENTD_KAFKA_SASL_PASSWORD_FILE=f")
	if want := "CONSENTD_KAFKA_SASL_PASSWORD: is set beside CONSENTD_KAFKA_SASL_PASSWORD_FILE: want one of them"; err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestSecret_IsHiddenInUnexportedFieldsAndFromEveryVerb(t *testing.T) {
	t.Parallel()
	holder := struct{ config Config }{Config{Kafka: Kafka{SASL: SASL{Password: NewSecret(canary)}}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
		for _, value := range []any{holder, &holder, holder.config, holder.config.Kafka.SASL.Password} {
			shown := fmt.Sprintf(verb, value)
			if strings.Contains(shown, canary) || strings.Contains(shown, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s of %T shows the secret", verb, value)
			}
		}
	}
}

func TestLoad_CorpsMayStandInAFileOfTheirOwn(t *testing.T) {
	t.Parallel()
	cfg, _, err := load(t, "wechat: {corps_file: $DIR/good.yaml}\ncorps: [{corp_id: a, token: {source: file, path: p}}]")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range cfg.AllCorps() {
		ids = append(ids, c.CorpID)
	}
	if strings.Join(ids, " ") != "a f1 f2" || cfg.AllCorps()[1].Token.Secret.Reveal() != canary {
		t.Errorf("corps %v", ids)
	}
	if _, warnings, err := load(t, "wechat: {corps_file: $DIR/nobody.yaml}"); err != nil || len(warnings) > 0 {
		t.Errorf("an empty list: %v, %q", err, warnings)
	}
	if _, _, err := load(t, "wechat: {corps_file: $DIR/empty}"); err == nil || !strings.Contains(err.Error(), ":1: wechat.corps_file: file") || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty file, as when it is being written: %v", err)
	}
	if cfg, _, err := load(t, "", "CONSENTD_WECHAT_CORPS_FILE=", "CONSENTD_RETRY_DELAYS=5s, 1m30s"); err != nil || len(cfg.AllCorps()) > 0 ||
		fmt.Sprint(cfg.RetryTopics()) != "[{consent.retry-5s 5s} {consent.retry-1m30s 1m30s}]" {
		t.Errorf("%v, retry topics %v", err, cfg.RetryTopics())
	}
}

func TestLoad_TokenSourcesOfEveryKind(t *testing.T) {
	t.Parallel()
	cfg, _, err := load(t, `
suites: [{suite_id: s1, secret_file: $DIR/secret, ticket_file: /run/ticket}, {suite_id: s.2, ticket_file: /run/ticket2}]
corps:
  - {corp_id: a, token: {source: suite, suite_id: s1, permanent_code_file: $DIR/secret}}
  - {corp_id: b, token: {source: suite, suite_id: s.2}}
  - {corp_id: c, token: {source: http, url: "https://user:`+canary+`@tokens.example:8443/`+canary+`?key=`+canary+`"}}
`, "CONSENTD_SUITES_S_2_SECRET=s2secret", "CONSENTD_CORPS_B_TOKEN_PERMANENT_CODE=code of b")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		cfg.Suites[0].Secret.Reveal(): canary, cfg.Suites[1].Secret.Reveal(): "s2secret",
		cfg.Corps[1].Token.Secret.Reveal(): "code of b",
		cfg.Corps[2].Token.Secret.Reveal(): "https://user:" + canary + "@tokens.example:8443/" + canary + "?key=" + canary,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	text, err := cfg.YAML()
	if err != nil || !strings.Contains(string(text), "https://tokens.example:8443/[hidden]") {
		t.Errorf("%v in\n%s", err, text)
	}
	if shown := string(text) + fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(shown, canary) {
		t.Errorf("a secret is shown: %s", shown)
	}
}

func TestLoad_NamesAFileThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, _, err := Load("none.yaml", nil)
	var e *Error
	if !errors.As(err, &e) || err.Error() != "none.yaml: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func TestYAML_LoadsAgainAndHidesSecrets(t *testing.T) {
	t.Parallel()
	cfg, _, err := load(t, "topics: {create: true}\nbatch: {size: 7}\ncorps: [{corp_id: a, token: {source: gettoken, secret_file: $DIR/secret}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := load(t, string(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", cfg) {
		t.Errorf("loaded again:\n%+v\nwas:\n%+v", again, cfg)
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), string(asJSON), fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, cfg.Corps[0].Token.Secret)} {
		if strings.Contains(shown, canary) {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
}

func TestExample_Loads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../examples/consentd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := load(t, strings.ReplaceAll(string(text), "/run/secrets/ww1", "$DIR/secret"))
	if err != nil || len(cfg.Corps) != 1 {
		t.Errorf("%v, %+v", err, cfg.Corps)
	}
}

func TestReference_IsWhatThePageHas(t *testing.T) {
	t.Parallel()
	const page = "../docs/configuration.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- keys -->\n", "<!-- end of keys -->\n"
	before, rest, ok1 := strings.Cut(string(text), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %s…%s", page, begin, end)
	}
	if table == Reference() {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the table: run go test ./config -update", page)
	}
	if err := os.WriteFile(page, []byte(before+begin+Reference()+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("batch: {size: 5}", "CONSENTD_BATCH_SIZE=5")
	f.Add("corps: [{corp_id: a, token: {source: static}}]", "CONSENTD_CORPS_A_TOKEN_VALUE=x")
	f.Add("kafka: {brokers: [a:1, b:2]}", "")
	f.Fuzz(func(t *testing.T, text, variable string) {
		file := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := Load(file, []string{variable})
		if err != nil {
			if !errors.As(err, new(*Error)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if cfg.Batch.Size < 1 || cfg.Batch.Size > 100 || len(cfg.Kafka.Brokers) == 0 {
			t.Fatalf("loaded %+v", cfg)
		}
	})
}
