package kafkatest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// startTimeout bounds a start whose context has no deadline. A start takes 2 to 4 s on an idle machine.
const startTimeout = 2 * time.Minute

// ApacheOptions are what a caller of [StartApache] or [StartApacheCluster] may choose. The zero value is what tests want.
type ApacheOptions struct {
	// Port is the one clients connect to; 0 takes a free one. The nodes of a cluster always have free ones.
	Port int
	// HeapMB is the limit of each node's Java heap in MiB; 0 is 512.
	HeapMB int
	// JavaFlags are further flags of each node's Java; nil: those of one that starts fast and takes the least of a machine that is
	// shared with all the rest.
	JavaFlags []string
	// Config is added to server.properties and wins over what stands there.
	Config map[string]string
	// Listeners are the names of further listeners of each node, for clients that shall come another way.
	Listeners []string
	// Advertise returns the address at which the clients of one of Listeners are told to find a node, counted from 0, which
	// listens at addr itself. It is asked before the nodes start, and again when a start is tried with other ports. nil: addr.
	Advertise func(listener string, node int, addr string) (string, error)
}

// StartApache starts a single Apache Kafka node (broker and controller) whose configuration, data and server.log are in
// dir, and returns when it answers. A dir that was used before is continued. ctx bounds the start only, not the
// broker's life; without a deadline it is 2 minutes. The jars are fetched with Maven the first time; what is not
// installed is reported as a [*MissingError]. On Linux the broker dies with this process.
func StartApache(ctx context.Context, dir string, o ApacheOptions) (*Broker, error) {
	brokers, err := startApache(ctx, []string{dir}, o)
	if err != nil {
		return nil, err
	}
	return brokers[0], nil
}

// StartApacheCluster is [StartApache] for a cluster of several nodes, each with a folder of its own in dir, and returns them in
// the order of their ids when all of them answer. What is written is on three nodes, or on all if they are fewer, and
// acknowledged when all but one have it: so with three or more any one may be killed without a loss.
func StartApacheCluster(ctx context.Context, dir string, nodes int, o ApacheOptions) ([]*Broker, error) {
	dirs := make([]string, nodes)
	for i := range dirs {
		dirs[i] = filepath.Join(dir, "broker-"+strconv.Itoa(i+1))
	}
	o.Port = 0
	return startApache(ctx, dirs, o)
}

func startApache(ctx context.Context, dirs []string, o ApacheOptions) ([]*Broker, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	nodes, err := prepareNodes(ctx, dirs, o)
	if err != nil {
		return nil, err
	}
	// A free port is only free until somebody else takes it: another one is tried then.
	for attempt := 1; ; attempt++ {
		err = startNodes(ctx, nodes, o)
		if err == nil {
			break
		}
		if o.Port != 0 || attempt == 3 || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
	brokers := make([]*Broker, len(nodes))
	for i, a := range nodes {
		brokers[i] = &Broker{kind: "apache", addr: a.addr, node: a}
	}
	return brokers, nil
}

// prepareNodes makes the folders and finds what the nodes are run with.
func prepareNodes(ctx context.Context, dirs []string, o ApacheOptions) ([]*apache, error) {
	java, err := lookTool("java", "default-jre-headless")
	if err != nil {
		return nil, err
	}
	jars, err := apacheJars(ctx)
	if err != nil {
		return nil, err
	}
	flags := o.JavaFlags
	if flags == nil {
		flags = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	heap := o.HeapMB
	if heap == 0 {
		heap = 512
	}
	command := append([]string{java, fmt.Sprintf("-Xmx%dm", heap)}, flags...)
	command = append(
		command,
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-cp", filepath.Join(jars, "*"),
	)
	nodes := make([]*apache, len(dirs))
	for i, dir := range dirs {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("making the broker's directory: %w", err)
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, fmt.Errorf("finding the broker's directory: %w", err)
		}
		nodes[i] = &apache{dir: dir, command: command}
	}
	id, err := clusterID(nodes)
	for _, a := range nodes {
		a.clusterID = id
	}
	return nodes, err
}

var clusterIDLine = regexp.MustCompile(`(?m)^cluster\.id=(\S+)`)

// clusterID returns the id of the cluster that the nodes were before, or else a new one.
func clusterID(nodes []*apache) (string, error) {
	for _, a := range nodes {
		meta, err := os.ReadFile(a.metaFile())
		if err != nil {
			continue
		}
		found := clusterIDLine.FindSubmatch(meta)
		if found == nil {
			return "", fmt.Errorf("%s names no cluster.id: remove the directory", a.metaFile())
		}
		return string(found[1]), nil
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	id[0] &= 0x7f        // in base64 a letter comes first, not a dash, which the tool would take for a flag
	return base64.RawURLEncoding.EncodeToString(id), nil
}

// startNodes gives the nodes their places and starts them side by side: none answers before most of them are there.
func startNodes(ctx context.Context, nodes []*apache, o ApacheOptions) error {
	places, err := choosePlaces(len(nodes), o)
	if err != nil {
		return err
	}
	group, starting := errgroup.WithContext(ctx)
	for i, a := range nodes {
		a.addr = loopback(places[i].port)
		group.Go(func() error {
			if err := os.WriteFile(a.path("server.properties"), a.properties(places[i], o.Config), 0o600); err != nil {
				return fmt.Errorf("writing the broker's configuration: %w", err)
			}
			if err := a.format(starting); err != nil {
				return err
			}
			return a.start(starting)
		})
	}
	if err = group.Wait(); err != nil {
		for _, a := range nodes {
			if a.process != nil {
				err = errors.Join(err, a.kill())
			}
		}
	}
	return err
}

// place is where a node stands in its cluster.
type place struct {
	id, of     int // from 1
	port       int
	controller int
	voters     string // controller.quorum.voters
	listeners  []listener
}

// listener is a further one.
type listener struct{ name, addr, advertised string }

func choosePlaces(nodes int, o ApacheOptions) ([]place, error) {
	each := 2 + len(o.Listeners)
	ports, err := freePorts(nodes * each)
	if err != nil {
		return nil, err
	}
	places := make([]place, nodes)
	voters := make([]string, nodes)
	for i := range places {
		mine := ports[i*each:][:each]
		p := place{id: i + 1, of: nodes, port: mine[0], controller: mine[1]}
		if o.Port != 0 {
			p.port = o.Port
		}
		voters[i] = fmt.Sprintf("%d@%s", p.id, loopback(p.controller))
		for j, name := range o.Listeners {
			l := listener{name: name, addr: loopback(mine[2+j])}
			l.advertised = l.addr
			if o.Advertise != nil {
				if l.advertised, err = o.Advertise(name, i, l.addr); err != nil {
					return nil, fmt.Errorf("advertising listener %s of node %d: %w", name, i, err)
				}
			}
			p.listeners = append(p.listeners, l)
		}
		places[i] = p
	}
	for i := range places {
		places[i].voters = strings.Join(voters, ",")
	}
	return places, nil
}
