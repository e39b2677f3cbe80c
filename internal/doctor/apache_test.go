package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/config"
	"consentd/internal/broker"
	"consentd/internal/daemon"
	"consentd/internal/kafkatest"
	"consentd/internal/topics"
)

// guarded is an Apache Kafka with a listener for plain text, one for TLS, one for a login, and rights.
type guarded struct {
	*world
	addrs map[string]string // of the listeners
}

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	kafkatest.Tool(t, "java", "openjdk-17-jre-headless")
	kafkatest.Tool(t, "mvn", "maven")
	g := &guarded{world: newWorld(t), addrs: make(map[string]string)}
	g.withTLS("127.0.0.1")
	b, err := kafkatest.StartApache(t.Context(), t.TempDir(), kafkatest.ApacheOptions{
		Listeners: []string{"ENCRYPTED", "LOGIN"},
		Advertise: func(listener string, _ int, addr string) (string, error) {
			g.addrs[listener] = addr
			return addr, nil
		},
		Config: map[string]string{
			"listener.security.protocol.map":              "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,ENCRYPTED:SSL,LOGIN:SASL_PLAINTEXT",
			"ssl.keystore.type":                           "PEM",
			"ssl.keystore.location":                       g.keystore,
			"listener.name.login.sasl.enabled.mechanisms": "PLAIN",
			"listener.name.login.plain.sasl.jaas.config":  fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required user_consentd="%s";`, canary),
			"authorizer.class.name":                       "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":                                 "User:ANONYMOUS",
			"allow.everyone.if.no.acl.found":              "true",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Kill(); err != nil {
			t.Error(err)
		}
	})
	g.broker, g.addrs["PLAINTEXT"] = b, b.Addr()
	for _, s := range topics.Needed(g.cfg) {
		kafkatest.CreateTopic(t, b.Addr(), s.Name, int(s.Partitions), s.Configs)
	}
	g.cfg.WeChat.BaseURL = g.sim.Start(t)
	return g
}

// deny takes a right from the user consentd.
func (g *guarded) deny(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) {
	g.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.broker.Addr()))
	if err != nil {
		g.t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, acl := range []struct {
		user       string
		op         kmsg.ACLOperation
		permission kmsg.ACLPermissionType
	}{
		// A resource that has any rule is no longer everyone's.
		{"User:*", kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow},
		{"User:consentd", op, kmsg.ACLPermissionTypeDeny},
	} {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
		c.Principal, c.Host, c.Operation, c.PermissionType = acl.user, "*", acl.op, acl.permission
		req.Creations = append(req.Creations, c)
	}
	res, err := req.RequestWith(g.t.Context(), cl)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range res.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			g.t.Fatal(err)
		}
	}
}

func TestExamine_UnderstandsARealBrokersRefusals(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	login := config.SASL{Mechanism: "plain", Username: "consentd", Password: config.NewSecret(canary)}
	for _, tc := range []struct {
		name, listener string
		kafka          func(*config.Kafka)
		want           map[string]string // key by check, of what is wrong
	}{
		{"plain text", "PLAINTEXT", func(*config.Kafka) {}, nil},
		{"a login", "LOGIN", func(k *config.Kafka) { k.SASL = login }, nil},
		{"TLS", "ENCRYPTED", func(k *config.Kafka) { k.TLS = config.TLS{Enabled: true, CAFile: g.trust} }, nil},
		{"TLS to a plain listener", "PLAINTEXT", func(k *config.Kafka) { k.TLS.Enabled = true }, map[string]string{checkTLS: "kafka.tls.enabled"}},
		{"plain text to TLS", "ENCRYPTED", func(*config.Kafka) {}, map[string]string{checkTLS: "kafka.tls.enabled"}},
		{"nobody trusted", "ENCRYPTED", func(k *config.Kafka) { k.TLS.Enabled = true }, map[string]string{checkTLS: "kafka.tls.ca_file"}},
		{"another name", "ENCRYPTED", func(k *config.Kafka) {
			k.TLS = config.TLS{Enabled: true, CAFile: g.trust, ServerName: "other.test"}
		}, map[string]string{checkTLS: "kafka.tls.server_name"}},
		{"a login where there is none", "PLAINTEXT", func(k *config.Kafka) { k.SASL = login }, map[string]string{checkSASL: "kafka.sasl.mechanism"}},
		{"no login where there is one", "LOGIN", func(*config.Kafka) {}, map[string]string{checkSASL: "kafka.sasl.mechanism"}},
		{"another mechanism", "LOGIN", func(k *config.Kafka) {
			k.SASL = login
			k.SASL.Mechanism = "scram-sha-512"
		}, map[string]string{checkSASL: "kafka.sasl.mechanism"}},
		{"a wrong password", "LOGIN", func(k *config.Kafka) {
			k.SASL = login
			k.SASL.Password = config.NewSecret("wrong-" + canary)
		}, map[string]string{checkSASL: "kafka.sasl.password_file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := *g.world
			w.t = t
			w.cfg.Kafka.SASL = config.SASL{}
			w.cfg.Kafka.Brokers = []string{g.addrs[tc.listener]}
			tc.kafka(&w.cfg.Kafka)
			w.wants(tc.want)
		})
	}
	g.cfg.Kafka.Brokers, g.cfg.Kafka.SASL = []string{g.addrs["LOGIN"]}, login
	g.deny(kmsg.ACLResourceTypeTopic, g.cfg.Topics.Results, kmsg.ACLOperationWrite)
	g.deny(kmsg.ACLResourceTypeGroup, g.cfg.Consumer.Group, kmsg.ACLOperationRead)
	g.deny(kmsg.ACLResourceTypeTransactionalId, g.cfg.Consumer.Group+"-"+g.cfg.Instance, kmsg.ACLOperationWrite)
	t.Run("rights", func(t *testing.T) {
		w := *g.world
		w.t = t
		w.awaitDenied()
		w.wants(map[string]string{checkRights + " " + w.cfg.Topics.Results: "topics.results", checkRights + " group consentd": "consumer.group", checkTransactions: "delivery"})
	})
}

// awaitDenied returns when the broker knows of the right that was taken last.
func (w *world) awaitDenied() {
	w.t.Helper()
	options, err := daemon.ClusterOptions(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	c := broker.Open(options)
	defer c.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for err = nil; !errors.Is(err, kafka.TransactionalIDAuthorizationFailed); err = c.MayTransact(ctx, w.cfg.Consumer.Group+"-"+w.cfg.Instance) {
		if ctx.Err() != nil {
			w.t.Fatalf("the right is still there: %v", err)
		}
	}
}

// wants fails the test unless exactly this is wrong: keys by check, or by check and subject.
func (w *world) wants(keys map[string]string) {
	w.t.Helper()
	findings := w.examine()
	missing := maps.Clone(keys)
	for _, f := range findings {
		if f.Level != Wrong {
			continue
		}
		name := f.Check
		if _, ok := keys[name]; !ok {
			name += " " + f.Subject
		}
		if keys[name] != f.Key {
			w.t.Errorf("not planted: %+v", f)
		}
		delete(missing, name)
	}
	if len(missing) > 0 {
		w.t.Errorf("not found: %v in\n%s", missing, listed(findings))
	}
}
