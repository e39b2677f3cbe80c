package ops

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rs/zerolog"

	"consentd/docs"
)

// get asks a mux that serves the files, and follows redirects.
func get(t *testing.T, files fs.FS, path string) (status int, body string) {
	t.Helper()
	mux := http.NewServeMux()
	newPages(files, zerolog.New(zerolog.NewTestWriter(t))).handle(mux)
	for {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != http.StatusFound {
			return w.Code, w.Body.String()
		}
		path = w.Header().Get("Location")
	}
}

func TestPages_AreServedAsHTMLWithAnchorsAndTables(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"runbook.md": {Data: []byte("# Runbook\n\n## ConsentdDown\n\n| a | b |\n|---|---|\n| [x](errors.md#classes) | <script>y</script> |\n")}}
	for _, path := range []string{"/runbook", "/docs/", "/docs/runbook.md"} {
		status, body := get(t, files, path)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		for _, want := range []string{`<h2 id="consentddown">ConsentdDown</h2>`, `<td><a href="errors.md#classes">x</a></td>`, "<title>consentd: runbook.md</title>"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s has no %s:\n%s", path, want, body)
			}
		}
		if strings.Contains(body, "<script>") {
			t.Errorf("%s passes a page's own HTML on:\n%s", path, body)
		}
	}
}

func TestPages_ServeNothingElse(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/docs/absent.md", "/docs/embed.go", "/docs/decisions", "/docs/decisions/", "/docs/..%2fgo.mod"} {
		if status, body := get(t, docs.Pages, path); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

var (
	link   = regexp.MustCompile(`href="([^":]*)"`)
	anchor = regexp.MustCompile(`<h[1-6] id="([^"]*)"`)
)

func TestPages_FindEachOtherByTheirLinks(t *testing.T) {
	t.Parallel()
	bodies := make(map[string]string)
	err := fs.WalkDir(docs.Pages, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, bodies[path] = get(t, docs.Pages, "/docs/"+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	anchors := make(map[string]bool)
	for page, body := range bodies {
		anchors[page+"#"] = true
		for _, m := range anchor.FindAllStringSubmatch(body, -1) {
			anchors[page+"#"+m[1]] = true
		}
	}
	links := 0
	for page, body := range bodies {
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			to, at, _ := strings.Cut(m[1], "#")
			switch {
			case strings.HasPrefix(to, ".."), !strings.HasSuffix(to, ".md") && to != "":
				continue // not a page
			case to == "":
				to = page
			case strings.HasPrefix(page, "decisions/"):
				to = "decisions/" + to
			}
			links++
			if !anchors[to+"#"+at] {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were found", links)
	}
}
