package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/daemon"
	"consentd/internal/kafkatest"
	"consentd/internal/topics"
	"consentd/wechat/wechattest"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

// canary stands in every secret: it must be found nowhere.
const canary = "canary-81c7f2aa"

// world is a healthy one in which something may be planted before it is looked at.
type world struct {
	t      *testing.T
	cfg    config.Config
	sim    *wechattest.Simulator
	server *httptest.Server
	broker *kafkatest.Broker
	// broker options and rights beside the healthy ones.
	options []kfake.Opt
	rights  []kfake.ACL
	// topic changes what a topic is created like; false: it is not.
	topic func(*broker.TopicSpec) bool
	// tls is what the broker speaks, and clients by trust; nil: plain text.
	tls             *tls.Config
	trust, keystore string // files
	// handler stands before the simulator.
	handler func(http.Handler) http.Handler
	// last changes the configuration when all addresses are known.
	last func(*config.Config)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, cfg: config.Default(), topic: func(*broker.TopicSpec) bool { return true }}
	w.cfg.Instance = "host-1"
	w.cfg.Kafka.SASL = config.SASL{Mechanism: "scram-sha-256", Username: "consentd", Password: config.NewSecret(canary)}
	w.sim = wechattest.New(wechattest.Options{Corps: map[string]string{"ww1": canary, "ww2": canary}, Suites: map[string]string{"s1": canary}})
	w.cfg.Corps = []config.Corp{
		{CorpID: "ww1", Token: config.Token{Source: "gettoken", Secret: config.NewSecret(canary)}},
		{CorpID: "ww2", Token: config.Token{Source: "gettoken", Secret: config.NewSecret(canary)}},
	}
	return w
}

// bySuite has the second corp's token come from a suite.
func (w *world) bySuite() {
	w.cfg.Corps[1].Token = config.Token{Source: "suite", SuiteID: "s1", Secret: config.NewSecret(canary)}
	w.cfg.Suites = []config.Suite{{SuiteID: "s1", Secret: config.NewSecret(canary), TicketFile: w.file("ticket", "ticket")}}
}

func (w *world) file(name, content string) string {
	path := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// start makes the brokers, the topics and the API.
func (w *world) start() {
	w.t.Helper()
	allowed := []kfake.ACL{
		{Resource: kmsg.ACLResourceTypeTopic, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true},
		{Resource: kmsg.ACLResourceTypeGroup, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true},
		{Resource: kmsg.ACLResourceTypeTransactionalId, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true},
		{Resource: kmsg.ACLResourceTypeCluster, Name: "*", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationAll, Allow: true},
	}
	w.broker = kafkatest.Embedded(w.t, append([]kfake.Opt{
		kfake.NumBrokers(3), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "admin"),
		kfake.User("SCRAM-SHA-256", "consentd", canary, append(allowed, w.rights...)...),
		kfake.BrokerConfigs(map[string]string{"min.insync.replicas": "2"}),
	}, w.options...)...)
	w.cfg.Kafka.Brokers = w.broker.Cluster().ListenAddrs()
	w.makeTopics()
	handler := http.Handler(w.sim)
	if w.handler != nil {
		handler = w.handler(handler)
	}
	w.server = httptest.NewServer(handler)
	w.t.Cleanup(w.server.Close)
	w.cfg.WeChat.BaseURL = w.server.URL
	if w.last != nil {
		w.last(&w.cfg)
	}
}

func (w *world) makeTopics() {
	w.t.Helper()
	admin := w.cfg
	admin.Kafka.SASL = config.SASL{Mechanism: "plain", Username: "admin", Password: config.NewSecret("admin")}
	if w.tls != nil {
		admin.Kafka.TLS = config.TLS{Enabled: true, CAFile: w.trust}
	}
	options, err := daemon.ClusterOptions(admin)
	if err != nil {
		w.t.Fatal(err)
	}
	c := broker.Open(options)
	defer c.Close()
	var specs []broker.TopicSpec
	for _, s := range topics.Needed(w.cfg) {
		if s.Configs == nil {
			s.Configs = make(map[string]string)
		}
		s.Configs["min.insync.replicas"] = "2"
		if w.topic(&s) {
			specs = append(specs, s)
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	errs, err := c.CreateWith(ctx, broker.CreateOptions{ReplicationFactor: 3}, specs...)
	for _, e := range errs {
		err = errors.Join(err, e)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// withTLS has the brokers speak TLS, with a certificate for a name, signed by nobody else.
func (w *world) withTLS(name string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"broker.test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.trust = w.file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.keystore = w.file("keystore.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))+string(mustRead(w.t, w.trust)))
	w.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	w.options = append(w.options, kfake.TLS(w.tls))
}

// examine returns all findings, and fails when a secret or token is in one.
func (w *world) examine() []Finding {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var findings []Finding
	Examine(ctx, w.cfg, Options{}, func(f Finding) { findings = append(findings, f) })
	w.search(findings)
	return findings
}

func (w *world) search(findings []Finding) {
	w.t.Helper()
	for _, f := range findings {
		for _, secret := range append(w.sim.Tokens(), canary) {
			if strings.Contains(fmt.Sprintf("%+v", f), secret) {
				w.t.Errorf("a secret or token in %+v", f)
			}
		}
	}
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// watchRequests notes what is asked of the brokers from now on.
func watchRequests(w *world) (keys func() map[kmsg.Key]bool) {
	var mu sync.Mutex
	seen := make(map[kmsg.Key]bool)
	w.broker.Cluster().Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.broker.Cluster().KeepControl()
		mu.Lock()
		defer mu.Unlock()
		seen[kmsg.Key(r.Key())] = true
		return nil, nil, false
	})
	return func() map[kmsg.Key]bool {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(seen)
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
