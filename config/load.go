package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Load reads the file at path (empty: none) and the environment (as os.Environ has it) over it. The warnings are about
// what was ignored. The error is an *Error with every problem that was found.
func Load(path string, environ []string) (Config, []string, error) {
	l := &loader{config: Default(), places: make(map[string]place), setBy: make(map[string]string)}
	l.fields = fields(&l.config)
	if tree := l.parse(path, ""); tree != nil {
		l.readMapping("", tree)
	}
	l.readEnvironment(environ)
	l.check()
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
	file     string            // that is being read
	places   map[string]place  // of the keys in files
	setBy    map[string]string // the variables that took the place of keys
	env      map[string]string
	used     map[string]bool // the variables that something was read from
	warnings []string
	problems []Problem
}

// place is where a key stands.
type place struct {
	file string
	line int
}

// problem notes what is wrong with a key, where it was set: a key that was not is found by its section.
func (l *loader) problem(key, format string, args ...any) {
	p := Problem{Key: key, Message: fmt.Sprintf(format, args...)}
	if name, ok := l.setBy[key]; ok {
		p.Key = name
	} else {
		for k := key; k != ""; k = k[:max(0, strings.LastIndexByte(k, '.'))] {
			if at, ok := l.places[k]; ok {
				p.File, p.Line = at.file, at.line
				break
			}
		}
	}
	l.problems = append(l.problems, p)
}

// flawed tells whether something is wrong with one of the keys already, so that it can't be compared with others.
func (l *loader) flawed(keys ...string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool {
		return slices.ContainsFunc(keys, func(key string) bool {
			return p.Key == key || p.Key == l.setBy[key] || strings.HasPrefix(p.Key, key+".")
		})
	})
}

func (l *loader) field(key string) (field, bool) {
	i := slices.IndexFunc(l.fields, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return l.fields[i], true
}

// parse reads a YAML file of one document, which a key names; nil: it is empty, or there is a problem.
func (l *loader) parse(path, key string) ast.Node {
	if path == "" {
		return nil
	}
	l.file = path
	problem := func(line int, format string, args ...any) ast.Node {
		l.problems = append(l.problems, Problem{File: path, Line: line, Message: fmt.Sprintf(format, args...)})
		return nil
	}
	src, err := readSome(path, maxFileBytes)
	if err == nil && len(src) > maxFileBytes {
		return problem(0, "is larger than %d bytes: want a configuration", maxFileBytes)
	}
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		if key != "" {
			l.problem(key, "file %s: %v", path, err)
			return nil
		}
		return problem(0, "%v", err)
	}
	src = strings.TrimPrefix(src, "\ufeff") // as some editors begin a file
	tree, err := parser.ParseBytes([]byte(src), 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line, message := 0, err.Error()
		var at yaml.Error
		if errors.As(err, &at) {
			message = at.GetMessage()
			if at.GetToken() != nil && at.GetToken().Position != nil {
				line = at.GetToken().Position.Line
			}
		}
		return problem(line, "not valid YAML: %s", message)
	}
	if len(tree.Docs) > 1 {
		problem(0, "has %d documents: want one", len(tree.Docs))
	}
	for _, doc := range tree.Docs[:min(1, len(tree.Docs))] {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			return doc.Body
		}
	}
	if key != "" && len(tree.Docs) <= 1 {
		l.problem(key, "file %s is empty: want a list of corps, or [] for none", path)
	}
	return nil
}

// maxFileBytes is far more than the corps of any provider take.
const maxFileBytes = 64 << 20

// mark notes where a key stands.
func (l *loader) mark(key string, n *token.Token) { l.places[key] = place{l.file, n.Position.Line} }

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
		l.problems = append(l.problems, Problem{
			l.file, n.GetToken().Position.Line, strings.TrimSuffix(prefix, "."), fmt.Sprintf("is %s: want keys and values", nodeKind(n)),
		})
		return
	}
	l.eachPair(prefix, pairs, l.readKey)
}

// eachPair hands over the pairs of a mapping, each key once.
func (l *loader) eachPair(prefix string, pairs []*ast.MappingValueNode, read func(key string, value ast.Node)) {
	for _, pair := range pairs {
		name := pair.Key.GetToken()
		key := prefix + name.Value
		if first, twice := l.places[key]; twice {
			l.problems = append(l.problems, Problem{l.file, name.Position.Line, key, fmt.Sprintf("stands twice, first on line %d: want it once", first.line)})
			continue
		}
		l.mark(key, name)
		if strings.Contains(name.Value, ".") {
			l.problem(key, "unknown key: want sections, as in batch: {size: 100}")
			continue
		}
		read(key, pair.Value)
	}
}

