package kafkatest

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"
)

//go:embed pom.xml
var pom []byte

// apacheVersion names the cache's folder; the pom has the last word on what is fetched.
const apacheVersion = "4.3.1"

// MissingError says that a program this package needs is not installed, and how to get it.
type MissingError struct {
	Tool    string // as on the PATH
	Package string // Debian's
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not on the PATH: install it (Debian: apt-get install %s)", e.Tool, e.Package)
}

func lookTool(tool, debian string) (string, error) {
	path, err := exec.LookPath(tool)
	if err != nil {
		return "", &MissingError{Tool: tool, Package: debian}
	}
	return path, nil
}

// apacheJars returns a folder with Kafka's jars, fetched once for all checkouts and test binaries of the user. It is
// filled beside its place and renamed into it, so a folder that exists is whole; a lock file keeps others waiting.
func apacheJars(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for a place for Kafka's jars (XDG_CACHE_HOME names one): %w", err)
	}
	parent := filepath.Join(cache, "consentd", "apache-kafka-"+apacheVersion)
	// A changed pom means other jars; older checkouts go on with theirs.
	dir := filepath.Join(parent, fmt.Sprintf("%x", sha256.Sum256(pom))[:12])
	if exists(dir) {
		return dir, nil
	}
	mvn, err := lookTool("mvn", "maven")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return "", fmt.Errorf("making the folder for Kafka's jars: %w", err)
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(parent, "lock")).Lock()
	if err != nil {
		return "", fmt.Errorf("locking the folder for Kafka's jars: %w", err)
	}
	defer unlock()
	if exists(dir) {
		return dir, nil
	}

	tmp, err := os.MkdirTemp(parent, "fetching-")
	if err != nil {
		return "", fmt.Errorf("making the folder for Kafka's jars: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.WriteFile(filepath.Join(tmp, "pom.xml"), pom, 0o600); err != nil {
		return "", fmt.Errorf("writing the list of Kafka's jars: %w", err)
	}
	libs := filepath.Join(tmp, "libs")
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+libs)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetching Apache Kafka %s with Maven: %w\n%s", apacheVersion, err, failure(out))
	}
	if err := os.Rename(libs, dir); err != nil {
		return "", fmt.Errorf("putting Kafka's jars into their folder: %w", err)
	}
	return dir, nil
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}
