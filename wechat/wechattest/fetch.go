package wechattest

import (
	"net/http"
	"strings"
)

// receiveFetch finds out whose token is asked for, and why it can't be had, if so.
func (s *Simulator) receiveFetch(c *call, r *http.Request) {
	var corp, suite string
	switch c.kind {
	case GetToken:
		query := r.URL.Query()
		corp = query.Get("corpid")
		c.refused = s.registry.checkCorp(corp, query.Get("corpsecret"), errcodeNoSecret, errcodeWrongSecret)
	case GetSuiteToken:
		var secret, suiteTicket string
		c.refused = s.readStrings(c, r, stringFields{"suite_id": &suite, "suite_secret": &secret, "suite_ticket": &suiteTicket})
		if c.refused == nil {
			c.refused = s.registry.checkSuite(suite, secret, suiteTicket)
		}
	case GetCorpToken:
		var code string
		suite, c.refused = s.tokens.suite(r.URL.Query().Get("suite_access_token"))
		malformed := s.readStrings(c, r, stringFields{"auth_corpid": &corp, "permanent_code": &code})
		switch {
		case c.refused != nil:
		case malformed != nil:
			c.refused = malformed
		default:
			c.refused = s.registry.checkCorp(corp, code, errcodeNoCode, errcodeWrongCode)
		}
	case TokenService:
		corp = strings.TrimPrefix(r.URL.Path, tokenServicePath)
		if !s.registry.knowsCorp(corp) {
			c.refused = &refusal{code: errcodeWrongCorp}
		}
	}
	if s.registry.knowsCorp(corp) {
		c.corp = corp
	}
	if s.registry.knowsSuite(suite) {
		c.suite = suite
	}
}

func (s *Simulator) readStrings(c *call, r *http.Request, fields stringFields) *refusal {
	if refused := c.readBody(r); refused != nil {
		return refused
	}
	return c.decoder.strings(c.body.Bytes(), fields)
}
