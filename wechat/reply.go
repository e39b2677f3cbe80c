package wechat

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"consentd/internal/handjson"
)

// entryKind says whom an entry of agreeinfo is about.
type entryKind int

const (
	entryIsPair entryKind = iota
	entryIsMember
	// entryIsSkipped: only the verdict is of interest.
	entryIsSkipped
)

// decodeReply reads a reply of one of the two calls; body may be reused afterwards. Unknown fields are ignored, a
// duplicate key is malformed: of two words on consent neither is chosen. Where the errcode is 0 agreeinfo must be there;
// who is missing from it is left to those who asked. An errcode other than 0 counts whatever else the reply has.
func decodeReply(body []byte, kind entryKind) (verdict, []PairConsent, error) {
	r := replyReaders.Get().(*replyReader)
	defer replyReaders.Put(r)
	v, consents, err := r.read(body, kind)
	if err == nil {
		return v, consents, nil
	}
	if v, _, again := r.read(body, entryIsSkipped); again == nil && v.errcode != 0 {
		return v, nil, nil
	}
	return verdict{}, nil, syntaxError(err)
}

// syntaxError leaves out where in the reply an error is but for its place: that would quote names, cut and escaped.
func syntaxError(err error) error {
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		return fmt.Errorf("not valid JSON at byte %d: %w", s.ByteOffset, s.Err)
	}
	return err
}

// replyReader walks the tokens itself: the ids are cut out of one copy of the reply, so that a reply of 100 pairs takes two
// allocations instead of hundreds, and two thirds of the time.
type replyReader struct {
	dec jsontext.Decoder
	buf bytes.Buffer
	src string
}

var replyReaders = sync.Pool{New: func() any { return new(replyReader) }}

func (r *replyReader) read(body []byte, kind entryKind) (v verdict, consents []PairConsent, err error) {
	r.buf = *bytes.NewBuffer(body)
	r.src = string(body)
	r.dec.Reset(&r.buf)
	defer func() { r.buf, r.src = bytes.Buffer{}, "" }()

	if err := r.open('{', "the reply"); err != nil {
		return v, nil, err
	}
	var hasErrcode, hasEntries bool
	for r.dec.PeekKind() != '}' {
		name, err := r.readString()
		if err != nil {
			return v, nil, err
		}
		switch {
		case name == "errcode":
			hasErrcode = true
			var code int64
			code, err = r.readInt(name, 32)
			v.errcode = int(code)
		case name == "errmsg" && r.dec.PeekKind() == '"':
			v.errmsg, err = r.readString()
		case name == "agreeinfo" && kind != entryIsSkipped:
			hasEntries = true
			consents, err = r.readEntries(kind)
		default:
			err = r.dec.SkipValue()
		}
		if err != nil {
			return v, nil, err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return v, nil, err
	}
	switch {
	case strings.TrimLeft(r.src[r.dec.InputOffset():], " \t\r\n") != "":
		return v, nil, errors.New("bytes after the JSON value")
	case !hasErrcode:
		return v, nil, errors.New("no errcode")
	case v.errcode == 0 && !v.warns() && !hasEntries && kind != entryIsSkipped:
		// A room that seems empty would make all its members leave.
		return v, nil, errors.New("no agreeinfo")
	}
	return v, consents, nil
}

func (r *replyReader) readEntries(kind entryKind) ([]PairConsent, error) {
	if err := r.open('[', "agreeinfo"); err != nil {
		return nil, err
	}
	const commonEntry = len(`{"status_change_time":1562766651,"external_userid":"wmeDKaCPAAGdvxciQWxVsAKwV2HxNAAA","agree_status":"Agree"}`)
	entries := make([]PairConsent, 0, 1+len(r.src)/commonEntry)
	for r.dec.PeekKind() != ']' {
		entry, complete, err := r.readEntry(kind)
		switch {
		case err != nil:
			return nil, fmt.Errorf("agreeinfo: %w", err)
		case complete:
			entries = append(entries, entry)
		case kind == entryIsMember:
			return nil, errors.New("agreeinfo: an entry without external_userid or agree_status")
		}
	}
	_, err := r.dec.ReadToken()
	return entries, err
}

// readEntry tells whether the entry has all that it needs: ids and word. Its time may be absent. What is null is absent.
func (r *replyReader) readEntry(kind entryKind) (c PairConsent, complete bool, err error) {
	if err := r.open('{', "an entry"); err != nil {
		return c, false, err
	}
	for r.dec.PeekKind() != '}' {
		name, err := r.readString()
		if err != nil {
			return c, false, err
		}
		switch {
		case name == "open_userid" && kind == entryIsPair:
			c.OpenUserID, err = r.readStringField(name)
		case name == "external_userid":
			c.ExternalUserID, err = r.readStringField(name)
		case name == "agree_status":
			c.AgreeStatus, err = r.readStringField(name)
			c.AgreeStatus = intern(c.AgreeStatus)
		case name == "status_change_time" && r.dec.PeekKind() != 'n':
			c.StatusChangeTime, err = r.readInt(name, 64)
			c.StatusChangeTime = max(c.StatusChangeTime, 0)
		default:
			err = r.dec.SkipValue()
		}
		if err != nil {
			return c, false, err
		}
	}
	_, err = r.dec.ReadToken()
	return c, c.AgreeStatus != "" && c.ExternalUserID != "" && (c.OpenUserID != "" || kind == entryIsMember), err
}

// intern returns the word as a string that does not keep the reply in memory.
func intern(word string) string {
	switch word {
	case "Agree":
		return "Agree"
	case "Disagree":
		return "Disagree"
	case "Default_Agree":
		return "Default_Agree"
	}
	return strings.Clone(word)
}

// open reads the beginning of an object or array.
func (r *replyReader) open(want jsontext.Kind, what string) error {
	got := r.dec.PeekKind()
	if got != want && got != 0 {
		return fmt.Errorf("%s is %s: want %s", what, handjson.KindName(got), handjson.KindName(want))
	}
	_, err := r.dec.ReadToken()
	return err
}

// readRaw returns the next value as it was sent.
func (r *replyReader) readRaw() (string, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return "", err
	}
	end := r.dec.InputOffset()
	return r.src[end-int64(len(v)) : end], nil
}

// readString reads a value that is known to be a string.
func (r *replyReader) readString() (string, error) {
	raw, err := r.readRaw()
	if err != nil {
		return "", err
	}
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err
}

func (r *replyReader) readStringField(name string) (string, error) {
	switch k := r.dec.PeekKind(); k {
	case 'n':
		return "", r.dec.SkipValue()
	case '"', 0:
		return r.readString()
	default:
		return "", fmt.Errorf("%s is %s: want a string", name, handjson.KindName(k))
	}
}

func (r *replyReader) readInt(name string, bits int) (int64, error) {
	if k := r.dec.PeekKind(); k != '0' && k != 0 {
		return 0, fmt.Errorf("%s is %s: want an integer", name, handjson.KindName(k))
	}
	raw, err := r.readRaw()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(raw, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%s: want an integer of %d bits", name, bits)
	}
	return n, nil
}
