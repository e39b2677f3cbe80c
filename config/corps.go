package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
)

// corpsFileKey is what the list in wechat.corps_file is called.
const corpsFileKey = "corps_file"

// eachCorp hands over the corps and their keys.
func (l *loader) eachCorp(do func(key string, c *Corp)) {
	for i := range l.config.Corps {
		do(fmt.Sprintf("corps[%d]", i), &l.config.Corps[i])
	}
	for i := range l.config.CorpsOfFile {
		do(fmt.Sprintf("%s[%d]", corpsFileKey, i), &l.config.CorpsOfFile[i])
	}
}

// source is a kind of token source: its keys, and which of them names the file of a secret.
type source struct {
	keys      []string
	secretKey string
	// secret returns the file, env is what the secret is called in the environment.
	secret func(*Token) string
	env    string
}

var sources = map[string]source{
	"gettoken": {[]string{"secret_file"}, "secret_file", func(t *Token) string { return t.SecretFile }, "SECRET"},
	"suite":    {[]string{"suite_id", "permanent_code_file"}, "permanent_code_file", func(t *Token) string { return t.PermanentCodeFile }, "PERMANENT_CODE"},
	"static":   {[]string{"value_file"}, "value_file", func(t *Token) string { return t.ValueFile }, "VALUE"},
	"file":     {keys: []string{"path"}},
	"http":     {keys: []string{"url"}},
}

const sourceNames = "want gettoken, suite, http, file or static"

// envName is an id as a part of a variable's name.
func envName(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, id)
}

// corpEnv is the variable that may hold a corp's secret itself.
func corpEnv(corpID, secret string) string {
	return envPrefix + "CORPS_" + envName(corpID) + "_TOKEN_" + secret
}

// suiteEnv is the variable that may hold a suite's secret, or its ticket.
func suiteEnv(suiteID, secret string) string {
	return envPrefix + "SUITES_" + envName(suiteID) + "_" + secret
}

// readSecrets reads the files that hold secrets, or the variables in their place, and checks what they are for.
func (l *loader) readSecrets() {
	for _, f := range l.fields {
		if name := f.secretEnv(); name != "" {
			secret := f.parent.FieldByName(f.tag("secret")).Addr().Interface().(*Secret)
			*secret = l.readSecret(f.key, f.value.String(), name, f.tag("lines") == "many")
		}
	}
	shared := make(map[string]string) // whose secret a variable is
	suites := l.readSuites(shared)
	seen := make(map[string]string)
	l.eachCorp(func(key string, c *Corp) {
		l.checkID(key, "corp_id", c.CorpID, seen)
		s, ok := l.checkToken(key, &c.Token, suites)
		switch {
		case !ok: // a variable of a corp that has a problem of its own shall not be called unknown too
			for _, s := range sources {
				l.variable(corpEnv(c.CorpID, s.env))
			}
		case s.env != "":
			c.Token.Secret = l.readOwnSecret(key+".token."+s.secretKey, s.secret(&c.Token), corpEnv(c.CorpID, s.env), "corp "+c.CorpID, shared)
		}
	})
}

// readSuites reads the suites' secrets and returns the ids.
func (l *loader) readSuites(shared map[string]string) map[string]string {
	ids := make(map[string]string)
	for i := range l.config.Suites {
		s := &l.config.Suites[i]
		key := fmt.Sprintf("suites[%d]", i)
		if l.flawed(key) {
			l.variable(suiteEnv(s.SuiteID, "SECRET"))
			l.variable(suiteEnv(s.SuiteID, "TICKET"))
			continue
		}
		l.checkID(key, "suite_id", s.SuiteID, ids)
		if ticket := suiteEnv(s.SuiteID, "TICKET"); s.TicketFile == "" { // a file is read when it is needed: it need not exist yet
			s.Ticket = l.readOwnSecret(key+".ticket_file", "", ticket, "suite "+s.SuiteID, shared)
		} else if _, both := l.variable(ticket); both {
			l.problem(ticket, "is set beside %s.ticket_file: want one of them", key)
		}
		s.Secret = l.readOwnSecret(key+".secret_file", s.SecretFile, suiteEnv(s.SuiteID, "SECRET"), "suite "+s.SuiteID, shared)
	}
	return ids
}

