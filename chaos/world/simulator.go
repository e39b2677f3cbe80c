package world

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"consentd/chaos/faults"
)

// simulator is the simulated WeCom in a process of its own, controlled over HTTP.
type simulator struct {
	process *process
	url     string
	http    *http.Client
}

func startSimulator(binary, log string) (*simulator, error) {
	stderr, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("opening the simulator's log: %w", err)
	}
	defer func() { _ = stderr.Close() }() // the process has its own handle
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command(binary, "simulate", "--listen", "127.0.0.1:0", "--delay", "15ms") //nolint:noctx // it is ended by hand
	cmd.Stdout, cmd.Stderr = write, stderr
	p, err := startProcess(cmd)
	_ = write.Close() // the process has its own handle
	if err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	url, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the simulator printed no URL: see %s", log), p.kill())
	}
	return &simulator{process: p, url: strings.TrimSpace(url), http: &http.Client{Transport: &http.Transport{}}}, nil
}

func (s *simulator) close() error {
	s.http.CloseIdleConnections()
	return s.process.kill()
}

// addr is host:port.
func (s *simulator) addr() string { return strings.TrimPrefix(s.url, "http://") }

// control sends a request to what is under /simulator/.
func (s *simulator) control(ctx context.Context, method, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, s.url+"/simulator/"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return fmt.Errorf("the simulator takes no %s %s %s: %s %s", method, path, body, resp.Status, text)
	}
	return nil
}

func (s *simulator) set(ctx context.Context, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding statuses: %w", err)
	}
	return s.control(ctx, http.MethodPost, "status", text)
}

// misbehave does an API fault until it is over.
func (s *simulator) misbehave(ctx context.Context, f faults.Fault) error {
	if err := s.control(context.WithoutCancel(ctx), http.MethodPost, f.Path, []byte(f.Body)); err != nil {
		return err
	}
	pause(ctx, f.Length)
	return s.control(context.WithoutCancel(ctx), http.MethodDelete, "faults", nil)
}
