package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"consentd/config"
	"consentd/internal/kafkatest"
)

const unit = "deploy/systemd/consentd.service"

func TestUnit_IsOneThatSystemdUnderstands(t *testing.T) {
	t.Parallel()
	analyze := kafkatest.Tool(t, "systemd-analyze", "systemd")
	// It wants the program to be there.
	text := strings.Replace(read(t, unit), "ExecStart=/usr/local/bin/consentd", "ExecStart=/usr/bin/env", 1)
	file := filepath.Join(t.TempDir(), "consentd.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnit_LeavesTheDaemonTimeToDrain(t *testing.T) {
	t.Parallel()
	cfg, _, err := config.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(.*)$`).FindStringSubmatch(read(t, unit))
	if m == nil {
		t.Fatal("no TimeoutStopSec")
	}
	stop, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	if least := cfg.Consumer.DrainTimeout + 10*time.Second; stop < least {
		t.Errorf("it is killed after %s, want at least %s", stop, least)
	}
}
