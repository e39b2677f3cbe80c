package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"consentd/internal/daemon"
)

const baseURL = "wechat.base_url"

// api looks at the way to the API, and then at each corp.
func (x *examination) api(ctx context.Context) {
	u, err := url.Parse(x.cfg.WeChat.BaseURL)
	if err != nil {
		return // the configuration has checked it
	}
	api, corps, client := daemon.API(x.cfg)
	defer client.CloseIdleConnections()
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		x.ok(checkDNS, u.Hostname(), "is reached through the proxy %s", proxy.Host)
	} else if !x.resolves(ctx, u.Hostname(), baseURL) {
		x.add(Skipped, checkToken, "", "not looked at: the API can't be reached", "", "")
		return
	}
	if u.Scheme == "http" && x.cfg.WeChat.AllowHTTP {
		x.add(Risk, checkAPI, u.Host, "plain http: access_tokens and customers' ids can be read on the way", "use https", baseURL)
	}
	if !x.answers(ctx, client, u) {
		x.add(Skipped, checkToken, "", "not looked at: the API can't be reached", "", "")
		return
	}
	x.corps(ctx, api, corps)
}

// answers makes a request without any id or token, and tells whether there is an answer at all.
func (x *examination) answers(ctx context.Context, client *http.Client, u *url.URL) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return false // the configuration has checked it
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		x.noAnswer(u, err)
		return false
	}
	took := time.Since(began)
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	_ = resp.Body.Close()
	x.ok(checkAPI, u.Host, "answers within %s", took.Round(time.Millisecond))
	x.clock(resp.Header, began.Add(took/2))
	return true
}

func (x *examination) noAnswer(u *url.URL, err error) {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var plain tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &plain) || err.Error() == "http: server gave HTTP response to HTTPS client":
		x.add(Wrong, checkTLS, u.Host, "does not speak TLS", "correct host and port, or use http:// for a proxy on this machine", baseURL)
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid):
		x.add(Wrong, checkTLS, u.Host, "its certificate can't be accepted: "+err.Error(),
			"correct the host; or have this machine trust the certificate of the proxy that stands between; or look at its clock", baseURL)
	default:
		x.add(Wrong, checkAPI, u.Host, "no answer: "+cause(err), "correct host and port, and look at the proxy and the firewall", baseURL)
	}
}

// How far this machine's clock may be off: the times of events, of parked requests and of answers that are known go by it.
const (
	clockRisk  = 5 * time.Second
	clockWrong = time.Minute
)

// clock compares this machine's with the API's, which tells whole seconds.
func (x *examination) clock(h http.Header, now time.Time) {
	theirs, err := http.ParseTime(h.Get("Date"))
	if err != nil || h.Get("Age") != "" {
		x.add(Skipped, checkClock, "", "the API does not tell its time", "", "")
		return
	}
	skew := now.Sub(theirs.Add(time.Second / 2)).Round(time.Second)
	level := OK
	switch off := skew.Abs(); {
	case off > clockWrong:
		level = Wrong
	case off > clockRisk:
		level = Risk
	}
	if level == OK {
		x.ok(checkClock, "", "is right, compared with the API's")
		return
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	x.add(level, checkClock, "", fmt.Sprintf("this machine's is %s %s the API's", skew.Abs(), direction),
		"have it set by NTP: checked_at, the delay of parked requests, and max_age_seconds go by it", "this machine's clock")
}
