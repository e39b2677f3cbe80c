package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"consentd/checker"
	"consentd/config"
	"consentd/consumer"
	"consentd/internal/broker"
	"consentd/internal/pipeline"
	"consentd/internal/topics"
	"consentd/producer"
)

// clusterOptions turns the configuration into what the cluster is reached with.
func clusterOptions(cfg config.Config) (broker.Options, error) {
	o := broker.Options{Brokers: cfg.Kafka.Brokers, ClientID: cfg.Kafka.ClientID, Topics: topics.Names(cfg)}
	var err error
	if o.TLS, err = tlsConfig(cfg.Kafka.TLS); err != nil {
		return o, err
	}
	o.SASL, err = mechanism(cfg.Kafka.SASL)
	return o, err
}

func tlsConfig(c config.TLS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: %s has no certificate in PEM", c.CAFile)
		}
	}
	if c.Cert != (config.Secret{}) {
		cert, err := tls.X509KeyPair([]byte(c.Cert.Reveal()), []byte(c.Key.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert_file and key_file: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

func mechanism(c config.SASL) (sasl.Mechanism, error) {
	password := c.Password.Reveal()
	switch c.Mechanism {
	case "plain":
		return plain.Mechanism{Username: c.Username, Password: password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, c.Username, password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, c.Username, password)
	}
	return nil, nil
}

// names are those of retry topics.
func names(retry []config.RetryTopic) []string {
	all := make([]string, len(retry))
	for i, t := range retry {
		all[i] = t.Name
	}
	return all
}

func consumerConfig(cfg config.Config, oldRetry []config.RetryTopic) consumer.Config {
	return consumer.Config{
		Group:             cfg.Consumer.Group,
		Requests:          cfg.Topics.Requests,
		Own:               slices.Concat(names(cfg.RetryTopics()), names(oldRetry), []string{cfg.Topics.Forward}),
		Start:             consumer.Start(cfg.Consumer.Start),
		SessionTimeout:    cfg.Consumer.SessionTimeout,
		RebalanceTimeout:  cfg.Consumer.RebalanceTimeout,
		HeartbeatInterval: cfg.Consumer.HeartbeatInterval,
		FetchBytes:        int32(min(maxFetchBytes, cfg.Consumer.MaxInFlightBytes/fetchShare)),
	}
}

// What is fetched ahead is a small part of what may be in flight, and never much.
const (
	maxFetchBytes = 4 << 20
	fetchShare    = 8
)

func pipelineConfig(cfg config.Config, oldRetry []config.RetryTopic) pipeline.Config {
	topics := func(retry []config.RetryTopic) (all []pipeline.RetryTopic) {
		for _, t := range retry {
			all = append(all, pipeline.RetryTopic(t))
		}
		return all
	}
	return pipeline.Config{
		Retry:            topics(cfg.RetryTopics()),
		OldRetry:         topics(oldRetry),
		Forward:          cfg.Topics.Forward,
		MaxAge:           cfg.Retry.MaxAge,
		MaxInFlight:      cfg.Consumer.MaxInFlight,
		MaxInFlightBytes: cfg.Consumer.MaxInFlightBytes,
		DrainTimeout:     cfg.Consumer.DrainTimeout,
		StatusRefresh:    cfg.Status.Refresh,
	}
}

// checkerConfig is for a member that has this share of the homes.
func checkerConfig(cfg config.Config, share float64) checker.Config {
	return checker.Config{
		BatchSize:          cfg.Batch.Size,
		Linger:             cfg.Batch.Linger,
		Concurrency:        cfg.WeChat.CorpConcurrency,
		CallsPerMinute:     share * float64(cfg.WeChat.CallsPerMinute),
		CorpCallsPerMinute: float64(cfg.WeChat.CorpCallsPerMinute),
		Retry: checker.Retry{
			InitialInterval: cfg.Retry.InitialInterval,
			MaxInterval:     cfg.Retry.MaxInterval,
			MaxElapsed:      cfg.Retry.MaxElapsed,
		},
	}
}

func producerTopics(cfg config.Config) producer.Topics {
	return producer.Topics{
		Results: cfg.Topics.Results, Changes: cfg.Topics.Changes, DeadLetters: cfg.Topics.DeadLetters,
		Status: cfg.Topics.Status, Forward: cfg.Topics.Forward, Retry: names(cfg.RetryTopics()),
	}
}
