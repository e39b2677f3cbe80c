package wechat

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// NewHTTPClient returns a client for many calls to one host: it keeps connections open, takes its proxy from the
// environment, speaks HTTP/2 where the server does, and follows no redirects. Time is bounded by the calls themselves.
func NewHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		CheckRedirect: followNone,
		Transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: dialer.DialContext,
			// Every corp has its own calls in flight, and all go to the same host.
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			// A full call or reply in few system calls.
			ReadBufferSize:  16 << 10,
			WriteBufferSize: 16 << 10,
			// Replies are small; unpacking them would cost more than decoding them.
			DisableCompression: true,
		},
	}
}

func followNone(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
