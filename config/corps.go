package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// readCorps reads the list of corps.
func (l *loader) readCorps(value ast.Node) []Corp {
	var corps []Corp
	readItems(l, "corps", value, &corps)
	seen := make(map[string]int)
	for i, c := range corps {
		key := fmt.Sprintf("corps[%d]", i)
		first, twice := seen[c.CorpID]
		switch {
		case l.flawed(key, key+".corp_id"):
		case !corpName.MatchString(c.CorpID):
			l.problem(key+".corp_id", "%q: want 1 to 128 characters of A-Z a-z 0-9 _ - . @", c.CorpID)
		case twice:
			l.problem(key+".corp_id", "%s is corps[%d] already: want each corp once", c.CorpID, first)
		default:
			seen[c.CorpID] = i
		}
	}
	return corps
}

// sourceFields are the keys of each token source.
var sourceFields = map[string]string{
	"gettoken": "secret_file", "file": "path", "static": "value_file",
	"suite": "suite_id permanent_code_file", "http": "url",
}

// sourceSecret is what a source's secret is called in the environment.
var sourceSecret = map[string]string{"gettoken": "SECRET", "static": "VALUE"}

// corpEnv is the variable that may hold a corp's secret itself.
func corpEnv(c Corp) string {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, c.CorpID)
	return envPrefix + "CORPS_" + id + "_TOKEN_" + sourceSecret[c.Token.Source]
}

// checkToken wants exactly one source, with its keys and no other's; ok is false when its secret need not be looked for.
func (l *loader) checkToken(key string, t *Token) (ok bool) {
	if l.flawed(key, key+".token") {
		return false
	}
	key += ".token"
	wanted, known := sourceFields[t.Source]
	switch {
	case !known:
		l.problem(key+".source", "%q: want gettoken, file or static", t.Source)
		return false
	case laterSources[t.Source]:
		l.problem(key+".source", "%s is not available yet: want gettoken, file or static", t.Source)
		return false
	}
	v := reflect.ValueOf(*t)
	for _, name := range tags(v.Type()) {
		if f, _ := fieldByTag(v, name); name != "source" && name != wanted && f.String() != "" {
			l.problem(key+"."+name, "does not belong to source %s: want %s", t.Source, wanted)
		}
	}
	return true
}

// readSecrets reads the files that hold secrets, or the variables in their place.
func (l *loader) readSecrets() {
	for _, f := range l.fields {
		if name := f.secretEnv(); name != "" {
			secret := f.parent.FieldByName(f.tag("secret")).Addr().Interface().(*Secret)
			*secret = l.readSecret(f.key, f.value.String(), name)
		}
	}
	variables := make(map[string]string)
	for i := range l.config.Corps {
		c := &l.config.Corps[i]
		key := fmt.Sprintf("corps[%d]", i)
		if !l.checkToken(key, &c.Token) {
			l.markUsed(*c)
			continue
		}
		file := c.Token.SecretFile
		switch c.Token.Source {
		case "file":
			if c.Token.Path == "" {
				l.problem(key+".token.path", "is missing: want the file that holds the access_token of corp %s", c.CorpID)
			}
			continue
		case "static":
			file = c.Token.ValueFile
		}
		key += ".token." + sourceFields[c.Token.Source]
		name := corpEnv(*c)
		_, isSet := l.env[name]
		if other, ok := variables[name]; ok && isSet && other != c.CorpID {
			l.problem(name, "stands for corps %s and %s: use files for them", other, c.CorpID)
		}
		variables[name] = c.CorpID
		c.Token.Secret = l.readSecret(key, file, name)
		if file == "" && !isSet {
			l.problem(key, "is missing: want the file with the secret of corp %s, or %s", c.CorpID, name)
		}
	}
}

// markUsed keeps the variable of a corp that has a problem of its own from being called unknown too.
func (l *loader) markUsed(c Corp) {
	for _, c.Token.Source = range []string{"gettoken", "static"} {
		l.variable(corpEnv(c))
	}
}

// maxSecretBytes is far more than any secret has.
const maxSecretBytes = 64 << 10

// readSecret returns what the variable or the file holds. Its text never enters a message.
func (l *loader) readSecret(key, file, variable string) Secret {
	if text, ok := l.variable(variable); ok {
		if fileVariable, both := l.setBy[key]; both {
			l.problem(variable, "is set beside %s: want one of them", fileVariable)
		}
		return l.oneLine(variable, "", text)
	}
	if file == "" {
		return Secret{}
	}
	text, err := readSome(file)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		l.problem(key, "file %s: %v", file, err)
		return Secret{}
	}
	return l.oneLine(key, "file "+file+": ", text)
}

// oneLine wants a secret to be one line; the newline at its end is not part of it.
func (l *loader) oneLine(key, where, text string) Secret {
	secret := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if secret == "" || len(secret) > maxSecretBytes || strings.ContainsAny(secret, "\r\n") {
		l.problem(key, "%swant one line with the secret", where)
		return Secret{}
	}
	return NewSecret(secret)
}

// readSome reads so much of a file that one which is no secret shows.
func readSome(file string) (string, error) {
	r, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // it was only read from
	text, err := io.ReadAll(io.LimitReader(r, maxSecretBytes+3))
	return string(text), err
}
