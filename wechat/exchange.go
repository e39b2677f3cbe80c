package wechat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"consentd/schemas"
)

// MaxReplyBytes bounds what is read of a reply. 100 pairs take 20 KB, a room of 2,000 customers 300 KB; an event with all
// of the bound's members, of which each may say more than the reply did of it, still fits into the 1 MiB that topics take by
// default.
const MaxReplyBytes = 640 << 10

// verdict is what every reply of the API says about itself.
type verdict struct {
	errcode int
	errmsg  string
}

// decoder reads the body of a reply with HTTP status 200, which it must not keep. An error means that it is malformed.
type decoder func(body []byte) (verdict, error)

// exchange makes single HTTP exchanges with the API and says of each failure what it is.
type exchange struct {
	http    *http.Client
	baseURL string
	timeout time.Duration
	where   string // what to check when something else answers
	// refused is the class of a refusal that has no errcode, by HTTP status 4xx.
	refused schemas.Class
}

// newExchange uses the client without its redirects, which would carry the access_token elsewhere, and its cookies.
func newExchange(cfg Config, client *http.Client) *exchange {
	return &exchange{
		http:    &http.Client{Transport: client.Transport, CheckRedirect: followNone},
		baseURL: cfg.BaseURL,
		timeout: cfg.Timeout,
		where:   "the base URL",
		refused: schemas.Transient,
	}
}

// post sends to a path with its query.
func (x *exchange) post(ctx context.Context, path string, body []byte, hide secrets, decode decoder) error {
	return x.do(ctx, http.MethodPost, x.baseURL+path, bytes.NewReader(body), hide, decode)
}

func (x *exchange) get(ctx context.Context, path string, query url.Values, hide secrets, decode decoder) error {
	return x.do(ctx, http.MethodGet, x.baseURL+path+"?"+query.Encode(), http.NoBody, hide, decode)
}

// do returns nil when the API answered errcode 0. What others say is passed on without what is to be hidden.
func (x *exchange) do(
	ctx context.Context, method, target string, body io.Reader, hide secrets, decode decoder,
) error {
	timed, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(timed, method, target, body)
	if err != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" { // net/http would print the scheme
		return failure(schemas.Rejected, nil, "no valid request: check %s", x.where)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := x.http.Do(req)
	if err != nil {
		return x.broken(ctx, "no reply", err, hide)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read from
	buf := replyBuffers.Get().(*bytes.Buffer)
	defer recycle(buf)
	// The body of any status is read, as the connection can only be used again after that.
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, MaxReplyBytes+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return x.statusFailure(resp)
	case err != nil:
		return x.broken(ctx, "the reply broke off", err, hide)
	case n > MaxReplyBytes:
		return failure(schemas.Transient, nil, "malformed reply: more than %d bytes", MaxReplyBytes)
	}
	v, err := decode(buf.Bytes())
	if err != nil {
		return failure(schemas.Transient, nil, "malformed reply (%d bytes, %s): %s",
			n, hide.clean(resp.Header.Get("Content-Type")), hide.clean(err.Error()))
	}
	return v.failure(hide)
}

// broken says why there is no reply, or only a part of it.
func (x *exchange) broken(ctx context.Context, what string, err error, hide secrets) error {
	if ctx.Err() != nil {
		return fmt.Errorf("asking the API: %w", ctx.Err())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return failure(schemas.Transient, err, "%s within %s", what, x.timeout)
	}
	return failure(schemas.Transient, err, "%s: %s", what, hide.cleanError(err))
}

// statusFailure is about a reply whose HTTP status is not 200: it comes from something before the API, which answers its
// own errors with 200. A refusal of its kind, too, says nothing about what was asked, and passes when that is mended.
func (x *exchange) statusFailure(resp *http.Response) *Error {
	code := resp.StatusCode
	switch {
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		e := failure(schemas.Transient, nil, "HTTP status %d: something before the API is busy or broken", code)
		e.RetryAfter = retryAfter(resp.Header)
		return e
	case code >= 400:
		return failure(x.refused, nil, "HTTP status %d: check %s and the proxy", code, x.where)
	case code >= 300:
		return failure(schemas.Transient, nil,
			"HTTP status %d: a redirect, which is never followed: check %s and the proxy", code, x.where)
	}
	return failure(schemas.Transient, nil, "HTTP status %d: want 200", code)
}

// maxRetryAfter bounds what others may ask for: a proxy that asks for an hour shall not cost one.
const maxRetryAfter = time.Minute

// retryAfter reads the header of that name, where it has seconds; a date in it is ignored.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// warns tells whether WeCom could read only a part of the call: it may answer 0 nevertheless, and just mention it.
func (v verdict) warns() bool {
	return v.errmsg != "ok" && strings.Contains(v.errmsg, "wrong json format")
}

// failure is nil for a success. It goes by the errcode alone, but for that one warning.
func (v verdict) failure(hide secrets) error {
	if v.errcode != 0 {
		return errcodeFailure(v.errcode, hide.clean(v.errmsg))
	}
	if v.warns() {
		e := failure(schemas.Rejected, nil, "the API could not read the call: check the names of its fields, as the item field (the API says: %s)",
			hide.clean(v.errmsg))
		e.Replied = true
		return e
	}
	return nil
}

var replyBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// recycle keeps buffers of common size: one huge reply shall not stay in memory.
func recycle(buf *bytes.Buffer) {
	if buf.Cap() <= 64<<10 {
		buf.Reset()
		replyBuffers.Put(buf)
	}
}
