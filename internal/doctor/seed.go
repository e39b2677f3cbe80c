package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
	"golang.org/x/sync/errgroup"

	"consentd/internal/broker"
	"consentd/internal/daemon"
)

// seeds connects to each of kafka.brokers, step by step, and returns those that can be used.
func (x *examination) seeds(ctx context.Context) (usable []string) {
	options, err := daemon.ClusterOptions(x.cfg)
	if err != nil {
		x.add(Wrong, checkTLS, "", err.Error(), "correct it", "kafka.tls")
		return nil
	}
	// What is found of an address is reported together, in the order of the configuration.
	addrs := x.cfg.Kafka.Brokers
	found, good := make([][]Finding, len(addrs)), make([]bool, len(addrs))
	var g errgroup.Group
	g.SetLimit(seedsAtOnce)
	for i, addr := range addrs {
		g.Go(func() error {
			own := *x
			own.report = func(f Finding) { found[i] = append(found[i], f) }
			good[i] = own.seed(ctx, options, addr)
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	for i, addr := range addrs {
		for _, f := range found[i] {
			x.report(f)
		}
		if good[i] {
			usable = append(usable, addr)
		}
	}
	return usable
}

// seedsAtOnce is how many addresses are tried at the same time.
const seedsAtOnce = 8

func (x *examination) seed(ctx context.Context, options broker.Options, addr string) (usable bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !x.resolves(ctx, host, "kafka.brokers") { // the configuration has checked the address
		return false
	}
	s := &seed{examination: x, options: options, addr: addr, host: host, port: port}
	return s.examine(ctx)
}

// seed is one address of kafka.brokers.
type seed struct {
	*examination
	options          broker.Options
	addr, host, port string
}

func (s *seed) wrong(check, found, do, key string) { s.add(Wrong, check, s.addr, found, do, key) }

// examine goes as far as it gets, reports the first step that fails, and tells whether none did.
func (s *seed) examine(ctx context.Context) bool {
	conn, err := s.dial(ctx)
	if err != nil {
		s.wrong(checkBroker, "no connection: "+cause(err), "correct host and port, and look whether the broker runs and a firewall lets this machine through", "kafka.brokers")
		return false
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be sent
	if s.options.TLS != nil {
		encrypted := tls.Client(conn, s.tls())
		if err := encrypted.HandshakeContext(ctx); err != nil {
			s.tlsFailed(err)
			return false
		}
		conn = encrypted
	}
	k := newKafkaConn(conn, s.options.ClientID)
	r, err := k.RoundTrip(&apiversions.Request{})
	if err != nil {
		s.noKafka(ctx, err)
		return false
	}
	if s.options.TLS != nil {
		s.ok(checkTLS, s.addr, "the certificate is good for %s", s.tls().ServerName)
	}
	return s.versions(r.(*apiversions.Response)) && s.authenticated(ctx, k)
}

func (s *seed) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: stepTimeout}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(stepTimeout))
}

// tls is what the cluster is reached with, for this host.
func (s *seed) tls() *tls.Config {
	c := s.options.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName = s.host
	}
	return c
}

func (s *seed) tlsFailed(err error) {
	var notTLS tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &notTLS):
		s.wrong(checkTLS, "the broker does not speak TLS on this port", "set it to false, or use the port that the broker speaks TLS on", "kafka.tls.enabled")
	case errors.As(err, &unknown):
		s.wrong(checkTLS, "its certificate is signed by nobody that is trusted", "name the certificate of who signed it", "kafka.tls.ca_file")
	case errors.As(err, &name):
		s.wrong(checkTLS, fmt.Sprintf("its certificate is not for %s", s.tls().ServerName), "set it to a name that is in the certificate", "kafka.tls.server_name")
	case errors.As(err, &invalid):
		s.wrong(checkTLS, "its certificate can't be accepted: "+err.Error(), "have the broker's certificate renewed, and look at this machine's clock", "kafka.tls.ca_file")
	case refusesCertificate(err):
		s.wrong(checkTLS, "the broker refuses this client's certificate: "+cause(err), "name a certificate that the broker trusts", "kafka.tls.cert_file")
	default:
		s.wrong(checkTLS, "no TLS connection: "+cause(err), "set it to false if the broker does not speak TLS on this port", "kafka.tls.enabled")
	}
}

// refusesCertificate tells the alerts of a broker that wants a certificate, or another one.
func refusesCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "remote error: tls: ") && (strings.Contains(text, "certificate") || strings.Contains(text, "unknown certificate authority"))
}

// noKafka says what there is instead of a broker's answer.
func (s *seed) noKafka(ctx context.Context, err error) {
	switch {
	case s.options.TLS != nil && refusesCertificate(err):
		s.tlsFailed(err)
	case s.options.TLS == nil && s.speaksTLS(ctx):
		s.wrong(checkTLS, "the broker wants TLS on this port", "set it to true, or use the port for plain text", "kafka.tls.enabled")
	default:
		s.wrong(checkBroker, "no answer of a Kafka broker: "+cause(err), "correct host and port: something else listens there", "kafka.brokers")
	}
}

