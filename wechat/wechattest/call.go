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

const (
	singlePath   = "/cgi-bin/chatdata/getagreestatus/single"
	roomPath     = "/cgi-bin/chatdata/getagreestatus/room"
	getTokenPath = "/cgi-bin/gettoken"
)

// Kind is one of the calls that are simulated.
type Kind string

// The calls that are simulated.
const (
	Single   Kind = "single"
	Room     Kind = "room"
	GetToken Kind = "gettoken"
)

var kinds = []Kind{Single, Room, GetToken}

func (k Kind) method() string {
	if k == GetToken {
		return http.MethodGet
	}
	return http.MethodPost
}

// call is one call from its arrival to its reply. It is used again for another one, with its memory.
type call struct {
	kind    Kind
	corp    string // empty: none that exists
	refused *refusal
	pairs   []pair
	chatID  string
	entries []entry

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
	s.recorder.arrive(c)
	defer s.recorder.leave(c)
	fault, struck := s.faults.strike(c)
	if struck {
		s.recorder.fault()
	}
	if !pause(r.Context(), time.Duration(s.delay.Load())+fault.Delay) {
		return
	}
	for name, value := range fault.Header {
		w.Header().Set(name, value)
	}
	if fault.disrupts() {
		fault.disrupt(w, r)
		return
	}
	s.answer(w, r, c, &fault)
}

// receive finds out whose call it is, what it asks for, and why it fails, if so.
func (s *Simulator) receive(c *call, r *http.Request, kind Kind) {
	c.kind = kind
	query := r.URL.Query()
	if kind == GetToken {
		corp := query.Get("corpid")
		c.refused = s.tokens.checkSecret(corp, query.Get("corpsecret"))
		if s.tokens.knows(corp) {
			c.corp = corp
		}
		return
	}
	c.corp, c.refused = s.tokens.owner(query.Get("access_token"))
	if refused := s.read(c, r); c.refused == nil {
		c.refused = refused
	}
}

func (s *Simulator) read(c *call, r *http.Request) (refused *refusal) {
	n, err := c.body.ReadFrom(io.LimitReader(r.Body, maxRequestBytes+1))
	switch {
	case err != nil:
		return &refusal{errcodeBadJSON, "the body broke off"}
	case n > maxRequestBytes:
		return &refusal{errcodeBadParameter, fmt.Sprintf("want at most %d bytes", maxRequestBytes)}
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

// answer gives the API's own reply, as far as the fault leaves it so.
func (s *Simulator) answer(w http.ResponseWriter, r *http.Request, c *call, fault *struck) {
	if fault.Errcode != 0 {
		c.refused = &refusal{code: fault.Errcode}
	}
	var token string
	var expiresIn time.Duration
	if c.refused == nil {
		switch c.kind {
		case Single:
			c.entries, c.refused = s.book.single(c.corp, c.pairs, c.entries)
		case Room:
			c.entries, c.refused = s.book.room(c.corp, c.chatID, c.entries)
		case GetToken:
			token, expiresIn = s.tokens.get(c.corp)
		}
	}
	errcode, errmsg := 0, "ok"
	if c.refused != nil {
		errcode, errmsg = c.refused.code, s.errmsg(r, c.refused)
		s.recorder.refused(c, errcode)
	}
	if fault.Errmsg != "" {
		errmsg = fault.Errmsg
	}
	c.reply = appendVerdict(c.reply, errcode, errmsg, fault.StringErrcode)
	switch {
	case c.refused != nil:
	case c.kind == GetToken:
		c.reply = appendToken(c.reply, token, wholeSeconds(expiresIn))
	default:
		fault.alter(c)
		c.reply = appendAgreeInfo(c.reply, c.kind, c.entries)
	}
	c.reply = append(c.reply, '}')
	h := w.Header()
	h["Content-Type"] = []string{"application/json; charset=UTF-8"}
	h["Error-Code"] = []string{strconv.Itoa(errcode)}
	h["Error-Msg"] = []string{errmsg}
	fault.write(w, fault.pad(c.reply))
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
		if c.pairs[i].staff == id || c.pairs[i].customer == id {
			return true
		}
	}
	return c.chatID == id
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
	c.corp, c.chatID, c.refused = "", "", nil
	c.body.Reset()
	s.calls.Put(c)
}
