package wechat

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const getTokenPath = "/cgi-bin/gettoken"

// TokenSource is where a corp's access_token comes from. A Client asks it for one corp at a time from one goroutine, and
// keeps what it gets: a source need not cache.
//
// The sources of this package are equal (==) when they were made with the same arguments, the same *http.Client and the
// same *Suite; by that SetCorps finds what has not changed. Printed, they show no secret.
//
// A source that also has a method Provider() string names by it whose IP list its tokens are bound to: see
// Client.Provider.
type TokenSource interface {
	// Token returns a token and for how long it is good; 0: until it is refused. An *Error is passed on as it is, any
	// other counts as of class token and must not hold a secret.
	Token(ctx context.Context) (token string, expiresIn time.Duration, err error)
}

// origin says what kind of source it is that embeds it, to Client.Provider and to whoever prints it.
type origin string

const (
	originGetToken origin = "gettoken"
	originHTTP     origin = "http"
	originFile     origin = "file"
	originStatic   origin = "static"
)

func (o origin) Provider() string { return string(o) }

// Format stands for what fmt would print: all the fields, with the secrets.
func (o origin) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, string(o)) }

// GetToken fetches tokens from the API by the corp's secret. cfg and httpClient are those of New, which checks
// them; a nil httpClient means one of its own.
func GetToken(cfg Config, corpID, secret string, httpClient *http.Client) TokenSource {
	cfg, _ = cfg.withDefaults()
	if httpClient == nil {
		httpClient = NewHTTPClient()
	}
	return getToken{originGetToken, cfg, httpClient, corpID, secret}
}

type getToken struct {
	origin
	cfg            Config
	http           *http.Client
	corpID, secret string
}

func (s getToken) Token(ctx context.Context) (token string, expiresIn time.Duration, err error) {
	var reply tokenReply
	query := url.Values{"corpid": {s.corpID}, "corpsecret": {s.secret}}
	err = newExchange(s.cfg, s.http).get(ctx, getTokenPath, query, secrets{s.secret}, reply.decode)
	if err != nil {
		return "", 0, fetchFailure("gettoken", err)
	}
	return reply.AccessToken, reply.life(), nil
}

// fileLife is how long a token from a file is used before the file is read again. Nobody says when the token ends, and
// reading is cheaper than being refused.
const fileLife = time.Minute

// File reads tokens that another program keeps fresh. The file has the token alone; white space around it is ignored. It
// is read anew about every minute, and when the token is refused.
func File(path string) TokenSource {
	return tokenFile{originFile, wordFile{path: path, what: "access_token"}}
}

type tokenFile struct {
	origin
	file wordFile
}

func (f tokenFile) Token(context.Context) (token string, expiresIn time.Duration, err error) {
	token, err = f.file.read()
	if err != nil {
		return "", 0, err
	}
	return token, fileLife, nil
}

// Static gives always the same token. It is for tests.
func Static(token string) TokenSource { return static{originStatic, token} }

type static struct {
	origin
	token string
}

func (s static) Token(context.Context) (string, time.Duration, error) { return s.token, 0, nil }
