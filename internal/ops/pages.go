package ops

import (
	"bytes"
	"html/template"
	"io/fs"
	"net/http"
	"path"

	"github.com/rs/zerolog"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// runbook is the page that alerts link to.
const runbook = "runbook.md"

// pages serves Markdown as HTML: /docs/ and a page's name, so that pages find each other by the links that they have anyway.
// Headings have the anchors that a reader on GitHub knows.
type pages struct {
	files    fs.FS
	markdown goldmark.Markdown
	log      zerolog.Logger
}

func newPages(files fs.FS, log zerolog.Logger) *pages {
	return &pages{
		files: files, log: log,
		markdown: goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID())),
	}
}

// handle serves the pages at /docs/, and at /runbook the way to the runbook.
func (p *pages) handle(mux *http.ServeMux) {
	mux.Handle("GET /runbook", http.RedirectHandler("/docs/"+runbook, http.StatusFound)) // browsers keep the #anchor
	mux.Handle("GET /docs/{$}", http.RedirectHandler("/docs/"+runbook, http.StatusFound))
	mux.Handle("GET /docs/{page...}", p)
}

var frame = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>consentd: {{.Title}}</title>
<style>
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 sans-serif }
pre, code { background: #eee; font-size: 90% } pre { padding: .5rem; overflow: auto }
table { border-collapse: collapse } th, td { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top }
:target { background: #ff9 }
</style>
</head>
<body>
{{.Body}}
</body>
</html>
`))

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("page")
	source, err := fs.ReadFile(p.files, name)
	if err != nil || path.Ext(name) != ".md" {
		http.Error(w, "no such page here; consentd's source may have it. The runbook is at /runbook", http.StatusNotFound)
		return
	}
	var body, page bytes.Buffer
	err = p.markdown.Convert(source, &body)
	if err == nil {
		// Raw HTML in a page is left out by goldmark, so what it made is safe.
		err = frame.Execute(&page, struct {
			Title string
			Body  template.HTML
		}{name, template.HTML(body.String())})
	}
	if err != nil {
		p.log.Error().Err(err).Str("page", name).Str("hint", "report it; docs/ of the source has the pages too").Msg("a page can't be shown")
		http.Error(w, "this page can't be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = page.WriteTo(w)
}
