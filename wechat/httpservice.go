package wechat

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"consentd/schemas"
)

// HTTPService fetches tokens from a service of the operator's: a GET of the URL is answered with HTTP status 200 and
// {"access_token","expires_in"}, expires_in in seconds and, when it is absent, until the token is refused. An errcode other
// than 0 in the reply is taken as WeCom's own. What else goes wrong is of class transient, or token where the service
// refuses. The URL may hold a secret; nothing of it is ever printed but what net/http says of the host. Redirects are not
// followed, a reply is bounded to MaxReplyBytes and DefaultTimeout. A nil httpClient means one of its own.
func HTTPService(rawURL string, httpClient *http.Client) TokenSource {
	if httpClient == nil {
		httpClient = NewHTTPClient()
	}
	return httpService{originHTTP, rawURL, httpClient}
}

type httpService struct {
	origin
	url  string
	http *http.Client
}

func (s httpService) Token(ctx context.Context) (token string, expiresIn time.Duration, err error) {
	var reply tokenReply
	x := newExchange(Config{Timeout: DefaultTimeout}, s.http)
	x.where, x.refused = "the token's url", schemas.Token
	err = x.do(ctx, http.MethodGet, s.url, http.NoBody, urlSecrets(s.url), reply.decode)
	var e *Error
	if errors.As(err, &e) {
		e.Replied, e.Beside = false, true
	}
	if err != nil {
		return "", 0, fetchFailure("token service", err)
	}
	return reply.AccessToken, reply.life(), nil
}

// shortestSecret is below what anybody takes for a secret: hiding every "1" would only garble what is printed.
const shortestSecret = 4

// urlSecrets are the parts of a URL that may be secret, in each spelling in which a server may repeat them.
func urlSecrets(rawURL string) secrets {
	u, err := url.Parse(rawURL)
	if err != nil {
		return secrets{rawURL}
	}
	words := strings.Split(u.EscapedPath(), "/")
	for _, field := range strings.Split(u.RawQuery, "&") {
		name, value, _ := strings.Cut(field, "=")
		words = append(words, cmp.Or(value, name))
	}
	hide := secrets{rawURL, u.RequestURI(), u.RawQuery}
	if u.User != nil {
		password, _ := u.User.Password()
		words = append(words, u.User.Username(), password)
		hide = append(hide, u.User.String(),
			base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for _, word := range words {
		hide = append(hide, word)
		if plain, err := url.QueryUnescape(word); err == nil {
			hide = append(hide, plain)
		}
	}
	return slices.DeleteFunc(hide, func(s string) bool { return len(s) < shortestSecret })
}
