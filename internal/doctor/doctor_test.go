package doctor

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/wechat/wechattest"
)

func TestExamine_FindsNothingWrongInAHealthyWorld(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*world){
		"plain": func(*world) {},
		"tls": func(w *world) {
			w.withTLS("127.0.0.1")
			w.last = func(c *config.Config) { c.Kafka.TLS = config.TLS{Enabled: true, CAFile: w.trust} }
		},
		"suite":         (*world).bySuite,
		"at_least_once": func(w *world) { w.cfg.Delivery = "at_least_once" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			plant(w)
			w.start()
			checks := make(map[string]bool)
			for _, f := range w.examine() {
				checks[f.Check] = true
				if f.Level != OK {
					t.Errorf("%+v", f)
				}
			}
			for _, check := range []string{checkBroker, checkSASL, checkTopics, checkRights, checkGroup, checkAPI, checkClock, checkToken, checkCall} {
				if !checks[check] {
					t.Errorf("%s was not looked at", check)
				}
			}
		})
	}
}

// deny is a right that this user does not have.
func deny(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op}
}

// setting gives a topic another setting than it must have.
func setting(topic, name, value string) func(*broker.TopicSpec) bool {
	return func(s *broker.TopicSpec) bool {
		if s.Name == topic {
			s.Configs[name] = value
		}
		return true
	}
}

