package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

// shownCode is a command, or a script, that a page shows for the reader to run.
type shownCode struct{ page, text string }

var (
	codeBlock  = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	prompted   = regexp.MustCompile(`(?m)^\$ ((?:.*[|\\]\n)*.*)$`)
	inlineCode = regexp.MustCompile("`((?:(?:bin/)?consentd [a-z][^`\n]* -|make |go [a-z]|curl |kcat )[^`\n]*)`")
)

// codeOf returns all that a page shows, in its order: commands after a prompt, blocks of sh as they are, and commands in the text.
func codeOf(page, text string) (all []shownCode) {
	add := func(code string) { all = append(all, shownCode{page, code}) }
	inline := func(text string) {
		for _, m := range inlineCode.FindAllStringSubmatch(text, -1) {
			add(m[1])
		}
	}
	end := 0
	for _, m := range codeBlock.FindAllStringSubmatchIndex(text, -1) {
		inline(text[end:m[0]])
		end = m[1]
		language, body := text[m[2]:m[3]], text[m[4]:m[5]]
		if language == "sh" {
			add(body)
			continue
		}
		for _, command := range prompted.FindAllStringSubmatch(body, -1) {
			add(command[1])
		}
	}
	inline(text[end:])
	return all
}

// shownElsewhere is what is not run here, and where it is run instead.
var shownElsewhere = map[string]string{
	"make test":              "runs this test",
	"go test -race ./...":    "make test",
	"go test -C chaos ./...": "make test",
	"make build":             ".ci/run",
	"make lint":              ".ci/run",
	"make chaos":             ".ci/run",
	"make chaos CHAOS_SEED=7 CHAOS_DURATION=5m CHAOS_SEEDS=10 CHAOS_PARALLEL=2": "go test -C chaos: the flags that it becomes; it takes half an hour",
	`make chaos CHAOS_FLAGS="--tags break_staging"`:                             "go test -C chaos: the broken builds are found out",
	`make chaos CHAOS_FLAGS="--tags break_offsets"`:                             "go test -C chaos: the broken builds are found out",
	"make fuzz":                            "go test runs the targets on their seeds",
	"make cover":                           "only sums up what make test runs",
	"make bench":                           "its commands are those of docs/benchmarks.md, which are run here with fewer items",
	"make alerts":                          "TestAlerts_AreValidAndFireWhenTheyShould",
	"make demo":                            "TestPages_TheDemoAddsUp",
	"go run ./cmd/consentd dev --rounds 1": "TestPages_TheDemoAddsUp",
	"go run ./cmd/consentd dev":            "TestRun_ARoundAddsUp",
	"go run -C chaos . --help":             "go test -C chaos",
	"consentd run --config FILE":           "the same with a file",
	"consentd config --config FILE":        "the same with a file",
	"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 consentd run --config consentd.yaml\n": "TestTraces_FollowARequestFromItsTraceParentToItsResult",
}

// exitCodes are those of commands that fail on purpose.
var exitCodes = map[string]int{
	"consentd submit --config consentd.yaml --file requests.jsonl": exitUsage,
}

const simulatorPage = "docs/simulator.md"

func TestPages_AllCommandsWork(t *testing.T) {
	t.Parallel()
	var all []shownCode
	texts := pages(t)
	var names []string
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	unused := make(map[string]bool)
	for code := range shownElsewhere {
		unused[code] = true
	}
	for _, name := range names {
		for _, code := range codeOf(name, texts[name]) {
			delete(unused, code.text)
			if shownElsewhere[code.text] == "" && name != simulatorPage {
				all = append(all, code)
			}
		}
	}
	for code := range unused {
		t.Errorf("no page shows %q any more", code)
	}
	if len(all) < 30 {
		t.Errorf("only %d commands were found in the pages", len(all))
	}
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) { newReader(t, b).run(all) })
}

