package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"consentd/internal/kafkatest"
	"consentd/wechat/wechattest"
)

const alertRules = "../../deploy/prometheus/alerts.yml"

// alert is one of the rules, as far as it is of interest here.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(readFile(t, alertRules), &file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no rules")
	}
	return all
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// promtool runs Prometheus' own checks in a folder.
func promtool(t *testing.T, dir string, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kafkatest.Tool(t, "promtool", "prometheus"), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAlerts_AreValidAndFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if out, err := promtool(t, filepath.Dir(alertRules), args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
	// promtool passes a rule that no test names.
	tests := string(readFile(t, strings.Replace(alertRules, ".yml", "_test.yml", 1)))
	for _, a := range alerts(t) {
		fires := regexp.MustCompile(`alertname: ` + a.Alert + `\n +exp_alerts:\n +- exp_labels`)
		if quiet := "alertname: " + a.Alert + ", exp_alerts: []"; !fires.MatchString(tests) || !strings.Contains(tests, quiet) {
			t.Errorf("no test has %s fire and be quiet", a.Alert)
		}
	}
}

func TestDashboard_AsksWhatPrometheusUnderstands(t *testing.T) {
	t.Parallel()
	dashboard := string(readFile(t, "../../deploy/grafana/consentd.json"))
	rules := "groups:\n- name: panels\n  rules:\n"
	for i, m := range regexp.MustCompile(`"expr": (".*")`).FindAllStringSubmatch(dashboard, -1) {
		// JSON's strings are YAML's.
		rules += fmt.Sprintf("  - {record: panel_%d, expr: %s}\n", i, strings.ReplaceAll(m[1], "$__rate_interval", "5m"))
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, ".", "check", "rules", "--lint=none", file); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAlerts_EachHasItsSectionOfTheRunbook(t *testing.T) {
	t.Parallel()
	sections := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^### (Consentd\w+)$`).FindAllStringSubmatch(string(readFile(t, "../../docs/runbook.md")), -1) {
		sections[m[1]] = true
	}
	for _, a := range alerts(t) {
		if !sections[a.Alert] || !strings.HasSuffix(a.Annotations["runbook_url"], "#"+strings.ToLower(a.Alert)) {
			t.Errorf("%s has no section, or %s does not lead to it", a.Alert, a.Annotations["runbook_url"])
		}
		delete(sections, a.Alert)
	}
	if len(sections) > 0 {
		t.Errorf("sections of the runbook without an alert: %q", slices.Sorted(maps.Keys(sections)))
	}
}

// scrapes is how many times a healthy daemon is looked at; what was seen is repeated for an hour.
const scrapes = 6

func TestAlerts_AreQuietInAHealthyHour(t *testing.T) {
	t.Parallel()
	w := setup(t, kafkatest.Embedded(t), wechattest.Options{})
	d := w.start()
	address := d.opsAddress()
	d.awaitLog(`"assigned"`)
	idle := slices.Repeat([]map[string]*dto.MetricFamily{scrape(t, address)}, scrapes)
	var seen []map[string]*dto.MetricFamily
	answered := 0
	for range scrapes {
		answered += w.load(5)
		w.await(answered)
		seen = append(seen, scrape(t, address))
	}
	d.stop()

	dir := t.TempDir()
	w.write(filepath.Join(dir, "alerts.yml"), string(readFile(t, alertRules)))
	rules := alerts(t)
	w.write(filepath.Join(dir, "hour.yml"), healthyHour(seen, rules, ""))
	if out, err := promtool(t, dir, "test", "rules", "hour.yml"); err != nil {
		t.Errorf("a healthy hour is not quiet: %v\n%s", err, out)
	}
	w.write(filepath.Join(dir, "idle.yml"), healthyHour(idle, rules, ""))
	if out, err := promtool(t, dir, "test", "rules", "idle.yml"); err != nil {
		t.Errorf("an hour without a request is not quiet: %v\n%s", err, out)
	}
	// That nothing fires says something only when it would have.
	w.write(filepath.Join(dir, "outage.yml"), healthyHour(seen, rules, "consentd_api_outage"))
	if out, err := promtool(t, dir, "test", "rules", "outage.yml"); err == nil || !strings.Contains(out, "ConsentdAPIOutage") {
		t.Errorf("the same hour with an outage is quiet: %v\n%s", err, out)
	}
	for _, a := range rules {
		for _, name := range regexp.MustCompile(`\b(consentd|process|go)_[a-z_]+\b`).FindAllString(a.Expr, -1) {
			// What counts troubles comes with the first of them.
			if f := seen[0][name]; f == nil && name != "consentd_corp_in_trouble" && name != "consentd_dead_letters_total" {
				t.Errorf("%s looks at %s, which a daemon does not export", a.Alert, name)
			}
		}
	}
}

func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	_, text := get(t, address+"/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// healthyHour is a test for promtool in which the gauges and counters that were seen go on for an hour, and no alert may fire at
// any minute of it. broken is a gauge that is 1 all the time.
func healthyHour(seen []map[string]*dto.MetricFamily, rules []alert, broken string) string {
	var y strings.Builder
	y.WriteString("rule_files: [alerts.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n")
	const labels = `job="consentd",instance="a:9464"`
	fmt.Fprintf(&y, "  - {series: 'up{%s}', values: '1x60'}\n", labels)
	for _, name := range slices.Sorted(maps.Keys(seen[0])) {
		for i, m := range seen[0][name].GetMetric() {
			series := name + "{" + labels
			for _, l := range m.GetLabel() {
				series += fmt.Sprintf(",%s=%q", l.GetName(), l.GetValue())
			}
			var values []string
			for minute := range 61 {
				at, past := seen[minute%scrapes][name], minute/scrapes
				values = append(values, fmt.Sprint(value(at, i)+float64(past)*growth(seen, name, i)))
				if name == broken {
					values[minute] = "1"
				}
			}
			fmt.Fprintf(&y, "  - {series: '%s}', values: '%s'}\n", series, strings.Join(values, " "))
		}
	}
	y.WriteString("  alert_rule_test:\n")
	for minute := range 61 {
		for _, a := range rules {
			fmt.Fprintf(&y, "  - {eval_time: %dm, alertname: %s}\n", minute, a.Alert)
		}
	}
	return y.String()
}

// value is that of a family's i-th metric; of a histogram how many were observed. One that came later was 0.
func value(f *dto.MetricFamily, i int) float64 {
	if i >= len(f.GetMetric()) {
		return 0
	}
	switch m := f.GetMetric()[i]; f.GetType() {
	case dto.MetricType_COUNTER:
		return m.GetCounter().GetValue()
	case dto.MetricType_GAUGE:
		return m.GetGauge().GetValue()
	case dto.MetricType_UNTYPED:
		return m.GetUntyped().GetValue()
	default:
		return float64(m.GetHistogram().GetSampleCount() + m.GetSummary().GetSampleCount())
	}
}

// growth is by how much a counter grows from one round of scrapes to the next.
func growth(seen []map[string]*dto.MetricFamily, name string, i int) float64 {
	if seen[0][name].GetType() == dto.MetricType_GAUGE {
		return 0
	}
	last, first := value(seen[scrapes-1][name], i), value(seen[0][name], i)
	return last - first + (last-first)/(scrapes-1)
}