func TestExamine_FindsEachMisconfigurationAndNamesTheKeyToChange(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		plant      func(*world)
		check, key string
	}{
		{"a broker's port is wrong", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.Brokers = []string{closedPort(w.t)} }
		}, checkBroker, "kafka.brokers"},
		{"a broker's port is another service's", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.Brokers = []string{strings.TrimPrefix(w.server.URL, "http://")} }
		}, checkBroker, "kafka.brokers"},
		{"a broker's name is wrong", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.Brokers = []string{"no-such-broker.invalid:9092"} }
		}, checkDNS, "kafka.brokers"},
		{"one of several brokers is wrong", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.Brokers = append(c.Kafka.Brokers, closedPort(w.t)) }
		}, checkBroker, "kafka.brokers"},
		{"TLS against a plain broker", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.TLS.Enabled = true }
		}, checkTLS, "kafka.tls.enabled"},
		{"no TLS against a broker that wants it", func(w *world) { w.withTLS("127.0.0.1") }, checkTLS, "kafka.tls.enabled"},
		{"the broker's certificate is not trusted", func(w *world) {
			w.withTLS("127.0.0.1")
			w.last = func(c *config.Config) { c.Kafka.TLS.Enabled = true }
		}, checkTLS, "kafka.tls.ca_file"},
		{"the broker's certificate is for another name", func(w *world) {
			w.withTLS("127.0.0.1")
			w.last = func(c *config.Config) {
				c.Kafka.TLS = config.TLS{Enabled: true, CAFile: w.trust, ServerName: "other.test"}
			}
		}, checkTLS, "kafka.tls.server_name"},
		{"no login where there must be one", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.SASL = config.SASL{} }
		}, checkSASL, "kafka.sasl.mechanism"},
		{"a wrong SASL password", func(w *world) {
			w.last = func(c *config.Config) { c.Kafka.SASL.Password = config.NewSecret("wrong-" + canary) }
		}, checkSASL, "kafka.sasl.password_file"},
		{"a topic is absent", func(w *world) {
			w.topic = func(s *broker.TopicSpec) bool { return s.Name != w.cfg.Topics.Results }
		}, checkTopics, "topics.results"},
		{"the status topic is not compacted", func(w *world) {
			w.topic = setting(w.cfg.Topics.Status, "cleanup.policy", "delete")
		}, checkTopics, "topics.status: cleanup.policy"},
		{"the status topic is deleted from by age too", func(w *world) {
			w.topic = setting(w.cfg.Topics.Status, "cleanup.policy", "compact,delete")
		}, checkTopics, "topics.status: cleanup.policy"},
		{"the request topic is compacted", func(w *world) {
			w.topic = setting(w.cfg.Topics.Requests, "cleanup.policy", "compact")
		}, checkTopics, "topics.requests: cleanup.policy"},
		{"numbers of partitions differ", func(w *world) {
			w.topic = func(s *broker.TopicSpec) bool {
				if s.Name == w.cfg.Topics.Forward {
					s.Partitions = 5
				}
				return true
			}
		}, checkTopics, "topics.forward"},
		{"max.message.bytes is too small", func(w *world) {
			w.topic = setting(w.cfg.Topics.DeadLetters, "max.message.bytes", "1048588")
		}, checkTopics, "topics.dead_letters: max.message.bytes"},
		{"fewer replicas than min.insync.replicas", func(w *world) {
			w.topic = setting(w.cfg.Topics.Results, "min.insync.replicas", "4")
		}, checkTopics, "topics.results: min.insync.replicas"},
		{"retention is shorter than retry.max_age", func(w *world) {
			w.topic = setting(w.cfg.RetryTopics()[0].Name, "retention.ms", "60000")
		}, checkTopics, "topics.retry_prefix: retention.ms"},
		{"results may not be written", func(w *world) {
			w.rights = []kfake.ACL{deny(kmsg.ACLResourceTypeTopic, w.cfg.Topics.Results, kmsg.ACLOperationWrite)}
		}, checkRights, "topics.results"},
		{"requests may not be seen", func(w *world) {
			w.rights = []kfake.ACL{deny(kmsg.ACLResourceTypeTopic, w.cfg.Topics.Requests, kmsg.ACLOperationDescribe)}
		}, checkTopics, "topics.requests"},
		{"the group may not be read", func(w *world) {
			w.rights = []kfake.ACL{deny(kmsg.ACLResourceTypeGroup, w.cfg.Consumer.Group, kmsg.ACLOperationRead)}
		}, checkRights, "consumer.group"},
		{"the transactional id is not authorised", func(w *world) {
			w.rights = []kfake.ACL{deny(kmsg.ACLResourceTypeTransactionalId, "consentd-host-1", kmsg.ACLOperationWrite)}
		}, checkTransactions, "delivery"},
		{"the transaction timeout is longer than the brokers allow", func(w *world) {
			w.options = append(w.options, kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "10000"}))
		}, checkGroup, "producer.transaction_timeout"},
		{"base_url's host is wrong", func(w *world) {
			w.last = func(c *config.Config) { c.WeChat.BaseURL = "http://" + closedPort(w.t) }
		}, checkAPI, "wechat.base_url"},
		{"base_url's name is wrong", func(w *world) {
			w.last = func(c *config.Config) { c.WeChat.BaseURL = "https://no-such-api.invalid" }
		}, checkDNS, "wechat.base_url"},
		{"base_url is another site", func(w *world) {
			w.handler = func(http.Handler) http.Handler { return http.NotFoundHandler() }
		}, checkToken, "wechat.base_url"},
		{"base_url is https to a plain port", func(w *world) {
			w.last = func(c *config.Config) { c.WeChat.BaseURL = strings.Replace(c.WeChat.BaseURL, "http:", "https:", 1) }
		}, checkTLS, "wechat.base_url"},
		{"the clock is wrong", func(w *world) {
			w.handler = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("Date", time.Now().Add(5*time.Minute).UTC().Format(http.TimeFormat))
					next.ServeHTTP(rw, r)
				})
			}
		}, checkClock, "this machine's clock"},
		{"a wrong secret", func(w *world) { w.sim.SetSecret("ww2", "another") }, checkToken, "corps[1].token.secret_file"},
		{"a wrong corp id", func(w *world) {
			w.sim.Script(wechattest.Fault{Corp: "ww2", Kind: wechattest.GetToken, Errcode: 40013})
		}, checkToken, "corps[1].corp_id"},
		{"a wrong suite secret", func(w *world) {
			w.bySuite()
			w.sim.SetSuiteSecret("s1", "another")
		}, checkToken, "suites[0].secret_file"},
		{"a suite ticket that nobody writes", func(w *world) {
			w.bySuite()
			w.cfg.Suites[0].TicketFile += ".absent"
		}, checkToken, "suites[0].ticket_file"},
		{"a permanent code that is void", func(w *world) {
			w.bySuite()
			w.sim.Script(wechattest.Fault{Corp: "ww2", Kind: wechattest.GetCorpToken, Errcode: 40084})
		}, checkToken, "corps[1].token.permanent_code_file"},
		{"a token file that is empty", func(w *world) {
			w.cfg.Corps[1].Token = config.Token{Source: "file", Path: w.file("token", "")}
		}, checkToken, "corps[1].token.path"},
		{"a token of another time", func(w *world) {
			w.cfg.Corps[1].Token = config.Token{Source: "static", Secret: config.NewSecret(canary)}
		}, checkCall, "corps[1].token.value_file"},
		{"a token service that is down", func(w *world) {
			w.cfg.Corps[1].Token = config.Token{Source: "http", Secret: config.NewSecret("http://" + closedPort(w.t) + "/" + canary)}
		}, checkToken, "corps[1].token.url"},
		{"the caller's IP is not allowed", func(w *world) {
			w.sim.Script(wechattest.Fault{Corp: "ww1", Kind: wechattest.Single, Errcode: 60020})
		}, checkCall, "corps[0]"},
		{"the archive's permission is missing", func(w *world) {
			w.sim.Script(wechattest.Fault{Corp: "ww2", Kind: wechattest.Single, Errcode: 48002})
		}, checkCall, "corps[1]"},
		{"the item field has another name", func(w *world) {
			w.sim.Script(wechattest.Fault{Corp: "ww2", Kind: wechattest.Single, Errmsg: wechattest.WrongJSON})
		}, checkCall, "wechat.item_field"},
		{"there is no corp", func(w *world) { w.cfg.Corps = nil }, checkToken, "corps"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tc.plant(w)
			w.start()
			findings := w.examine()
			level := Wrong
			if tc.key == "corps" {
				level = Risk
			}
			if !slices.ContainsFunc(findings, func(f Finding) bool {
				return f.Level == level && f.Check == tc.check && f.Key == tc.key && f.Found != "" && f.Do != ""
			}) {
				t.Errorf("no finding %s about %s that names %s:\n%s", level, tc.check, tc.key, listed(findings))
			}
			for _, f := range findings {
				if f.Level == Wrong && (f.Check != tc.check || f.Key != tc.key) {
					t.Errorf("this is wrong too, which was not planted: %+v", f)
				}
			}
		})
	}
}

