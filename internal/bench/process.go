package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Usage is what a process used up, from its start to its end.
type Usage struct {
	CPU     time.Duration `json:"cpu_ns"` // user and system
	PeakRSS int64         `json:"peak_rss_bytes"`
	Mallocs uint64        `json:"mallocs"`
	Took    time.Duration `json:"took_ns"` // of the floor, from its first record to its last
}

// process is this program, run once more as a part of the benchmark.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// start runs a part and leaves its standard output to be read.
func (b *run) start(ctx context.Context, name string, args ...string) (*process, error) {
	return b.startAs(ctx, name, nil, args...)
}

// startAs runs a part with more variables in its environment.
func (b *run) startAs(ctx context.Context, name string, env []string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.CommandContext(ctx, self, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 30 * time.Second
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	b.processes = append(b.processes, p)
	return p, nil
}

// waitForAll returns when all parts have ended; end their context first.
func (b *run) waitForAll() {
	for _, p := range b.processes {
		_ = p.cmd.Wait() // how it ends does not matter any more
	}
}

// line reads a line that the part prints, such as the address it listens on.
func (p *process) line() (string, error) {
	s, err := p.stdout.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended before it was ready: %w\n%s", p.name, err, p.tail())
	}
	return strings.TrimSpace(s), nil
}

// tail is the end of what the part logged.
func (p *process) tail() string {
	const tailBytes = 2000
	b := p.stderr.Bytes()
	return string(b[max(0, len(b)-tailBytes):])
}

// stop ends the part in good order and returns what it used.
func (p *process) stop() (Usage, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return Usage{}, fmt.Errorf("stop %s: %w", p.name, err)
	}
	return p.wait()
}

// wait returns what the part used when it has ended by itself. Its last line is a Usage of what only it knows.
func (p *process) wait() (Usage, error) {
	out, err := io.ReadAll(p.stdout)
	if err == nil {
		err = p.cmd.Wait()
	}
	if err != nil {
		return Usage{}, fmt.Errorf("%s: %w\n%s", p.name, err, p.tail())
	}
	var u Usage
	if len(out) > 0 {
		if err := json.Unmarshal(out, &u); err != nil {
			return Usage{}, fmt.Errorf("%s: its usage: %w", p.name, err)
		}
	}
	u.CPU = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	if r, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.PeakRSS = r.Maxrss * maxRSSUnit
	}
	return u, nil
}

// PrintUsage writes what only the process itself knows of its usage; a part does so when it ends.
func PrintUsage(out io.Writer, took time.Duration) error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return json.NewEncoder(out).Encode(Usage{Mallocs: m.Mallocs, Took: took})
}
