package wechat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"consentd/schemas"
)

const getTokenPath = "/cgi-bin/gettoken"

// TokenSource is where a corp's access_token comes from. A Client asks it for one corp at a time from one goroutine, and
// keeps what it gets: a source need not cache.
type TokenSource interface {
	// Token returns a token and for how long it is good; 0: until it is refused. An *Error is passed on as it is, any
	// other counts as of class token and must not hold a secret.
	Token(ctx context.Context) (token string, expiresIn time.Duration, err error)
}

// GetToken fetches tokens from the API by the corp's secret. cfg and httpClient are those of New, which checks
// them; a nil httpClient means one of its own.
func GetToken(cfg Config, corpID, secret string, httpClient *http.Client) TokenSource {
	cfg, _ = cfg.withDefaults()
	if httpClient == nil {
		httpClient = NewHTTPClient()
	}
	return &getToken{exchange: newExchange(cfg, httpClient), corpID: corpID, secret: secret}
}

type getToken struct {
	exchange       *exchange
	corpID, secret string
}

func (s *getToken) Token(ctx context.Context) (token string, expiresIn time.Duration, err error) {
	var reply struct {
		Errcode     int    `json:"errcode"` // a missing one means success
		Errmsg      string `json:"errmsg"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	query := url.Values{"corpid": {s.corpID}, "corpsecret": {s.secret}}
	err = s.exchange.get(ctx, getTokenPath, query, secrets{s.secret}, func(body []byte) (verdict, error) {
		if json.Unmarshal(body, &reply) != nil {
			// The decoder's own words may have a part of the token.
			return verdict{}, errors.New("want an object with errcode, access_token and expires_in")
		}
		return verdict{reply.Errcode, reply.Errmsg}, nil
	})
	var e *Error
	if errors.As(err, &e) {
		e.Message = "gettoken: " + e.Message
	}
	if err != nil {
		return "", 0, err
	}
	life := min(max(reply.ExpiresIn, 0), int64(maxLife/time.Second))
	return reply.AccessToken, time.Duration(life) * time.Second, nil
}

// fileLife is how long a token from a file is used before the file is read again. Nobody says when the token ends, and
// reading is cheaper than being refused.
const fileLife = time.Minute

// File reads tokens that another program keeps fresh. The file has the token alone; white space around it is ignored. It
// is read anew every minute, and when the token is refused.
func File(path string) TokenSource { return file(path) }

type file string

func (f file) Token(context.Context) (token string, expiresIn time.Duration, err error) {
	b, err := f.read()
	if err != nil {
		var p *fs.PathError // it would name the path again
		if errors.As(err, &p) {
			err = p.Err
		}
		return "", 0, failure(schemas.Token, err, "token file %s: %v: want a file with an access_token", string(f), err)
	}
	token = strings.TrimSpace(string(b))
	if !validToken(token) {
		return "", 0, failure(schemas.Token, nil,
			"token file %s: want one access_token: 1 to %d printable characters without spaces", string(f), maxTokenBytes)
	}
	return token, fileLife, nil
}

// read returns at most so much that a file which is no token shows.
func (f file) read() ([]byte, error) {
	r, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // it was only read from
	b, err := io.ReadAll(io.LimitReader(r, 4<<10))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return b, nil
}

// Static gives always the same token. It is for tests.
func Static(token string) TokenSource { return static(token) }

type static string

func (s static) Token(context.Context) (string, time.Duration, error) { return string(s), 0, nil }
