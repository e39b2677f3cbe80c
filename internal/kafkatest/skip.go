package kafkatest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// SkipsFile names the environment variable with the path of a file to which every test that is skipped for want of a
// real broker adds a line. `go test` shows no skips without -v; `make test` prints this file at its end.
const SkipsFile = "KAFKATEST_SKIPS"

func requireTools(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var missing *MissingError
	if inCI, _ := strconv.ParseBool(os.Getenv("CI")); inCI || !errors.As(err, &missing) {
		t.Fatal(err)
	}
	note := fmt.Sprintf("%s needs more than Go: %s", t.Name(), missing)
	if err := noteSkip(os.Getenv(SkipsFile), note); err != nil {
		t.Error(err)
	}
	t.Skip(note)
}

func noteSkip(file, note string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("noting a skipped test: %w", err)
	}
	_, err = fmt.Fprintln(f, note)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("noting a skipped test: %w", err)
	}
	return nil
}

// Tool returns the path of a program that a test needs beside the broker. Without it the test is skipped, loudly, or
// fails, as with [Apache]; debian is the package that has it.
func Tool(t testing.TB, tool, debian string) string {
	t.Helper()
	path, err := lookTool(tool, debian)
	requireTools(t, err)
	return path
}