// checkID wants an id, and each once.
func (l *loader) checkID(key, name, id string, seen map[string]string) {
	first, twice := seen[id]
	switch {
	case l.flawed(key, key+"."+name):
	case !corpName.MatchString(id):
		l.problem(key+"."+name, "%q: want 1 to 128 characters of A-Z a-z 0-9 _ - . @", id)
	case twice:
		l.problem(key+"."+name, "%s is %s already: want each once", id, first)
	default:
		seen[id] = key
	}
}

// checkToken wants exactly one source, with its keys and no other's; ok is false when its secret need not be looked for.
func (l *loader) checkToken(key string, t *Token, suites map[string]string) (s source, ok bool) {
	if l.flawed(key, key+".token") {
		return s, false
	}
	key += ".token"
	if s, ok = sources[t.Source]; !ok {
		l.problem(key+".source", "%q: %s", t.Source, sourceNames)
		return s, false
	}
	v := reflect.ValueOf(*t)
	for _, name := range tags(v.Type()) {
		if f, _ := fieldByTag(v, name); name != "source" && !slices.Contains(s.keys, name) && f.String() != "" {
			l.problem(key+"."+name, "does not belong to source %s: want %s", t.Source, strings.Join(s.keys, " and "))
		}
	}
	switch t.Source {
	case "file":
		if t.Path == "" {
			l.problem(key+".path", "is missing: want the file that holds the access_token")
		}
	case "http":
		if u := l.checkURL(key+".url", t.URL, true); u != nil {
			t.Secret, t.URL = NewSecret(t.URL), u.Scheme+"://"+u.Host+"/[hidden]"
		}
	case "suite":
		if _, known := suites[t.SuiteID]; !known {
			l.problem(key+".suite_id", "%q is not one of suites: want the suite_id that the corp authorised", t.SuiteID)
		}
	}
	return s, true
}

// readOwnSecret reads the secret of a corp or suite, which must have one.
func (l *loader) readOwnSecret(key, file, variable, owner string, shared map[string]string) Secret {
	_, isSet := l.env[variable]
	if other, ok := shared[variable]; ok && isSet && other != owner {
		l.problem(variable, "stands for %s and %s: use files for them", other, owner)
	}
	shared[variable] = owner
	if file == "" && !isSet {
		l.problem(key, "is missing: want the file with the secret of %s, or %s", owner, variable)
	}
	return l.readSecret(key, file, variable, false)
}

// maxSecretBytes is far more than any secret has.
const maxSecretBytes = 64 << 10

// readSecret returns what the variable or the file holds, many lines or one. Its text never enters a message.
func (l *loader) readSecret(key, file, variable string, many bool) Secret {
	if text, ok := l.variable(variable); ok {
		if fileVariable, both := l.setBy[key]; both {
			l.problem(variable, "is set beside %s: want one of them", fileVariable)
		}
		return l.hidden(variable, "", text, many)
	}
	if file == "" {
		return Secret{}
	}
	text, err := readSome(file, maxSecretBytes+2)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		l.problem(key, "file %s: %v", file, err)
		return Secret{}
	}
	return l.hidden(key, "file "+file+": ", text, many)
}

// hidden wants a secret to be one line, unless it has many; the newline at its end is not part of it.
func (l *loader) hidden(key, where, text string, many bool) Secret {
	secret := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if secret == "" || len(secret) > maxSecretBytes || !many && strings.ContainsAny(secret, "\r\n") {
		l.problem(key, "%swant one line with the secret", where)
		return Secret{}
	}
	return NewSecret(secret)
}

// readSome reads a file up to one byte more than the limit, so that one which is too large shows.
func readSome(file string, limit int64) (string, error) {
	r, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // it was only read from
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	return string(text), err
}
