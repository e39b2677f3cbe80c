package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The daemon's timeouts are short, so that many faults fit into a minute. transaction_timeout + 10s + heartbeat_interval +
// drain_timeout is below the session timeout, as the configuration demands.
const (
	SessionTimeout = 14 * time.Second
	// Group is the consumer group.
	Group = "chaos"
	// stopsWithin is how long an instance may take to stop in good order: to drain, to publish what is in flight while brokers
	// are away, to leave.
	stopsWithin = 60 * time.Second
)

const settings = `consumer: {group: %s, max_in_flight: 2000, drain_timeout: 1s, session_timeout: %s, rebalance_timeout: %[2]s, heartbeat_interval: 300ms}
producer: {transaction_timeout: 2s}
retry: {initial_interval: 50ms, max_interval: 500ms, max_elapsed: 1500ms, delays: [%s]}
status: {refresh: 5s}
log: {level: info}
ops: {listen: '127.0.0.1:0'}
`

// instance is a daemon: a configuration and log of its own, one process after the other.
type instance struct {
	n      int
	binary string
	dir    string
	config string

	mu      sync.Mutex
	process *process
	meant   bool   // that the process ends
	exits   []Exit // those that nobody asked for
	log     *os.File
}

// Exit is the end of an instance that nobody asked for, or a stop that was not in good order.
type Exit struct {
	Instance int       `json:"instance"`
	At       time.Time `json:"at"`
	How      string    `json:"how"`  // the exit code or signal
	Last     string    `json:"last"` // the last line of its log
	// Crash: it was not the exit code 1 of a daemon that says what a person has to mend, or that another took its place.
	Crash bool `json:"crash"`
}

// newInstance writes the configuration; secret is a file.
func newInstance(n int, binary, dir, secret string, brokers []string, api string) (*instance, error) {
	i := &instance{n: n, binary: binary, dir: dir, config: filepath.Join(dir, fmt.Sprintf("instance-%d.yaml", n))}
	var y strings.Builder
	fmt.Fprintf(&y, "instance: chaos-%d\nkafka: {brokers: [%s]}\n", n, strings.Join(brokers, ", "))
	fmt.Fprintf(&y, settings, Group, SessionTimeout, strings.Join(retryDelays, ", "))
	fmt.Fprintf(&y, "wechat: {base_url: %q, timeout: 2s}\ncorps:\n", "http://"+api)
	for _, corp := range Corps() {
		fmt.Fprintf(&y, "  - {corp_id: %s, token: {source: gettoken, secret_file: %q}}\n", corp, secret)
	}
	if err := os.WriteFile(i.config, []byte(y.String()), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration of instance %d: %w", n, err)
	}
	var err error
	if i.log, err = os.OpenFile(i.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("opening the log of instance %d: %w", n, err)
	}
	return i, nil
}

func (i *instance) logFile() string {
	return filepath.Join(i.dir, fmt.Sprintf("instance-%d.log", i.n))
}

// start starts a process; when it ends and nobody meant it to, it is noted and another one is started, as a supervisor does.
func (i *instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.startLocked()
}

func (i *instance) startLocked() error {
	cmd := exec.Command(i.binary, "run", "--config", i.config) //nolint:noctx // it is ended by hand
	cmd.Stdout, cmd.Stderr = i.log, i.log
	p, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("starting instance %d: %w", i.n, err)
	}
	i.process, i.meant = p, false
	go i.watch(p)
	return nil
}

// restartPause is a supervisor's.
const restartPause = 500 * time.Millisecond

func (i *instance) watch(p *process) {
	<-p.done
	time.Sleep(restartPause)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.meant || i.process != p {
		return
	}
	i.note(p.cmd.ProcessState.String(), p.cmd.ProcessState.ExitCode() != 1)
	if err := i.startLocked(); err != nil {
		i.note(err.Error(), true)
	}
}

// note keeps how an instance ended. The caller holds the lock.
func (i *instance) note(how string, crash bool) {
	text, _ := os.ReadFile(i.logFile())
	text = bytes.TrimSpace(text)
	last := text[bytes.LastIndexByte(text, '\n')+1:]
	i.exits = append(i.exits, Exit{Instance: i.n, At: time.Now(), How: how, Last: string(last), Crash: crash})
}

// end says that the process is meant to end, and returns it.
func (i *instance) end() *process {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.meant = true
	return i.process
}

// killAndRestart is kill -9, and a new process some time after.
func (i *instance) killAndRestart(ctx context.Context, after time.Duration) error {
	if err := i.end().kill(); err != nil {
		return err
	}
	pause(ctx, after)
	return i.start()
}

// stall is SIGSTOP, and SIGCONT some time after.
func (i *instance) stall(ctx context.Context, length time.Duration) error {
	i.mu.Lock()
	p := i.process
	i.mu.Unlock()
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, length)
	return p.signal(syscall.SIGCONT)
}

// stop is SIGTERM. It returns when the process is gone; one that takes too long is killed, which is noted as well as another
// exit code than 0.
func (i *instance) stop() error {
	p := i.end()
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	how, crash := "", false
	select {
	case <-p.done:
		// A process that has hardly begun knows no signals yet: it has nothing to put in order.
		status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() && !p.cmd.ProcessState.Success() {
			how, crash = "after SIGTERM: "+p.cmd.ProcessState.String(), p.cmd.ProcessState.ExitCode() != 1
		}
	case <-time.After(stopsWithin):
		// What it waits for is in the goroutines that SIGQUIT has it print.
		how, crash = fmt.Sprintf("not gone %s after SIGTERM: killed", stopsWithin), true
		if err := p.signal(syscall.SIGQUIT); err != nil {
			return err
		}
		<-p.done
	}
	if how != "" {
		i.mu.Lock()
		i.note(how, crash)
		i.mu.Unlock()
	}
	return nil
}

// restart is a stop in good order and a new process.
func (i *instance) restart() error {
	if err := i.stop(); err != nil {
		return err
	}
	return i.start()
}

// close ends the process, whatever it does.
func (i *instance) close() error {
	var err error
	if p := i.end(); p != nil {
		err = p.kill()
	}
	return errors.Join(err, i.log.Close())
}
