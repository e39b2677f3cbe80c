package config

import (
	"slices"
	"time"
)

// Config is the whole configuration. The tags of its fields are the one table that the file, the environment, the
// defaults, the checks and the reference page go by: yaml is the key, default what it is when absent, range what it may
// be, doc what it means.
type Config struct {
	Kafka    Kafka    `yaml:"kafka"`
	Topics   Topics   `yaml:"topics"`
	Consumer Consumer `yaml:"consumer"`
	Producer Producer `yaml:"producer"`
	// Instance is never empty once it is loaded.
	Instance string `yaml:"instance" default:"" range:"name or empty" doc:"unique per live process; the host's name when empty"`
	Batch    Batch  `yaml:"batch"`
	WeChat   WeChat `yaml:"wechat"`
	Corps    []Corp `yaml:"corps"`
	// CorpsOfFile are those of wechat.corps_file.
	CorpsOfFile []Corp  `yaml:"-"`
	Suites      []Suite `yaml:"suites"`
	Retry       Retry   `yaml:"retry"`
	Status      Status  `yaml:"status"`
	Recheck     Recheck `yaml:"recheck"`
	Delivery    string  `yaml:"delivery" default:"exactly_once" range:"exactly_once|at_least_once" doc:"whether events may be repeated after a crash"`
	Ops         Ops     `yaml:"ops"`
	Log         Log     `yaml:"log"`
}

// Kafka says how the cluster is reached.
type Kafka struct {
	Brokers  []string `yaml:"brokers" default:"localhost:9092" range:"addresses" doc:"addresses to begin with, host:port each"`
	ClientID string   `yaml:"client_id" default:"consentd" doc:"what the brokers know this client by"`
	TLS      TLS      `yaml:"tls"`
	SASL     SASL     `yaml:"sasl"`
}

// TLS is off unless Enabled.
type TLS struct {
	Enabled    bool   `yaml:"enabled" default:"false" doc:"encrypt the connections to the brokers"`
	CAFile     string `yaml:"ca_file" default:"" doc:"certificates (PEM) to trust instead of the system's"`
	CertFile   string `yaml:"cert_file" default:"" secret:"Cert" lines:"many" doc:"the client's certificate (PEM), with key_file"`
	KeyFile    string `yaml:"key_file" default:"" secret:"Key" lines:"many" doc:"the key (PEM) of cert_file"`
	ServerName string `yaml:"server_name" default:"" doc:"the name in the brokers' certificates, when it is not their address"`
	// Cert and Key are those of CertFile and KeyFile, or of the environment.
	Cert Secret `yaml:"-"`
	Key  Secret `yaml:"-"`
}

// SASL is off while Mechanism is empty.
type SASL struct {
	Mechanism    string `yaml:"mechanism" default:"" range:"|plain|scram-sha-256|scram-sha-512" doc:"how to authenticate; empty: not at all"`
	Username     string `yaml:"username" default:"" doc:"the user"`
	PasswordFile string `yaml:"password_file" default:"" secret:"Password" doc:"a file with the password"`
	// Password is that of PasswordFile or of the environment.
	Password Secret `yaml:"-"`
}

// Topics are the names of the topics.
type Topics struct {
	Requests    string `yaml:"requests" default:"consent.requests" range:"topic" doc:"requests are read from it"`
	Results     string `yaml:"results" default:"consent.results" range:"topic" doc:"answers and changes are published to it"`
	Changes     string `yaml:"changes" default:"" range:"topic or empty" doc:"changes are published to it when they shall have a topic of their own"`
	Status      string `yaml:"status" default:"consent.status" range:"topic" doc:"compacted: the last known status of every conversation"`
	Forward     string `yaml:"forward" default:"consent.forward" range:"topic" doc:"requests on the way to the instance that owns their corp"`
	RetryPrefix string `yaml:"retry_prefix" default:"consent.retry" range:"topic" doc:"parked requests, one topic a delay"`
	DeadLetters string `yaml:"dead_letters" default:"consent.dead-letters" range:"topic" doc:"what can't succeed without a person"`
	Create      bool   `yaml:"create" default:"false" doc:"create absent topics at the start"`
}

// Consumer says how requests are read.
type Consumer struct {
	Group             string        `yaml:"group" default:"consentd" range:"name" doc:"the consumer group"`
	Start             string        `yaml:"start" default:"earliest" range:"earliest|latest" doc:"where a group that never committed begins"`
	MaxInFlight       int           `yaml:"max_in_flight" default:"20000" range:"1..10000000" doc:"most items taken up and not yet published"`
	MaxInFlightBytes  int           `yaml:"max_in_flight_bytes" default:"67108864" range:"1048576..17179869184" doc:"the same in bytes"`
	DrainTimeout      time.Duration `yaml:"drain_timeout" default:"10s" range:"100ms..10m" doc:"how long what is in flight may take to be done at a stop or rebalance"`
	SessionTimeout    time.Duration `yaml:"session_timeout" default:"45s" range:"1s..30m" doc:"how long a member may be silent before it loses its partitions"`
	RebalanceTimeout  time.Duration `yaml:"rebalance_timeout" default:"45s" range:"1s..30m" doc:"how long members have to join again in a rebalance"`
	HeartbeatInterval time.Duration `yaml:"heartbeat_interval" default:"1s" range:"100ms..1m" doc:"how often a member says that it is alive"`
}

// Producer says how events are published.
type Producer struct {
	TransactionTimeout time.Duration `yaml:"transaction_timeout" default:"15s" range:"1s..15m" doc:"when the brokers abort a transaction that was left open"`
}

