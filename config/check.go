package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// check looks at what settings mean together.
func (l *loader) check() {
	c := &l.config
	if c.Instance == "" {
		name, err := os.Hostname()
		if err != nil || name == "" {
			l.problem("instance", "is empty and this host has no name: set it")
		}
		c.Instance = name
	}
	l.checkTopics()
	l.checkKafka()
	l.checkBaseURL()
	l.checkTimeouts()
	if !l.flawed("retry.initial_interval", "retry.max_interval") && c.Retry.MaxInterval < c.Retry.InitialInterval {
		l.problem("retry.max_interval", "%s is less than retry.initial_interval (%s): want at least that", c.Retry.MaxInterval, c.Retry.InitialInterval)
	}
	if !l.flawed("recheck.every", "recheck.older_than", "status.refresh") && c.Recheck.Every > 0 && c.Recheck.OlderThan <= c.Status.Refresh {
		l.problem("recheck.older_than", "%s is not more than status.refresh (%s): want more, since checked_at may be that far behind", c.Recheck.OlderThan, c.Status.Refresh)
	}
	if len(c.AllCorps()) == 0 && c.WeChat.CorpsFile == "" && len(l.problems) == 0 {
		l.warnings = append(l.warnings, "corps is empty: every request will fail with unknown_corp")
	}
}

// checkTopics wants a topic to have one use.
func (l *loader) checkTopics() {
	uses := make(map[string]string)
	for _, f := range l.fields {
		name := f.value.String()
		if !strings.HasPrefix(f.tag("range"), "topic") || name == "" {
			continue
		}
		if other, ok := uses[name]; ok {
			l.problem(f.key, "%q is %s already: want a topic of its own", name, other)
		}
		uses[name] = f.key
	}
	l.checkRetry(uses)
}

// checkRetry looks at the delays, each of which has a topic.
func (l *loader) checkRetry(uses map[string]string) {
	if l.flawed("retry.delays", "topics.retry_prefix") {
		return
	}
	topics := l.config.RetryTopics()
	if len(topics) > maxDelays {
		l.problem("retry.delays", "has %d delays: want at most %d", len(topics), maxDelays)
	}
	delays := make(map[time.Duration]string)
	for i, t := range topics {
		text := l.config.Retry.Delays[i]
		if other, ok := delays[t.Delay]; ok {
			l.problem("retry.delays", "%s is as long as %s: want each once", text, other)
		}
		delays[t.Delay] = text
		if err := checkText("topic", t.Name); err != nil {
			l.problem("retry.delays", "%v", err)
		}
		if other, ok := uses[t.Name]; ok {
			l.problem("retry.delays", "the topic of %s, %s, is %s already: want a topic of its own", text, t.Name, other)
		}
	}
	if !l.flawed("retry.max_age") && l.config.Retry.MaxAge < topics[0].Delay {
		l.problem("retry.max_age", "%s is less than the first of retry.delays (%s): want at least that", shortDuration(l.config.Retry.MaxAge), l.config.Retry.Delays[0])
	}
}

// maxDelays bounds how many topics are read besides the requests.
const maxDelays = 16

func (l *loader) checkKafka() {
	t, s := l.config.Kafka.TLS, l.config.Kafka.SASL
	if (t.Cert == Secret{}) != (t.Key == Secret{}) && !l.flawed("kafka.tls") {
		l.problem("kafka.tls.cert_file", "cert_file and key_file go together: want both or neither")
	}
	if t.Enabled {
		l.checkCertificates(t)
	}
	if !t.Enabled && t != (TLS{}) {
		l.problem("kafka.tls.enabled", "is false, but other keys of kafka.tls are set: want true, or none of them")
	}
	if l.flawed("kafka.sasl", envPrefix+"KAFKA_SASL_PASSWORD") {
		return
	}
	password := s.Password.Reveal() != ""
	switch {
	case s.Mechanism != "" && (s.Username == "" || !password):
		l.problem("kafka.sasl.mechanism", "%s needs username and password_file (or CONSENTD_KAFKA_SASL_PASSWORD)", s.Mechanism)
	case s.Mechanism == "" && (s.Username != "" || password):
		l.problem("kafka.sasl.mechanism", "is empty, but a username or password is set: want plain, scram-sha-256 or scram-sha-512")
	}
}

// checkCertificates reads the files now: one that is wrong is a wrong configuration, not a cluster out of reach.
func (l *loader) checkCertificates(t TLS) {
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		switch {
		case err != nil:
			l.problem("kafka.tls.ca_file", "%v", err)
		case !x509.NewCertPool().AppendCertsFromPEM(pem):
			l.problem("kafka.tls.ca_file", "%s has no certificate: want PEM", t.CAFile)
		}
	}
	if t.Cert != (Secret{}) && t.Key != (Secret{}) {
		if _, err := tls.X509KeyPair([]byte(t.Cert.Reveal()), []byte(t.Key.Reveal())); err != nil {
			l.problem("kafka.tls.cert_file", "with key_file: %v", err)
		}
	}
}

func (l *loader) checkBaseURL() {
	if !l.flawed("wechat.base_url", "wechat.allow_http") {
		l.checkURL("wechat.base_url", l.config.WeChat.BaseURL, false)
	}
}

// checkURL wants a URL that secrets may travel in; it may hold one itself, and is never shown. Only a whole one may have a
// user and a query. It returns nil when there is a problem.
func (l *loader) checkURL(key, text string, whole bool) *url.URL {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "" || badPort(u.Port()):
		l.problem(key, "want https://host[:port][/path]")
	case !whole && (u.User != nil || u.RawQuery != ""):
		l.problem(key, "want https://host[:port][/path], without user, query and fragment")
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && !l.config.WeChat.AllowHTTP:
		l.problem(key, "is plain http to a host that is not loopback, and tokens travel in it: want https, or wechat.allow_http: true")
	default:
		return u
	}
	return nil
}

func badPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port != "" && (err != nil || n == 0)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// timeoutSlack is kept between the longest that a member may be busy and when it counts as gone.
const timeoutSlack = 10 * time.Second

// checkTimeouts keeps a member that stalls from publishing when it is a member no more.
func (l *loader) checkTimeouts() {
	c := l.config.Consumer
	need := l.config.Producer.TransactionTimeout + timeoutSlack + c.HeartbeatInterval + c.DrainTimeout
	if l.flawed("producer.transaction_timeout", "consumer.heartbeat_interval", "consumer.drain_timeout") {
		return
	}
	for key, have := range map[string]time.Duration{
		"consumer.session_timeout": c.SessionTimeout, "consumer.rebalance_timeout": c.RebalanceTimeout,
	} {
		if have <= need && !l.flawed(key) {
			l.problem(key, "%s: want more than %s (producer.transaction_timeout %s + %s + consumer.heartbeat_interval %s + consumer.drain_timeout %s)",
				have, need, l.config.Producer.TransactionTimeout, timeoutSlack, c.HeartbeatInterval, c.DrainTimeout)
		}
	}
}
