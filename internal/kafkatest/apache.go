package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// startTimeout bounds a start whose context has no deadline. A start takes 2 to 4 s on an idle machine.
const startTimeout = 2 * time.Minute

// ApacheOptions are what a caller of [StartApache] may choose. The zero value is what tests want.
type ApacheOptions struct {
	// Port is the one clients connect to; 0 takes a free one.
	Port int
	// HeapMB is the Java heap's limit in MiB; 0 is 512.
	HeapMB int
	// Config is added to server.properties and wins over what stands there.
	Config map[string]string
}

// apache is a Kafka process with the files it runs from.
type apache struct {
	dir       string
	addr      string
	clusterID string
	command   []string
	process   *process
}

// StartApache starts a single Apache Kafka node (broker and controller) whose configuration, data and server.log are in
// dir, and returns when it answers. A dir that was used before is continued. ctx bounds the start only, not the
// broker's life; without a deadline it is 2 minutes. The jars are fetched with Maven the first time; what is not
// installed is reported as a [*MissingError]. On Linux the broker dies with this process.
func StartApache(ctx context.Context, dir string, o ApacheOptions) (*Broker, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	java, err := lookTool("java", "default-jre-headless")
	if err != nil {
		return nil, err
	}
	jars, err := apacheJars(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the broker's directory: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("finding the broker's directory: %w", err)
	}

	heap := o.HeapMB
	if heap == 0 {
		heap = 512
	}
	a := &apache{dir: dir, command: []string{
		java, fmt.Sprintf("-Xmx%dm", heap),
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-cp", filepath.Join(jars, "*"),
	}}
	// A free port is only free until somebody else takes it: another one is tried then.
	for attempt := 1; ; attempt++ {
		err = a.startFirst(ctx, o)
		if err == nil {
			return &Broker{kind: "apache", addr: a.addr, node: a}, nil
		}
		if o.Port != 0 || attempt == 3 || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
}

func (a *apache) startFirst(ctx context.Context, o ApacheOptions) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	if o.Port != 0 {
		ports[0] = o.Port
	}
	a.addr = loopback(ports[0])
	if err := os.WriteFile(a.path("server.properties"), a.properties(ports[0], ports[1], o.Config), 0o600); err != nil {
		return fmt.Errorf("writing the broker's configuration: %w", err)
	}
	if err := a.format(ctx); err != nil {
		return err
	}
	return a.start(ctx)
}

func (a *apache) path(name string) string { return filepath.Join(a.dir, name) }

// properties are those of a node that is alone, starts fast and tidies up within a test's patience. Topics are created
// for whoever asks, as is Kafka's default: it shows who creates one by accident.
func (a *apache) properties(port, controller int, extra map[string]string) []byte {
	clients := "PLAINTEXT://" + loopback(port)
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         "1@" + loopback(controller),
		"controller.listener.names":                        "CONTROLLER",
		"listeners":                                        clients + ",CONTROLLER://" + loopback(controller),
		"advertised.listeners":                             clients,
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                         filepath.ToSlash(a.path("data")),
		"num.partitions":                                   "1",
		"auto.create.topics.enable":                        "true",
		"offsets.topic.num.partitions":                     "3",
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.num.partitions":             "3",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.num.partitions":     "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"broker.heartbeat.interval.ms":                     "500",
		"broker.session.timeout.ms":                        "4000", // a killed broker is not let back in before
		"group.initial.rebalance.delay.ms":                 "0",
		"log.cleaner.backoff.ms":                           "100",
		"log.retention.check.interval.ms":                  "500",
		"log.initial.task.delay.ms":                        "500",
	}
	maps.Copy(p, extra)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", k, p[k])
	}
	return []byte(b.String())
}

// format gives an empty data directory its cluster id, without which Kafka refuses to start on it.
func (a *apache) format(ctx context.Context) error {
	meta, err := os.ReadFile(a.path("data/meta.properties"))
	if err == nil {
		found := regexp.MustCompile(`(?m)^cluster\.id=(\S+)`).FindSubmatch(meta)
		if found == nil {
			return fmt.Errorf("%s names no cluster.id: remove the directory", a.path("data/meta.properties"))
		}
		a.clusterID = string(found[1])
		return nil
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	id[0] &= 0x7f        // in base64 a letter comes first, not a dash, which the tool would take for a flag
	a.clusterID = base64.RawURLEncoding.EncodeToString(id)
	args := append(slices.Clone(a.command[1:]), "kafka.tools.StorageTool", "format",
		"-t", a.clusterID, "-c", a.path("server.properties"))
	out, err := exec.CommandContext(ctx, a.command[0], args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting the broker's data directory: %w\n%s", err, failure(out))
	}
	return nil
}

// start runs the broker and returns when it answers.
func (a *apache) start(ctx context.Context) error {
	// The last start's log is kept, so that this one's errors aren't looked for in it.
	if err := os.Rename(a.path("server.log"), a.path("server.log.1")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping the broker's last log: %w", err)
	}
	log, err := os.Create(a.path("server.log"))
	if err != nil {
		return fmt.Errorf("opening the broker's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has its own handle

	// Not tied to ctx: that ends with the start, the broker goes on.
	args := append(slices.Clone(a.command[1:]), "kafka.Kafka", a.path("server.properties"))
	cmd := exec.Command(a.command[0], args...) //nolint:noctx // see above
	cmd.Dir, cmd.Stdout, cmd.Stderr = a.dir, log, log
	if a.process, err = startProcess(cmd); err != nil {
		return fmt.Errorf("starting Apache Kafka: %w", err)
	}
	if err := awaitAnswer(ctx, a.addr, a.clusterID, a.process.done); err != nil {
		err = errors.Join(err, a.kill())
		text, _ := os.ReadFile(a.path("server.log"))
		return fmt.Errorf("starting Apache Kafka: %w\n%s has:\n%s", err, a.path("server.log"), failure(text))
	}
	return nil
}

func (a *apache) ended() <-chan struct{} { return a.process.done }

func (a *apache) kill() error { return a.process.end(os.Kill) }

func (a *apache) stop() error { return a.process.end(terminate) }

func (a *apache) restart() error {
	if err := a.stop(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return a.start(ctx)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts returns n ports of the loopback interface that nobody listened on just now.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		// Held until all are chosen, or one might come twice.
		l, err := net.Listen("tcp", loopback(0)) //nolint:noctx // binds at once
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// failure is what a log has to say about a start that went wrong: 40 lines from the first error on, since a broker that
// gives up writes many more while it shuts down; without an error the last 40.
func failure(log []byte) string {
	const most = 40
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, " ERROR ") }); i >= 0 {
		lines = lines[i:]
		return strings.Join(lines[:min(most, len(lines))], "\n")
	}
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