func (l *loader) readKey(key string, value ast.Node) {
	f, known := l.field(key)
	switch {
	case value.Type() == ast.NullType: // as if it were absent
	case known:
		l.readField(f, value)
	case key == "corps":
		readItems(l, key, value, &l.config.Corps)
	case key == "suites":
		readItems(l, key, value, &l.config.Suites)
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
		text, err := f.text(n)
		if err != nil {
			l.problem(f.key, "%v", err)
			return
		}
		texts = append(texts, text)
	}
	if err := f.set(texts); err != nil {
		l.problem(f.key, "%v", err)
	}
}

// text returns what a node says, when it is of the field's type in YAML.
func (f field) text(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		if kind := f.value.Kind(); quoted && (kind == reflect.Bool || kind == reflect.Int) {
			return "", fmt.Errorf("is %q: want %s, without quotes", n.Value, f.want())
		}
		return n.Value, nil
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), nil
	case *ast.BoolNode:
		if f.value.Kind() == reflect.Bool {
			return strconv.FormatBool(n.Value), nil
		}
	case *ast.IntegerNode, *ast.FloatNode:
		if f.typeName() != "text" && f.typeName() != "list" {
			return n.GetToken().Value, nil
		}
	}
	if address, ok := hostPort(n); ok && f.typeName() == "list" {
		return address, nil
	}
	if _, ok := n.(ast.ScalarNode); ok && f.typeName() == "text" {
		return "", fmt.Errorf("is %s, which is no text: want it in quotes", n.GetToken().Value)
	}
	return "", fmt.Errorf("is %s: want %s", nodeKind(n), f.want())
}

// hostPort puts an address together again: in a flow mapping the parser takes one that is not quoted for a mapping.
func hostPort(n ast.Node) (string, bool) {
	pairs, ok := entries(n)
	if !ok || len(pairs) != 1 {
		return "", false
	}
	_, isPort := pairs[0].Value.(*ast.IntegerNode)
	return pairs[0].Key.GetToken().Value + ":" + pairs[0].Value.GetToken().Value, isPort
}

func nodeKind(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType, ast.TagType:
		return "an anchor, alias or tag, which are not read here"
	}
	return fmt.Sprintf("%q", n.GetToken().Value)
}

// suggest names the known key that is nearest to a wrong one.
func (l *loader) suggest(key string) string {
	return cmp.Or(l.nearest(key, func(f field) string { return f.key }), l.siblings(key))
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

// siblings names the keys that stand beside a key.
func (l *loader) siblings(key string) string {
	section := key[:strings.LastIndexByte(key, '.')+1]
	names := []string{}
	if section == "" {
		names = append(names, "corps", "suites")
	}
	for _, f := range l.fields {
		if rest, ok := strings.CutPrefix(f.key, section); ok {
			name, _, _ := strings.Cut(rest, ".")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return ": want one of " + strings.Join(slices.Compact(names), ", ")
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

// readItems reads a list of objects, of which one that is wrong hides no other's problems.
func readItems[T any](l *loader, key string, value ast.Node, items *[]T) {
	s, ok := value.(*ast.SequenceNode)
	if !ok {
		l.problem(key, "is %s: want a list", nodeKind(value))
		return
	}
	*items = make([]T, len(s.Values))
	for i, n := range s.Values {
		itemKey := fmt.Sprintf("%s[%d]", key, i)
		l.mark(itemKey, n.GetToken())
		l.readObject(itemKey, n, reflect.ValueOf(&(*items)[i]).Elem())
	}
}

// readObject reads the texts and objects of an object.
func (l *loader) readObject(key string, n ast.Node, object reflect.Value) {
	pairs, ok := entries(n)
	if !ok {
		l.problem(key, "is %s: want keys and values", nodeKind(n))
		return
	}
	l.eachPair(key+".", pairs, func(key string, value ast.Node) {
		name := key[strings.LastIndexByte(key, '.')+1:]
		v, known := fieldByTag(object, name)
		switch {
		case !known:
			l.problem(key, "unknown key: want %s", strings.Join(tags(object.Type()), ", "))
		case value.Type() == ast.NullType: // as if it were absent
		case v.Kind() == reflect.Struct:
			l.readObject(key, value, v)
		default:
			l.readField(field{key: key, value: v}, value)
		}
	})
}

func fieldByTag(object reflect.Value, name string) (reflect.Value, bool) {
	for i := range object.NumField() {
		if tag := object.Type().Field(i).Tag.Get("yaml"); tag == name && tag != "-" {
			return object.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func tags(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "-" {
			names = append(names, tag)
		}
	}
	return names
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
		l.setBy[f.key] = f.env()
		if err := f.set(f.split(text)); err != nil {
			l.problem(f.env(), "%v", err)
		}
	}
	if tree := l.parse(l.config.WeChat.CorpsFile, "wechat.corps_file"); tree != nil {
		l.mark(corpsFileKey, tree.GetToken())
		readItems(l, corpsFileKey, tree, &l.config.CorpsOfFile)
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
