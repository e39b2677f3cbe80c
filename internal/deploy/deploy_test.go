// Package deploy holds the Dockerfile and docker-compose.yml to what they promise. It reads them; that they work is seen
// only where there is a Docker engine.
package deploy

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// root is the repository's, seen from here.
const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// composeFile is as much of the Compose specification as is used here; anything else is refused, typing errors too.
type composeFile struct {
	Template any                 `yaml:"x-consentd"`
	Services map[string]*service `yaml:"services"`
	Configs  map[string]struct {
		Content string `yaml:"content"`
	} `yaml:"configs"`
	Volumes map[string]any `yaml:"volumes"`
}

type service struct {
	Image       string            `yaml:"image"`
	Build       string            `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Configs     []struct {
		Source string `yaml:"source"`
		Target string `yaml:"target"`
	} `yaml:"configs"`
	DependsOn map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck *struct {
		Test          []string `yaml:"test"`
		Interval      string   `yaml:"interval"`
		Timeout       string   `yaml:"timeout"`
		Retries       int      `yaml:"retries"`
		StartPeriod   string   `yaml:"start_period"`
		StartInterval string   `yaml:"start_interval"`
	} `yaml:"healthcheck"`
	Restart         string   `yaml:"restart"`
	ReadOnly        bool     `yaml:"read_only"`
	CapDrop         []string `yaml:"cap_drop"`
	SecurityOpt     []string `yaml:"security_opt"`
	StopGracePeriod string   `yaml:"stop_grace_period"`
}

func compose(t *testing.T) composeFile {
	t.Helper()
	var c composeFile
	if err := yaml.UnmarshalWithOptions([]byte(read(t, "docker-compose.yml")), &c, yaml.Strict()); err != nil {
		t.Fatal(yaml.FormatError(err, false, true))
	}
	for _, name := range []string{"kafka", "simulator", "consentd"} {
		if c.Services[name] == nil {
			t.Fatalf("there is no service %s", name)
		}
	}
	return c
}

// settings is what the compose file's configuration of the daemon must agree on with the rest of it.
type settings struct {
	Kafka struct {
		Brokers []string `yaml:"brokers"`
	} `yaml:"kafka"`
	Topics struct {
		Create bool `yaml:"create"`
	} `yaml:"topics"`
	Wechat struct {
		BaseURL   string `yaml:"base_url"`
		AllowHTTP bool   `yaml:"allow_http"`
	} `yaml:"wechat"`
	Corps []struct {
		Token struct {
			SecretFile string `yaml:"secret_file"`
		} `yaml:"token"`
	} `yaml:"corps"`
}

func daemonSettings(t *testing.T, c composeFile) settings {
	t.Helper()
	var s settings
	if err := yaml.Unmarshal([]byte(c.Configs["consentd"].Content), &s); err != nil {
		t.Fatal(yaml.FormatError(err, false, true))
	}
	return s
}

var pinned = regexp.MustCompile(`:v?\d+\.\d+\.\d+`)

func TestCompose_ImagesArePinnedOrBuiltHere(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		if s.Build == "" && !pinned.MatchString(s.Image) {
			t.Errorf("service %s: image %q has no full version", name, s.Image)
		}
	}
}

func TestCompose_KafkaIsTheOneThatTestsRunOn(t *testing.T) {
	t.Parallel()
	_, version, _ := strings.Cut(compose(t).Services["kafka"].Image, "apache/kafka:")
	dependency := regexp.MustCompile(`<artifactId>kafka_2\.13</artifactId>\s*<version>(.+)</version>`)
	tested := dependency.FindStringSubmatch(read(t, "internal/kafkatest/pom.xml"))
	if tested == nil || version != tested[1] {
		t.Errorf("the image is of version %q, tests run on %q", version, tested)
	}
}

func TestCompose_KafkaIsOneNodeThatTellsWhenItIsReady(t *testing.T) {
	t.Parallel()
	k := compose(t).Services["kafka"]
	if k.Healthcheck == nil || len(k.Healthcheck.Test) < 2 || k.Healthcheck.Interval == "" {
		t.Errorf("healthcheck is %+v", k.Healthcheck)
	}
	for key, want := range map[string]string{
		"KAFKA_PROCESS_ROLES":                            "broker,controller",
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
	} {
		if got := k.Environment[key]; got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if id := k.Environment["CLUSTER_ID"]; !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(id) {
		t.Errorf("CLUSTER_ID %q is not a UUID in URL-safe base64", id)
	}
	secured := k.Environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
	for l := range strings.SplitSeq(k.Environment["KAFKA_LISTENERS"], ",") {
		if name, _, _ := strings.Cut(l, "://"); !strings.Contains(secured, name+":") {
			t.Errorf("listener %s has no security protocol", name)
		}
	}
}

func TestCompose_DaemonFindsItsBrokerAndSimulator(t *testing.T) {
	t.Parallel()
	c := compose(t)
	s := daemonSettings(t, c)

	advertised := strings.Split(c.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], ",")
	for _, addr := range s.Kafka.Brokers {
		if !slices.ContainsFunc(advertised, func(l string) bool { return strings.HasSuffix(l, "://"+addr) }) {
			t.Errorf("kafka.brokers has %s, the broker advertises %s", addr, advertised)
		}
	}
	if len(s.Kafka.Brokers) == 0 {
		t.Error("kafka.brokers is empty")
	}

	base, err := url.Parse(s.Wechat.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	simulator := c.Services["simulator"].Command
	if len(simulator) != 3 || simulator[0] != "simulate" || simulator[1] != "--listen" {
		t.Fatalf("the simulator's command is %q", simulator)
	}
	host, port, err := net.SplitHostPort(simulator[2])
	if err != nil || host != "0.0.0.0" || port != base.Port() || base.Hostname() != "simulator" {
		t.Errorf("wechat.base_url is %s, the simulator listens on %s", base, simulator[2])
	}
	if base.Scheme == "http" && !s.Wechat.AllowHTTP {
		t.Error("wechat.allow_http isn't set, but base_url is plain http to another machine")
	}
	if !s.Topics.Create {
		t.Error("topics.create isn't set, but nobody else makes the topics")
	}
	if got := c.Services["consentd"].DependsOn["kafka"].Condition; got != "service_healthy" {
		t.Errorf("the daemon starts when kafka is %q, want service_healthy", got)
	}
}

func TestCompose_FilesThatTheDaemonReadsAreMounted(t *testing.T) {
	t.Parallel()
	c := compose(t)
	daemon := c.Services["consentd"]
	var mounted []string
	for _, m := range daemon.Configs {
		if c.Configs[m.Source].Content == "" {
			t.Errorf("%s is mounted and isn't there", m.Source)
		}
		mounted = append(mounted, m.Target)
	}
	if len(daemon.Command) != 3 || daemon.Command[0] != "run" || daemon.Command[1] != "--config" {
		t.Fatalf("the daemon's command is %q", daemon.Command)
	}
	wanted := []string{daemon.Command[2]}
	for _, corp := range daemonSettings(t, c).Corps {
		wanted = append(wanted, corp.Token.SecretFile)
	}
	if len(wanted) < 2 {
		t.Error("the daemon has no corp")
	}
	for _, file := range wanted {
		if !slices.Contains(mounted, file) {
			t.Errorf("the daemon reads %s, mounted are %s", file, mounted)
		}
	}
}

func TestCompose_DaemonAndSimulatorRunWithoutPrivileges(t *testing.T) {
	t.Parallel()
	c := compose(t)
	for _, name := range []string{"consentd", "simulator"} {
		s := c.Services[name]
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("service %s: read_only %v, cap_drop %v, security_opt %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		if s.Build != "." || s.Image != c.Services["consentd"].Image {
			t.Errorf("service %s: build %q, image %q; want both from one image built here", name, s.Build, s.Image)
		}
	}
}

func TestCompose_NothingListensBeyondThisMachine(t *testing.T) {
	t.Parallel()
	for name, s := range compose(t).Services {
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("service %s: port %q is open to the network", name, p)
			}
		}
	}
}

// instruction is one of a Dockerfile's, continuation lines joined.
type instruction struct{ keyword, rest string }

func (i instruction) String() string { return i.keyword + " " + i.rest }

// stages splits a Dockerfile at its FROM instructions.
func stages(t *testing.T) [][]instruction {
	t.Helper()
	var all [][]instruction
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	for line := range strings.Lines(regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")) {
		keyword, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case keyword == "":
			continue
		case keyword == "FROM":
			all = append(all, nil)
		case len(all) == 0:
			t.Fatalf("%s stands before the first FROM", keyword)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{keyword, rest})
	}
	if len(all) != 2 {
		t.Fatalf("there are %d stages, want one to build and one to run", len(all))
	}
	return all
}

func has(stage []instruction, keyword, pattern string) bool {
	re := regexp.MustCompile(pattern)
	return slices.ContainsFunc(stage, func(i instruction) bool { return i.keyword == keyword && re.MatchString(i.rest) })
}

func TestDockerfile_BuildsAStaticBinaryWithTheGoOfGoMod(t *testing.T) {
	t.Parallel()
	build := stages(t)[0]
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if version == nil {
		t.Fatal("go.mod names no Go version")
	}
	if want := fmt.Sprintf(`\bgolang:%s-`, regexp.QuoteMeta(version[1])); !has(build, "FROM", want) {
		t.Errorf("%s, want golang:%s", build[0], version[1])
	}
	if !has(build, "RUN", `CGO_ENABLED=0 .*go build .*-o /consentd \./cmd/consentd$`) {
		t.Errorf("no static binary is built: %s", build)
	}
}

func TestDockerfile_RunsTheBinaryAloneAndNotAsRoot(t *testing.T) {
	t.Parallel()
	run := stages(t)[1]
	for _, want := range []instruction{
		{"FROM", `^scratch$`},
		{"COPY", `^--from=build /consentd /consentd$`},
		{"COPY", `^--from=build /etc/ssl/certs/ca-certificates\.crt /etc/ssl/certs/`},
		{"USER", `^[1-9]\d*:[1-9]\d*$`},
		{"ENTRYPOINT", `^\["/consentd"\]$`},
	} {
		if !has(run, want.keyword, want.rest) {
			t.Errorf("the image has no %s in %s", want, run)
		}
	}
}

func TestDockerignore_KeepsHistoryOut(t *testing.T) {
	t.Parallel()
	lines := strings.Fields(read(t, ".dockerignore"))
	if !slices.Contains(lines, ".git") {
		t.Errorf(".git isn't among %s", lines)
	}
}
