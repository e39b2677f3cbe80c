package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logLine is a line that the source can write.
type logLine struct {
	at             token.Position
	level, message string
	// hints: it has a hint, or says whose failure it is, which has one.
	hints bool
}

// daemonSource returns the files of the daemon: the command that runs it, and all packages that it is made of.
func daemonSource(t *testing.T, fset *token.FileSet) []*ast.File {
	t.Helper()
	const module = "consentd/"
	parse := func(file string) *ast.File {
		f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	files := []*ast.File{parse("run.go")}
	seen := map[string]bool{}
	for i := 0; i < len(files); i++ {
		for _, spec := range files[i].Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			dir, ours := strings.CutPrefix(path, module)
			if !ours || seen[dir] {
				continue
			}
			seen[dir] = true
			sources, err := filepath.Glob("../../" + dir + "/*.go")
			if err != nil {
				t.Fatal(err)
			}
			for _, source := range sources {
				if !strings.HasSuffix(source, "_test.go") {
					files = append(files, parse(source))
				}
			}
		}
	}
	return files
}

// chain returns the names of the methods that lead to a call, as Error, Err, Str, Msg, the names of the fields that they set,
// and the variable that they begin with.
func chain(call *ast.CallExpr) (methods, fields []string, root string) {
	for e := ast.Expr(call); ; {
		switch x := e.(type) {
		case *ast.CallExpr:
			if s, ok := x.Fun.(*ast.SelectorExpr); ok {
				methods = append(methods, s.Sel.Name)
			} else if name, ok := x.Fun.(*ast.Ident); ok {
				methods = append(methods, name.Name)
			}
			if len(x.Args) > 0 {
				switch arg := x.Args[0].(type) {
				case *ast.BasicLit:
					fields = append(fields, strings.Trim(arg.Value, `"`))
				case *ast.CallExpr: // checker.Why(log.Error(), …)
					inner, _, _ := chain(arg)
					methods = append(methods, inner...)
				}
			}
			e = x.Fun
		case *ast.SelectorExpr:
			e = x.X
		case *ast.Ident:
			return methods, fields, x.Name
		default:
			return methods, fields, ""
		}
	}
}

// logLines returns all lines that a file can write, but for those of debug.
func logLines(t *testing.T, fset *token.FileSet, f *ast.File) []logLine {
	var lines []logLine
	for _, decl := range f.Decls {
		assigned := map[string]*ast.CallExpr{} // a line that is begun, and ended further down
		ast.Inspect(decl, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 {
				name, isName := a.Lhs[0].(*ast.Ident)
				begun, isCall := a.Rhs[0].(*ast.CallExpr)
				if isName && isCall {
					assigned[name.Name] = begun
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "Msg" {
				return true
			}
			l := logLine{at: fset.Position(call.Pos())}
			methods, fields, root := chain(call)
			if begun := assigned[root]; begun != nil {
				m, f, _ := chain(begun)
				methods, fields = append(methods, m...), append(fields, f...)
			}
			l.hints = slices.Contains(fields, "hint") || slices.Contains(methods, "Why")
			for method, level := range map[string]string{"Debug": "debug", "Info": "info", "Warn": "warn", "Error": "error", "Log": "info"} {
				if slices.Contains(methods, method) {
					l.level = level
				}
			}
			if text, ok := call.Args[0].(*ast.BasicLit); ok && l.level != "" {
				l.message, _ = strconv.Unquote(text.Value)
			}
			if l.message == "" {
				t.Errorf("%s: want a line whose level and message can be read in the source", l.at)
			} else if l.level != "debug" {
				lines = append(lines, l)
			}
			return true
		})
	}
	return lines
}

var tableRow = regexp.MustCompile("(?m)^\\| (info|warn|error) \\| `([^`]+)` \\| .+ \\|$")

func TestLogTable_HasExactlyTheLinesOfTheDaemon(t *testing.T) {
	t.Parallel()
	written := map[[2]string]bool{}
	for _, m := range tableRow.FindAllStringSubmatch(pages(t)["docs/operations.md"], -1) {
		written[[2]string{m[1], m[2]}] = false
	}
	fset := token.NewFileSet()
	for _, f := range daemonSource(t, fset) {
		for _, l := range logLines(t, fset, f) {
			row := [2]string{l.level, l.message}
			if _, ok := written[row]; !ok {
				t.Errorf("%s: docs/operations.md has no row | %s | `%s` | … |", l.at, l.level, l.message)
			}
			written[row] = true
		}
	}
	for row, used := range written {
		if !used {
			t.Errorf("docs/operations.md has a row for the %s %q, which nothing writes", row[0], row[1])
		}
	}
	if len(written) < 30 {
		t.Errorf("only %d rows were found", len(written))
	}
}

// Of the whole program, also the commands beside the daemon.
func TestLogLines_ThatWarnSayWhatToDo(t *testing.T) {
	t.Parallel()
	fset, warnings := token.NewFileSet(), 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../../chaos/") {
			return err
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, l := range logLines(t, fset, f) {
			if l.level == "info" {
				continue
			}
			warnings++
			if !l.hints {
				t.Errorf("%s: %q has no hint", l.at, l.message)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if warnings < 25 {
		t.Errorf("only %d lines were found", warnings)
	}
}
