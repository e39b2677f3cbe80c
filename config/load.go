package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads the file at path (empty: none) and the environment (as os.Environ has it) over it. The warnings are about
// what was ignored. The error is an *Error with every problem that was found.
func Load(path string, environ []string) (Config, []string, error) {
	l := &loader{config: Default(), file: path, lines: make(map[string]int)}
	l.fields = fields(&l.config)
	l.readFile()
	l.readEnvironment(environ)
	l.check()
	l.refuseLater()
	if len(l.problems) > 0 {
		// The file's first, by line, then the environment's.
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			return cmp.Or(-cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
		})
		return Config{}, nil, &Error{l.problems}
	}
	return l.config, l.warnings, nil
}

type loader struct {
	config   Config
	fields   []field
	file     string
	lines    map[string]int // of the keys in the file
	env      map[string]string
	used     map[string]bool // the variables that something was read from
	warnings []string
	problems []Problem
}

// problem notes what is wrong with a key, wherever it was set.
func (l *loader) problem(key, format string, args ...any) {
	p := Problem{Key: key, Message: fmt.Sprintf(format, args...)}
	if line, ok := l.lines[key]; ok {
		p.File, p.Line = l.file, line
	}
	l.problems = append(l.problems, p)
}

func (l *loader) field(key string) (field, bool) {
	i := slices.IndexFunc(l.fields, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return l.fields[i], true
}

func (l *loader) readFile() {
	if l.file == "" {
		return
	}
	src, err := os.ReadFile(l.file)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		l.problems = append(l.problems, Problem{File: l.file, Message: err.Error()})
		return
	}
	tree, err := parser.ParseBytes(src, 0)
	if err != nil {
		p := Problem{File: l.file, Message: "not valid YAML: " + err.Error()}
		var at yaml.Error
		if errors.As(err, &at) {
			p.Message = "not valid YAML: " + at.GetMessage()
			if at.GetToken() != nil && at.GetToken().Position != nil {
				p.Line = at.GetToken().Position.Line
			}
		}
		l.problems = append(l.problems, p)
		return
	}
	if len(tree.Docs) > 1 {
		l.problems = append(l.problems, Problem{File: l.file, Message: fmt.Sprintf("has %d documents: want one", len(tree.Docs))})
	}
	for _, doc := range tree.Docs[:min(1, len(tree.Docs))] {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			l.readMapping("", doc.Body)
		}
	}
}

// entries returns the key-value pairs of a mapping; ok is false when the node is none.
func entries(n ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func (l *loader) readMapping(prefix string, n ast.Node) {
	pairs, ok := entries(n)
	if !ok {
		l.lines[strings.TrimSuffix(prefix, ".")] = n.GetToken().Position.Line
		l.problem(strings.TrimSuffix(prefix, "."), "is %s: want keys and values", nodeKind(n))
		return
	}
	for _, pair := range pairs {
		key := prefix + pair.Key.GetToken().Value
		l.lines[key] = pair.Key.GetToken().Position.Line
		l.readKey(key, pair.Value)
	}
}

func (l *loader) readKey(key string, value ast.Node) {
	f, known := l.field(key)
	switch {
	case value.Type() == ast.NullType: // as if it were absent
	case known:
		l.readField(f, value)
	case key == "corps":
		l.config.Corps = l.readCorps(value)
	case key == "suites":
		decodeItems(l, key, value, &l.config.Suites)
	case l.isSection(key):
		l.readMapping(key+".", value)
	default:
		l.problem(key, "unknown key%s", l.suggest(key))
	}
}

func (l *loader) isSection(key string) bool {
	return slices.ContainsFunc(l.fields, func(f field) bool { return strings.HasPrefix(f.key, key+".") })
}

func (l *loader) readField(f field, value ast.Node) {
	nodes := []ast.Node{value}
	if s, ok := value.(*ast.SequenceNode); ok && f.typeName() == "list" {
		nodes = s.Values
	}
	var texts []string
	for _, n := range nodes {
		text, ok := scalar(n)
		if !ok {
			l.problem(f.key, "is %s: want %s", nodeKind(n), f.want())
			return
		}
		texts = append(texts, text)
	}
	if err := f.set(texts); err != nil {
		l.problem(f.key, "%v", err)
	}
}

// scalar returns the text of a single value. In a flow mapping the parser takes a host:port that is not quoted for a
// mapping of its own: it is put together again.
func scalar(n ast.Node) (string, bool) {
	if pairs, ok := entries(n); ok && len(pairs) == 1 {
		host, ok1 := scalar(pairs[0].Key)
		port, ok2 := scalar(pairs[0].Value)
		return host + ":" + port, ok1 && ok2 && pairs[0].Value.Type() == ast.IntegerType
	}
	if key, ok := n.(ast.MapKeyNode); ok {
		if _, isScalar := n.(ast.ScalarNode); isScalar || key.Type() == ast.StringType {
			return n.GetToken().Value, true
		}
	}
	if _, ok := n.(ast.ScalarNode); ok {
		return n.GetToken().Value, true
	}
	return "", false
}

func nodeKind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	}
	return fmt.Sprintf("%q", n.GetToken().Value)
}