func (s *seed) speaksTLS(ctx context.Context) bool {
	conn, err := s.dial(ctx)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be sent
	// Nothing is sent over it: whose certificate it is does not matter.
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: s.host, MinVersion: tls.VersionTLS12}).HandshakeContext(ctx)
	return err == nil || refusesCertificate(err)
}

func (s *seed) versions(r *apiversions.Response) bool {
	highest := make(map[protocol.ApiKey]int16)
	for _, k := range r.ApiKeys {
		highest[protocol.ApiKey(k.ApiKey)] = k.MaxVersion
	}
	var old []string
	for key, version := range broker.RequiredVersions(s.cfg.Delivery == "exactly_once") {
		if have, ok := highest[key]; !ok || have < version {
			old = append(old, key.String())
		}
	}
	if len(old) > 0 {
		slices.Sort(old)
		s.wrong(checkVersions, "too old for "+strings.Join(old, ", "), "use brokers of Apache Kafka 2.5 or newer", "kafka.brokers")
		return false
	}
	s.ok(checkBroker, s.addr, "answers, and is new enough")
	return true
}

// authenticated logs in where that is configured, and finds out whether it has to be where it is not.
func (s *seed) authenticated(ctx context.Context, k *protocol.Conn) bool {
	if s.options.SASL != nil {
		return s.login(ctx, k)
	}
	if _, err := k.RoundTrip(&metadata.Request{TopicNames: []string{}}); err == nil {
		return true
	} else if mechanisms, ok := s.wantsLogin(ctx); ok {
		s.wrong(checkSASL, "the broker wants a login: "+mechanisms, "set it, with username and password_file", "kafka.sasl.mechanism")
	} else {
		s.wrong(checkBroker, "ends the connection: "+cause(err), "look at the broker's log", "kafka.brokers")
	}
	return false
}

// wantsLogin asks for mechanisms with a name that none has: a broker that knows some answers with them.
func (s *seed) wantsLogin(ctx context.Context) (mechanisms string, ok bool) {
	conn, err := s.dial(ctx)
	if err != nil {
		return "", false
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be sent
	if s.options.TLS != nil {
		conn = tls.Client(conn, s.tls())
	}
	r, err := newKafkaConn(conn, s.options.ClientID).RoundTrip(&saslhandshake.Request{Mechanism: "NONE"})
	if err != nil || len(r.(*saslhandshake.Response).Mechanisms) == 0 {
		return "", false
	}
	return strings.ToLower(strings.Join(r.(*saslhandshake.Response).Mechanisms, ", ")), true
}

func (s *seed) login(ctx context.Context, k *protocol.Conn) bool {
	m := s.options.SASL
	r, err := k.RoundTrip(&saslhandshake.Request{Mechanism: m.Name()})
	if err != nil {
		s.wrong(checkSASL, "the login is cut off: "+cause(err), "look whether the broker wants a login on this port", "kafka.sasl.mechanism")
		return false
	}
	switch res := r.(*saslhandshake.Response); {
	case kafka.Error(res.ErrorCode) == kafka.IllegalSASLState:
		s.wrong(checkSASL, "the broker wants no login on this port", "leave it empty, or use the port that wants one", "kafka.sasl.mechanism")
		return false
	case res.ErrorCode != 0:
		s.wrong(checkSASL, fmt.Sprintf("the broker does not take %s but %s", strings.ToLower(m.Name()), strings.ToLower(strings.Join(res.Mechanisms, ", "))),
			"set it to one of those", "kafka.sasl.mechanism")
		return false
	}
	if err := s.converse(ctx, k, m); err != nil {
		s.wrong(checkSASL, fmt.Sprintf("the broker refuses the login of %s", s.cfg.Kafka.SASL.Username),
			"correct the password, or the username beside it", "kafka.sasl.password_file")
		return false
	}
	s.ok(checkSASL, s.addr, "logged in as %s", s.cfg.Kafka.SASL.Username)
	return true
}

func (s *seed) converse(ctx context.Context, k *protocol.Conn, m sasl.Mechanism) error {
	port, _ := strconv.Atoi(s.port) // the configuration has checked it
	session, state, err := m.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: s.host, Port: port}))
	for done := false; err == nil && !done; {
		var r protocol.Message
		if r, err = k.RoundTrip(&saslauthenticate.Request{AuthBytes: state}); err != nil {
			return err
		}
		res := r.(*saslauthenticate.Response)
		if res.ErrorCode != 0 {
			return kafka.Error(res.ErrorCode)
		}
		done, state, err = session.Next(ctx, res.AuthBytes)
	}
	return err
}

// newKafkaConn speaks the versions that every broker since Apache Kafka 1.0 knows.
func newKafkaConn(conn net.Conn, clientID string) *protocol.Conn {
	k := protocol.NewConn(conn, clientID)
	k.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: 1, protocol.SaslAuthenticate: 0, protocol.Metadata: 1})
	return k
}

// cause is what the network says, without the addresses that stand beside it anyway.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
