package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// readCorps reads the list of corps.
func (l *loader) readCorps(value ast.Node) []Corp {
	var corps []Corp
	decodeItems(l, "corps", value, &corps)
	seen := make(map[string]bool)
	for i := range corps {
		c := &corps[i]
		key := fmt.Sprintf("corps[%d]", i)
		switch {
		case !corpName.MatchString(c.CorpID):
			l.problem(key, "corp_id %q: want 1 to 128 characters of A-Z a-z 0-9 _ - . @", c.CorpID)
		case seen[c.CorpID]:
			l.problem(key, "corp_id %s stands twice: want each corp once", c.CorpID)
		}
		seen[c.CorpID] = true
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

// checkToken wants exactly one source, with its keys and no other's.
func (l *loader) checkToken(key string, c *Corp) {
	source := c.Token.Source
	wanted, known := sourceFields[source]
	switch {
	case !known:
		l.problem(key, "token.source %q of corp %s: want gettoken, file or static", source, c.CorpID)
		return
	case source == "suite" || source == "http":
		l.problem(key, "token.source %s of corp %s is not available yet: want gettoken, file or static", source, c.CorpID)
		return
	}
	v := reflect.ValueOf(c.Token)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "source" || name == "-" {
			continue
		}
		set, wants := v.Field(i).String() != "", strings.Contains(" "+wanted+" ", " "+name+" ")
		if set && !wants {
			l.problem(key, "token.%s of corp %s does not belong to source %s: want %s", name, c.CorpID, source, wanted)
		}
	}
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
		l.checkToken(key, c)
		file := c.Token.SecretFile
		switch c.Token.Source {
		case "file":
			if c.Token.Path == "" {
				l.problem(key, "token.path of corp %s is missing: want the file that holds the access_token", c.CorpID)
			}
			continue
		case "static":
			file = c.Token.ValueFile
		case "gettoken":
		default:
			continue
		}
		name := corpEnv(*c)
		if other, ok := variables[name]; ok && l.env[name] != "" && other != c.CorpID {
			l.problem(name, "stands for corps %s and %s: use files for them", other, c.CorpID)
		}
		variables[name] = c.CorpID
		c.Token.Secret = l.readSecret(key, file, name)
		if file == "" && c.Token.Secret.Reveal() == "" {
			l.problem(key, "the secret of corp %s is missing: want token.%s or %s", c.CorpID, sourceFields[c.Token.Source], name)
		}
	}
}

// maxSecretBytes is far more than any secret has.
const maxSecretBytes = 64 << 10

// readSecret returns what the variable or the file holds. Its text never enters a message.
func (l *loader) readSecret(key, file, variable string) Secret {
	if text, ok := l.variable(variable); ok {
		return NewSecret(text)
	}
	if file == "" {
		return Secret{}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		l.problem(key, "file %s: %v", file, err)
		return Secret{}
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(secret) > maxSecretBytes || strings.ContainsAny(secret, "\r\n") {
		l.problem(key, "file %s: want one line with the secret", file)
		return Secret{}
	}
	return NewSecret(secret)
}
