package metrics

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// names are those of all metrics that the daemon can export.
func names(t *testing.T) map[string]bool {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		used().registry.Describe(descs)
	}()
	all := make(map[string]bool)
	for d := range descs {
		m := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("no name in %s", d)
		}
		all[m[1]] = true
	}
	return all
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMetrics_AreExactlyThoseOfTheirPage(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile("(?m)^\\|((?: `consentd_[a-z_]+`,?)+) \\|").FindAllStringSubmatch(readPage(t, "docs/metrics.md"), -1)
	var page []string
	for _, row := range rows {
		page = append(page, regexp.MustCompile(`consentd_[a-z_]+`).FindAllString(row[1], -1)...)
	}
	have := names(t)
	maps.DeleteFunc(have, func(name string, _ bool) bool { return !strings.HasPrefix(name, "consentd_") })
	slices.Sort(page)
	if want := slices.Sorted(maps.Keys(have)); !slices.Equal(page, want) {
		t.Errorf("docs/metrics.md has\n%q\nthe daemon has\n%q", page, want)
	}
}