// Batch says when a call is made.
type Batch struct {
	Size   int           `yaml:"size" default:"100" range:"1..100" doc:"most pairs of a call"`
	Linger time.Duration `yaml:"linger" default:"20ms" range:"0s..10s" doc:"how long a batch that is not full waits for more; five times as long during a backlog"`
}

// WeChat says how the API is called.
type WeChat struct {
	BaseURL            string        `yaml:"base_url" default:"https://qyapi.weixin.qq.com" range:"url" doc:"where the API is; plain http only to loopback, or with allow_http"`
	AllowHTTP          bool          `yaml:"allow_http" default:"false" doc:"allow a base_url of plain http that is not loopback"`
	ItemField          string        `yaml:"item_field" default:"item" range:"identifier" doc:"the array's name in the single call"`
	Timeout            time.Duration `yaml:"timeout" default:"10s" range:"100ms..5m" doc:"how long one call may take"`
	CallsPerMinute     int           `yaml:"calls_per_minute" default:"40000" range:"1..100000000" doc:"most calls of all instances together"`
	CorpCallsPerMinute int           `yaml:"corp_calls_per_minute" default:"10000" range:"1..100000000" doc:"most calls of a corp"`
	CorpConcurrency    int           `yaml:"corp_concurrency" default:"5" range:"1..100" doc:"most calls of a corp at once"`
	CorpsFile          string        `yaml:"corps_file" default:"" doc:"a list of corps in a file of its own, read anew when it changes"`
}

// Corp is a company that may be asked about, and how its access_token is had.
type Corp struct {
	CorpID string `yaml:"corp_id"`
	Token  Token  `yaml:"token"`
}

// Token is a source of access_tokens. Source says which of the other fields count.
type Token struct {
	// Source is gettoken, suite, file, http or static.
	Source            string `yaml:"source"`
	SecretFile        string `yaml:"secret_file"`         // of gettoken
	SuiteID           string `yaml:"suite_id"`            // of suite
	PermanentCodeFile string `yaml:"permanent_code_file"` // of suite
	Path              string `yaml:"path"`                // of file
	URL               string `yaml:"url"`                 // of http; its path and what may be secret of it are in Secret alone
	ValueFile         string `yaml:"value_file"`          // of static
	// Secret is what SecretFile, PermanentCodeFile or ValueFile holds, or the environment in their place; of http the whole
	// URL.
	Secret Secret `yaml:"-"`
}

// Suite is a provider's application.
type Suite struct {
	SuiteID    string `yaml:"suite_id"`
	SecretFile string `yaml:"secret_file"`
	// TicketFile is written by another program; it need not exist yet.
	TicketFile string `yaml:"ticket_file"`
	// Secret is what SecretFile holds, or the environment in its place.
	Secret Secret `yaml:"-"`
	// Ticket is what the environment has in the place of TicketFile.
	Ticket Secret `yaml:"-"`
}

// AllCorps are the corps of the configuration and those of wechat.corps_file.
func (c *Config) AllCorps() []Corp { return slices.Concat(c.Corps, c.CorpsOfFile) }

// RetryTopic is a topic for parked requests.
type RetryTopic struct {
	Name  string
	Delay time.Duration
}

// RetryTopics are the topics for parked requests, in the order of retry.delays.
func (c *Config) RetryTopics() []RetryTopic {
	topics := make([]RetryTopic, len(c.Retry.Delays))
	for i, delay := range c.Retry.Delays {
		topics[i].Name = c.Topics.RetryPrefix + "-" + delay
		topics[i].Delay, _ = time.ParseDuration(delay) // it was checked when it was read
	}
	return topics
}

// Retry says how what failed is tried again.
type Retry struct {
	InitialInterval time.Duration `yaml:"initial_interval" default:"200ms" range:"1ms..1m" doc:"the first pause, which doubles"`
	MaxInterval     time.Duration `yaml:"max_interval" default:"5s" range:"1ms..10m" doc:"the longest pause"`
	MaxElapsed      time.Duration `yaml:"max_elapsed" default:"15s" range:"1ms..10m" doc:"how long a call is tried in all"`
	Delays          []string      `yaml:"delays" default:"1m,10m,1h" range:"durations" doc:"how long parked requests wait, the last one again and again; each has a topic"`
	MaxAge          time.Duration `yaml:"max_age" default:"24h" range:"1s..8760h" doc:"when a parked request has expired"`
}

// Status says how the last known status is kept.
type Status struct {
	Refresh time.Duration `yaml:"refresh" default:"1h" range:"0s..8760h" doc:"how old checked_at may grow in the status topic while nothing changes"`
}

// Recheck says when the daemon asks again by itself. It is off unless Every is set.
type Recheck struct {
	Every     time.Duration `yaml:"every" default:"0s" range:"0s..8760h" doc:"how often to look for what was last checked long ago, and over what time to spread it; 0s: never"`
	OlderThan time.Duration `yaml:"older_than" default:"24h" range:"1s..8760h" doc:"how long ago it was last checked; more than status.refresh"`
	Rate      int           `yaml:"rate" default:"100" range:"1..1000000" doc:"most conversations a second of all instances together"`
}

// Ops is for those who watch the daemon.
type Ops struct {
	Listen string `yaml:"listen" default:"127.0.0.1:9464" range:"address" doc:"where metrics and health are served"`
}

// Log says what is logged.
type Log struct {
	Level  string `yaml:"level" default:"info" range:"debug|info|warn|error" doc:"the least severe level that is logged"`
	Format string `yaml:"format" default:"json" range:"json|console" doc:"json, or console for people"`
}
