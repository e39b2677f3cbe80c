package wechattest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// call is one call from its arrival to its reply. It is used again for another one, with its memory.
type call struct {
	kind    Kind
	corp    string // empty: none that exists
	suite   string // whose token it is about; empty: none that exists
	refused *refusal
	// authorized: a call about consent that has a good access_token.
	authorized bool
	present    bool
	usage      *usage   // where it has a place; nil: it has none
	tallies    []*tally // where it is counted
	fetcher    *tally   // whose token it is; nil: nobody's
	pairs      []pair
	chatID     string
	entries    []entry

	decoder requestDecoder
	body    bytes.Buffer
	reply   []byte
}

func (s *Simulator) serve(w http.ResponseWriter, r *http.Request, kind Kind) {
	if r.Method != kind.method() {
		w.Header().Set("Allow", kind.method())
		http.Error(w, "want "+kind.method(), http.StatusMethodNotAllowed)
		return
	}
	c := s.calls.Get().(*call)
	defer s.recycle(c)
	s.receive(c, r, kind)
	fault, struck := s.faults.strike(c)
	s.quotas.admit(c, fault.disrupts() || fault.Errcode != 0)
	s.recorder.arrive(c, struck)
	defer s.leave(c)
	if !pause(r.Context(), time.Duration(s.delay.Load())+fault.Delay) {
		return
	}
	for name, value := range fault.Header {
		w.Header().Set(name, value)
	}
	if fault.disrupts() {
		fault.hang(r.Context())
		s.leave(c)
		fault.disrupt(w)
		return
	}
	s.answer(w, r, c, fault)
	s.leave(c)
	fault.write(w, fault.pad(c.reply))
}

// leave is when a call is no longer there: before its reply is sent, as the caller may make the next one upon that.
func (s *Simulator) leave(c *call) {
	if c.present {
		c.present = false
		s.quotas.release(c)
		s.recorder.leave(c)
	}
}

// receive finds out whose call it is, what it asks for, and why it fails, if so.
func (s *Simulator) receive(c *call, r *http.Request, kind Kind) {
	c.kind = kind
	if kind.fetches() {
		s.receiveFetch(c, r)
		return
	}
	c.corp, c.refused = s.tokens.corp(r.URL.Query().Get("access_token"))
	c.authorized = c.refused == nil
	if refused := s.read(c, r); c.refused == nil {
		c.refused = refused
	}
}

func (s *Simulator) read(c *call, r *http.Request) (refused *refusal) {
	if refused := c.readBody(r); refused != nil {
		return refused
	}
	if c.kind == Room {
		c.chatID, refused = c.decoder.room(c.body.Bytes())
		return refused
	}
	pairs, refused := c.decoder.single(c.body.Bytes(), s.options.ItemField, c.pairs)
	if refused == nil {
		c.pairs = pairs
	}
	return refused
}

func (c *call) readBody(r *http.Request) *refusal {
	n, err := c.body.ReadFrom(io.LimitReader(r.Body, maxRequestBytes+1))
	switch {
	case err != nil:
		return &refusal{errcodeBadJSON, "the body broke off"}
	case n > maxRequestBytes:
		return &refusal{errcodeBadParameter, fmt.Sprintf("want at most %d bytes", maxRequestBytes)}
	}
	return nil
}

// answer makes the API's own reply, as far as the fault leaves it so.
func (s *Simulator) answer(w http.ResponseWriter, r *http.Request, c *call, fault *scripted) {
	if fault.Errcode != 0 {
		c.refused = &refusal{code: fault.Errcode}
	}
	var token string
	var expiresIn time.Duration
	switch {
	case c.refused != nil:
	case c.kind == Single:
		c.entries, c.refused = s.book.single(c.corp, c.pairs, c.entries)
	case c.kind == Room:
		c.entries, c.refused = s.book.room(c.corp, c.chatID, c.entries)
	default:
		token, expiresIn = s.tokens.get(holder{c.corp, c.suite})
		s.recorder.fetched(c)
	}
	h := w.Header()
	if c.refused != nil || !c.kind.bare() || fault.Errmsg != "" || fault.StringErrcode {
		errcode, errmsg := 0, "ok"
		if c.refused != nil {
			errcode, errmsg = c.refused.code, s.errmsg(r, c.refused)
			s.recorder.refused(c, errcode)
		}
		if fault.Errmsg != "" {
			errmsg = fault.Errmsg
		}
		c.reply = appendVerdict(c.reply, errcode, errmsg, fault.StringErrcode)
		h["Error-Code"] = []string{strconv.Itoa(errcode)}
		h["Error-Msg"] = []string{errmsg}
	}
	switch {
	case c.refused != nil:
	case c.kind.fetches():
		c.reply = appendToken(c.reply, c.kind, token, wholeSeconds(expiresIn))
	default:
		fault.alter(c)
		c.reply = appendAgreeInfo(c.reply, c.kind, c.entries)
	}
	c.reply[0] = '{' // instead of the comma that each field has before it
	c.reply = append(c.reply, '}')
	h["Content-Type"] = []string{"application/json; charset=UTF-8"}
}

// errmsg adds what WeCom adds to every error: a hint that is another one for each call, and the caller's IP.
func (s *Simulator) errmsg(r *http.Request, refused *refusal) string {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	n := s.hints.Add(1)
	return fmt.Sprintf("%s, hint: [%d_%d_%016x], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d",
		refused.Error(), time.Now().Unix(), n, newHash(s.options.Seed+n).sum(), ip, refused.code)
}

// asksFor tells whether an id is in the call.
func (c *call) asksFor(id string) bool {
	for i := range c.pairs {
		if c.pairs[i].named(id) {
			return true
		}
	}
	return c.chatID == id || c.suite == id
}

// named tells whether an id is the staff member's, the customer's, or that of both: open_userid/external_userid.
func (p pair) named(id string) bool {
	if id == p.customer || id == p.staff && id != "" {
		return true
	}
	n := len(p.staff)
	return len(id) == n+1+len(p.customer) && id[n] == '/' && id[:n] == p.staff && id[n+1:] == p.customer
}

// recycle keeps memory of common size: one huge call shall not stay.
func (s *Simulator) recycle(c *call) {
	if c.body.Cap() > 64<<10 || cap(c.reply) > 64<<10 || cap(c.entries) > 2*MaxItems {
		return
	}
	// Strings of the last call would keep its body.
	clear(c.pairs)
	clear(c.entries)
	c.pairs, c.entries, c.reply = c.pairs[:0], c.entries[:0], c.reply[:0]
	c.corp, c.suite, c.chatID, c.refused = "", "", "", nil
	clear(c.tallies)
	c.authorized, c.usage, c.tallies, c.fetcher = false, nil, c.tallies[:0], nil
	c.body.Reset()
	s.calls.Put(c)
}