func TestPages_AllOfTheSimulatorsCommandsWork(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var script strings.Builder
	for _, code := range codeOf(simulatorPage, pages(t)[simulatorPage]) {
		script.WriteString(strings.ReplaceAll(code.text, "127.0.0.1:8080", address))
	}
	script.WriteString("kill %1\nwait %1\n")
	r := &reader{t: t, dir: t.TempDir()}
	r.install()
	if out, code := r.shell(t.Context(), "set -m\n"+script.String()); code != exitDone {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestPages_TheDemoAddsUp(t *testing.T) {
	t.Parallel()
	p := command(t, "dev", "--rounds", "1")
	if code := p.wait(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	p.awaitLog("It adds up.")
}

// reader does what the pages say, in a folder with a configuration.
type reader struct {
	t   *testing.T
	dir string
	w   *world
	// daemon is the one that the README starts, running what goes on until it is stopped.
	daemon  *process
	running []*process
	// replay is the id of the last replay.
	replay string
}

// newReader returns one whose configuration is that of a world where a request has failed.
func newReader(t *testing.T, b *kafkatest.Broker) *reader {
	t.Helper()
	w := setup(t, b, wechattest.Options{})
	r := &reader{t: t, dir: filepath.Dir(w.config), w: w}
	r.install()
	w.write(filepath.Join(r.dir, "requests.jsonl"), `{"corp_id":"ww1","kind":"room"}
{"corp_id":"ww1","kind":"single","open_userid":"a","external_userid":"wm1"}
{"corp_id":"ww1","kind":"singel","open_userid":"a","external_userid":"wm1"}
`)
	kafkatest.Produce(t, b.Addr(), w.request("ww-unknown", `{"corp_id":"ww-unknown","kind":"single","open_userid":"c","external_userid":"wm5"}`))
	return r
}

// install puts consentd on the reader's PATH, and a curl that tells when it is refused.
func (r *reader) install() {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	curl := kafkatest.Tool(r.t, "curl", "curl")
	kafkatest.Tool(r.t, "kcat", "kcat")
	bin := filepath.Join(r.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		r.t.Fatal(err)
	}
	for name, script := range map[string]string{
		"consentd": fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", self),
		"curl":     fmt.Sprintf("#!/bin/sh\nexec '%s' --fail --silent --show-error --retry 60 --retry-delay 1 --retry-connrefused \"$@\"\n", curl),
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			r.t.Fatal(err)
		}
	}
}

// commandLimit is how long a command may take.
const commandLimit = 2 * time.Minute

// shell runs a script of bash.
func (r *reader) shell(ctx context.Context, script string) (output string, code int) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -eu -o pipefail\n"+script)
	cmd.Dir = r.dir
	cmd.Env = environ("PATH=" + filepath.Join(r.dir, "bin") + ":" + os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		return fmt.Sprintf("%s\n%v", out, err), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// run does all of it, then ends what goes on.
func (r *reader) run(all []shownCode) {
	for _, code := range all {
		text := r.adapt(code.text)
		switch {
		case strings.HasPrefix(text, "bin/consentd run "):
			r.daemon = r.start(text)
			r.daemon.awaitLog(`"assigned"`)
			r.w.await(1)
		case strings.Contains(text, " --follow"):
			r.running = append(r.running, r.start(text))
		default:
			out, exit := r.shell(r.t.Context(), text)
			if want := exitCodes[code.text]; exit != want {
				r.t.Errorf("%s shows\n%s\nexit code %d, want %d:\n%s", code.page, code.text, exit, want, out)
			}
			if id := regexp.MustCompile(`\b\d{8}T\d{6}Z-[a-z0-9]+\b`).FindString(out); id != "" {
				r.replay = id
			}
		}
	}
	if r.daemon == nil || len(r.running) == 0 || r.replay == "" {
		r.t.Errorf("no page shows how the daemon is run (%v), results are followed (%v), or a replay", r.daemon != nil, len(r.running) > 0)
		return
	}
	for _, p := range append(r.running, r.daemon) {
		p.stop()
	}
}

// start starts what goes on until it is stopped.
func (r *reader) start(text string) *process {
	p := command(r.t, strings.Fields(strings.ReplaceAll(text, "consentd.yaml", r.w.config))[1:]...)
	r.w.logs = append(r.w.logs, p.log)
	return p
}

// adapt puts what is here in the place of what the pages show: addresses, topics, the id of a replay. Benchmarks get less to do,
// and what would wait for more records ends with the last.
func (r *reader) adapt(text string) string {
	text = strings.NewReplacer(
		"localhost:9092", r.w.broker.Addr(), "127.0.0.1:38145", r.w.broker.Addr(),
		"-t consent.requests", "-t "+r.w.topics.requests, "-C -t consent.results", "-C -e -t "+r.w.topics.results,
		"examples/consentd.yaml", "consentd.yaml",
		"go tool pprof http://127.0.0.1:9464/debug/pprof/profile", "curl http://127.0.0.1:9464/debug/pprof/profile?seconds=1 --output profile && go tool pprof -top profile",
	).Replace(text)
	if strings.Contains(text, "127.0.0.1:9464") {
		text = strings.ReplaceAll(text, "http://127.0.0.1:9464", r.daemon.opsAddress())
	}
	if strings.Contains(text, "consentd bench ") {
		text += " --items 2000 --conversations 500 --corps 2"
	}
	return regexp.MustCompile(`--resume \S+`).ReplaceAllString(text, "--resume "+r.replay)
}
