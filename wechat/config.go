package wechat

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What the fields of Config are when empty.
const (
	DefaultBaseURL   = "https://qyapi.weixin.qq.com"
	DefaultItemField = "item"
	DefaultTimeout   = 10 * time.Second
)

// Config says where and how the API is asked. Its zero value is the real API.
type Config struct {
	// BaseURL is what stands before /cgi-bin; empty: DefaultBaseURL. Whether plain http is allowed is the caller's to
	// decide.
	BaseURL string
	// ItemField names the array of a single call's body, as the official page has two names for it; empty:
	// DefaultItemField.
	ItemField string
	// Timeout bounds each HTTP exchange, from connecting to the last byte of the reply; 0: DefaultTimeout.
	Timeout time.Duration
	// Tokens is told of every fetch of a token; nil: nobody is. It must be comparable, as a pointer is.
	Tokens TokenObserver
}

// withDefaults fills in what is empty and tells what is wrong with the rest.
func (c Config) withDefaults() (Config, error) {
	c.BaseURL = strings.TrimRight(cmp.Or(c.BaseURL, DefaultBaseURL), "/")
	c.ItemField = cmp.Or(c.ItemField, DefaultItemField)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	var problems []error
	// What was written is not repeated: a URL may hold a password.
	if u, err := url.Parse(c.BaseURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		problems = append(problems, errors.New("base URL: want http(s)://host[:port][/path], without user, query and fragment"))
	}
	if c.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout %s: want more than 0", c.Timeout))
	}
	return c, errors.Join(problems...)
}
