package metrics

import (
	"encoding/json"
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

const dashboard = "deploy/grafana/consentd.json"

// panel is one of the dashboard's, as far as it is of interest here.
type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	var board struct {
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal([]byte(readPage(t, dashboard)), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) == 0 {
		t.Fatal("no panels")
	}
	return board.Panels
}

func TestDashboard_LooksAtMetricsThatExistOfTheInstancesChosen(t *testing.T) {
	t.Parallel()
	have := names(t)
	looked := map[string]bool{"consentd_build_info": true}
	for _, p := range panels(t) {
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%q looks at nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, m := range regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(target.Expr, -1) {
				name := m[1]
				if !have[name] {
					name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
				}
				if looked[name] = true; !have[name] && name != "up" {
					t.Errorf("%q looks at %s, which the daemon does not export", p.Title, m[1])
				}
				if !strings.HasPrefix(m[2], `job="$job", instance=~"$instance"`) {
					t.Errorf("%q looks at %s of all instances", p.Title, m[1])
				}
			}
		}
	}
	for name := range have {
		if strings.HasPrefix(name, "consentd_") && !looked[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestDashboard_PanelsAreNumberedOnceAndDoNotOverlap(t *testing.T) {
	t.Parallel()
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range panels(t) {
		if ids[p.ID] {
			t.Errorf("%q has the id %d of another", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q is wider than the dashboard", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok {
					t.Fatalf("%q lies on %q", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
	}
}
