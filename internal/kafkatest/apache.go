package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// apache is a Kafka process with the files it runs from.
type apache struct {
	dir       string
	addr      string
	clusterID string
	command   []string
	process   *process
}

func (a *apache) path(name string) string { return filepath.Join(a.dir, name) }

func (a *apache) metaFile() string { return a.path("data/meta.properties") }

// properties are those of a node that starts fast and tidies up within a test's patience. Topics are created for whoever
// asks, as is Kafka's default: it shows who creates one by accident.
func (a *apache) properties(at place, extra map[string]string) []byte {
	clients := "PLAINTEXT://" + loopback(at.port)
	listeners := []string{clients, "CONTROLLER://" + loopback(at.controller)}
	advertised := []string{clients}
	protocols := []string{"PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	for _, l := range at.listeners {
		listeners = append(listeners, l.name+"://"+l.addr)
		advertised = append(advertised, l.name+"://"+l.advertised)
		protocols = append(protocols, l.name+":PLAINTEXT")
	}
	replicas := strconv.Itoa(min(at.of, 3))
	inSync := strconv.Itoa(max(1, min(at.of, 3)-1)) // any one may be away
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(at.id),
		"controller.quorum.voters":                         at.voters,
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"listeners":                                        strings.Join(listeners, ","),
		"advertised.listeners":                             strings.Join(advertised, ","),
		"listener.security.protocol.map":                   strings.Join(protocols, ","),
		"log.dirs":                                         filepath.ToSlash(a.path("data")),
		"num.partitions":                                   "1",
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              inSync,
		"auto.create.topics.enable":                        "true",
		"offsets.topic.num.partitions":                     "3",
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.num.partitions":             "3",
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.num.partitions":     "1",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
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

// format gives an empty data directory the cluster's id, without which Kafka refuses to start on it.
func (a *apache) format(ctx context.Context) error {
	if exists(a.metaFile()) {
		return nil
	}
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