func listed(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(strings.Join([]string{string(f.Level), f.Check, f.Subject, f.Found, f.Do, f.Key}, " | ") + "\n")
	}
	return b.String()
}

func TestConfiguration_NamesTheKeyOfEachProblem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, yaml, key string }{
		{"a secret file is missing", "corps: [{corp_id: ww1, token: {source: gettoken, secret_file: /no/such/file}}]", "corps[0].token.secret_file"},
		{"plain http to a host elsewhere", "wechat: {base_url: 'http://qyapi.weixin.qq.com'}", "wechat.base_url"},
		{"an unknown key", "kafka: {broker: [a:1]}", "kafka.broker"},
		{"timeouts that don't go together", "consumer: {session_timeout: 20s}", "consumer.session_timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := config.Load((&world{t: t}).file("c.yaml", tc.yaml+"\n"), nil)
			var problems *config.Error
			if !errors.As(err, &problems) {
				t.Fatalf("got %v", err)
			}
			findings := Configuration(problems, nil, nil)
			if !Failed(findings) || findings[0].Key != tc.key || !strings.HasSuffix(findings[0].Subject, "c.yaml:1") {
				t.Errorf("got %+v, want key %s", findings, tc.key)
			}
		})
	}
	if findings := Configuration(nil, []string{"something is ignored"}, nil); Failed(findings) || findings[0].Level != Risk || findings[1].Level != OK {
		t.Errorf("a warning alone: got %+v", findings)
	}
}

func TestExamine_CallsNothingWrongThatItWasKeptFromLookingAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	skipped := 0
	Examine(ctx, w.cfg, Options{}, func(f Finding) {
		if f.Level == Skipped {
			skipped++
		}
		if f.Level == Wrong || f.Level == Risk || f.Do != "" {
			t.Errorf("%+v", f)
		}
	})
	if skipped == 0 {
		t.Error("nothing is said to be skipped")
	}
}

func TestExamine_DoesNotGoOnWithWrongSecretsUntilTheIPIsBanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Corps = nil
	for _, id := range []string{"wa", "wb", "wc", "wd", "we", "wf", "wg", "wh", "wi", "wj", "wk", "wl"} {
		w.sim.SetSecret(id, "another")
		w.cfg.Corps = append(w.cfg.Corps, config.Corp{CorpID: id, Token: config.Token{Source: "gettoken", Secret: config.NewSecret(canary)}})
	}
	w.start()
	skipped := 0
	for _, f := range w.examine() {
		if f.Check == checkToken && f.Level == Skipped {
			skipped++
		}
	}
	tried := w.sim.Stats().Calls.GetToken
	if most := int64(enoughRefused + corpsAtOnce - 1); tried > most || skipped != len(w.cfg.Corps)-int(tried) {
		t.Errorf("%d secrets were tried and %d corps skipped, want at most %d and the others", tried, skipped, most)
	}
}

func TestExamine_SendsNothingThatChangesAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var paths []string
	w.handler = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			paths = append(paths, r.URL.Path)
			next.ServeHTTP(rw, r)
		})
	}
	w.cfg.Corps = w.cfg.Corps[:1]
	w.start()
	keys := watchRequests(w)
	w.examine()
	if want := []string{"/", "/cgi-bin/gettoken", "/cgi-bin/chatdata/getagreestatus/single"}; !slices.Equal(paths, want) {
		t.Errorf("the API was asked for %q, want %q", paths, want)
	}
	reading := []kmsg.Key{
		kmsg.ApiVersions, kmsg.Metadata, kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.DescribeConfigs, kmsg.DescribeGroups,
		kmsg.FindCoordinator, kmsg.EndTxn, // of a transaction that can't exist
	}
	for key := range keys() {
		if !slices.Contains(reading, key) {
			t.Errorf("%s was sent", key.Name())
		}
	}
}