// suggest names the known key that is nearest to a wrong one.
func (l *loader) suggest(key string) string {
	return l.nearest(key, func(f field) string { return f.key })
}

func (l *loader) suggestEnv(name string) string { return l.nearest(name, field.env) }

func (l *loader) nearest(name string, of func(field) string) string {
	const tooFar = 4 // letters
	best, distance := "", tooFar
	for _, f := range l.fields {
		if d := editDistance(name, of(f)); d < distance {
			best, distance = of(f), d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// editDistance is how many letters must be added, left out or replaced to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// decodeItems decodes a list of objects, each strictly, so that one that is wrong hides no other's problems.
func decodeItems[T any](l *loader, key string, value ast.Node, items *[]T) {
	s, ok := value.(*ast.SequenceNode)
	if !ok {
		l.problem(key, "is %s: want a list", nodeKind(value))
		return
	}
	for i, n := range s.Values {
		var item T
		itemKey := fmt.Sprintf("%s[%d]", key, i)
		l.lines[itemKey] = n.GetToken().Position.Line
		if err := yaml.NodeToValue(n, &item, yaml.Strict()); err != nil {
			var at yaml.Error
			if errors.As(err, &at) {
				if at.GetToken() != nil && at.GetToken().Position != nil {
					l.lines[itemKey] = at.GetToken().Position.Line
				}
				err = errors.New(at.GetMessage())
			}
			l.problem(itemKey, "%v", err)
		}
		*items = append(*items, item)
	}
}

// ignoredEnv are the variables that Kubernetes sets for a service that is called consentd.
var ignoredEnv = []string{"CONSENTD_PORT", "CONSENTD_SERVICE_"}

func (l *loader) readEnvironment(environ []string) {
	l.env, l.used = make(map[string]string), make(map[string]bool)
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		if slices.ContainsFunc(ignoredEnv, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			l.warnings = append(l.warnings, name+" is ignored: Kubernetes sets such variables for a service of this name")
			continue
		}
		l.env[name] = value
	}
	for _, f := range l.fields {
		text, ok := l.variable(f.env())
		if !ok {
			continue
		}
		delete(l.lines, f.key) // it is the variable that counts
		if err := f.set(f.split(text)); err != nil {
			l.problem(f.env(), "%v", err)
		}
	}
	l.readSecrets()
	for name := range l.env {
		if !l.used[name] {
			l.problem(name, "unknown variable%s", l.suggestEnv(name))
		}
	}
}

// variable returns a variable and notes that it is a known one.
func (l *loader) variable(name string) (string, bool) {
	text, ok := l.env[name]
	l.used[name] = ok
	return text, ok
}
