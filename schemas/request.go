package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"consentd/internal/handjson"
)

const (
	// MaxRecordBytes bounds a request record: key, value and headers together, as RequestBytes counts them.
	MaxRecordBytes = 1 << 20
	// MaxItems bounds the items of one request.
	MaxItems = 1000
	// MaxContextBytes bounds the context of a request, as sent.
	MaxContextBytes = 4096
	// MaxAge bounds max_age_seconds.
	MaxAge = 31_536_000 * time.Second

	maxRequestID = 128
)

// Origin is where a request's first record stands. Its text, `topic/partition/offset`, is the request id of a request
// that has none.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (o Origin) String() string { return string(o.append(nil)) }

// ParseOrigin reads what String writes.
func ParseOrigin(text string) (Origin, error) {
	rest, offset, ok := cutLast(text, '/')
	topic, partition, ok2 := cutLast(rest, '/')
	p, err := strconv.ParseUint(partition, 10, 31)
	n, err2 := strconv.ParseUint(offset, 10, 63)
	o := Origin{Topic: topic, Partition: int32(p), Offset: int64(n)}
	if !ok || !ok2 || topic == "" || err != nil || err2 != nil || o.String() != text {
		return Origin{}, fmt.Errorf("%.140q: want topic/partition/offset", text)
	}
	return o, nil
}

// cutLast slices s around the last separator.
func cutLast(s string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, separator)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

func (o Origin) append(dst []byte) []byte {
	dst = append(dst, o.Topic...)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, int64(o.Partition), 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, o.Offset, 10)
}

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// Request is a decoded "check consent" request. Its strings are parts of one copy of the record's value.
type Request struct {
	// ID is the request_id of the value, or of the header consentd-request-id; empty when there is none.
	ID string
	// IDInValue tells that ID is the value's own.
	IDInValue bool
	CorpID    string
	Kind      Kind
	// Items has what is asked for, at least one when the request is valid: a room has one.
	Items []Item
	// Count is how many items the first request had: more than len(Items) when this one is narrowed.
	Count int
	// MaxAge is how old a known answer may be to serve; 0: ask the API.
	MaxAge time.Duration
	// Context is the JSON to echo, as sent; empty when absent.
	Context string
	// Raw is the value as sent; empty when the request is invalid.
	Raw string
}

// Item is one conversation of a request.
type Item struct {
	// Index is the item's place in the first request.
	Index          int
	OpenUserID     string
	ExternalUserID string
	ChatID         string
	// Problem says what is wrong with the item's ids; empty for an item that can be checked.
	Problem string
}

// Conversation names the conversation of items[i].
func (r *Request) Conversation(i int) Conversation {
	it := &r.Items[i]
	return Conversation{
		CorpID: r.CorpID, Kind: r.Kind,
		OpenUserID: it.OpenUserID, ExternalUserID: it.ExternalUserID, ChatID: it.ChatID,
	}
}

// InvalidError says all that is wrong with a request.
type InvalidError struct {
	Problems []string
}

func (e *InvalidError) Error() string { return strings.Join(e.Problems, "; ") }

// maxProblems bounds what one bad request may make us write.
const maxProblems = 20

func (e *InvalidError) add(format string, args ...any) {
	if len(e.Problems) == maxProblems {
		e.Problems = append(e.Problems, "and more")
	}
	if len(e.Problems) > maxProblems {
		return
	}
	e.Problems = append(e.Problems, fmt.Sprintf(format, args...))
}

// DecodeRequest reads a request's value and the consentd headers that narrow it. When the whole request is invalid the
// error is an *InvalidError with every problem that was found, and the Request holds what could be read of its ID and
// Context. Items whose ids are at fault have a Problem and leave the others alone. key is the first record's, which one that was
// forwarded or parked has in HeaderKey. Safe for concurrent use; value may be reused afterwards.
func DecodeRequest(key, value []byte, headers []Header) (Request, error) {
	var req Request
	var invalid InvalidError
	switch size := RequestBytes(key, value, headers); {
	case value == nil:
		invalid.add("the value is null: a tombstone is no request")
	case size > MaxRecordBytes:
		invalid.add("the record has %d bytes (key, value and headers): at most %d are allowed", size, MaxRecordBytes)
		// It is refused, but the sender is told which it was, as far as that stands within the limit. Its dead letter may
		// be cut, so the id counts as none of the value's.
		var seen Request
		decodeValue(value[:min(len(value), MaxRecordBytes)], &seen, new(InvalidError))
		req.ID, req.Context = seen.ID, seen.Context
	default:
		decodeValue(value, &req, &invalid)
	}
	decodeHeaders(headers, &req, &invalid)
	if len(invalid.Problems) > 0 {
		return Request{ID: req.ID, IDInValue: req.IDInValue, Context: req.Context}, &InvalidError{invalid.Problems}
	}
	return req, nil
}

// What is kept of a request beyond MaxRecordBytes: the headers of a replay, and the two bytes or more by which each header is set
// apart from the next. More of either is not what they are for, and counts.
const (
	freeReplayBytes = 1024
	freeHeaders     = 1024
)

// RequestBytes returns the size that MaxRecordBytes bounds: that of the record as it was first sent, without what is added to it
// when it is forwarded, parked or replayed.
func RequestBytes(key, value []byte, headers []Header) int {
	n := RecordBytes(key, value, headers) + 2*max(0, len(headers)-freeHeaders)
	replay := 0
	for i := range headers {
		size := len(headers[i].Key) + len(headers[i].Value)
		switch {
		case strings.HasPrefix(headers[i].Key, replayPrefix):
			replay += size
		case strings.HasPrefix(headers[i].Key, headerPrefix):
			n -= size // they are written anew, or dropped
		}
	}
	return n - min(replay, freeReplayBytes)
}

// RecordBytes returns the size of a record.
func RecordBytes(key, value []byte, headers []Header) int {
	n := len(key) + len(value)
	for i := range headers {
		n += len(headers[i].Key) + len(headers[i].Value)
	}
	return n
}

// decodeValue reads strictly first, as nearly every request is well-formed. What a strict reader stops at (a duplicate
// key, bad UTF-8) is read once more leniently, so that the other problems, the id and the context are seen too.
func decodeValue(value []byte, req *Request, invalid *InvalidError) {
	r := requestReaders.Get().(*requestReader)
	defer requestReaders.Put(r)
	err := r.read(value, req, invalid)
	if err == nil {
		return
	}
	*req, *invalid = Request{}, InvalidError{}
	invalid.add("%s", syntaxProblem(err))
	_ = r.read(value, req, invalid, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

func syntaxProblem(err error) string {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return "no JSON value: " + err.Error()
	}
	where := fmt.Sprintf("at byte %d", syntax.ByteOffset)
	if p := string(syntax.JSONPointer); p != "" {
		where += fmt.Sprintf(" (%.140q)", p)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Sprintf("duplicate key %s: each may stand once", where)
	}
	return fmt.Sprintf("not valid JSON %s: %v", where, syntax.Err)
}

type requestReader struct {
	dec jsontext.Decoder
	buf bytes.Buffer
	src string
}

var requestReaders = sync.Pool{New: func() any { return new(requestReader) }}

// presence tells which fields a request has, whatever is in them.
type presence struct {
	corpID, kind, pair, chatID, items bool
}

// read returns an error when value is not one well-formed JSON value; all else goes to invalid.
func (r *requestReader) read(value []byte, req *Request, invalid *InvalidError, opts ...jsontext.Options) error {
	r.buf = *bytes.NewBuffer(value)
	r.src = string(value)
	r.dec.Reset(&r.buf, opts...)
	defer func() { r.src = "" }()

	if k := r.dec.PeekKind(); k != '{' {
		if err := r.dec.SkipValue(); err != nil {
			return err
		}
		invalid.add("the value is %s: want an object", handjson.KindName(k))
		return r.end()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	var have presence
	flat := Item{}
	for r.dec.PeekKind() != '}' {
		name, _, err := r.readString()
		if err != nil {
			return err
		}
		if err := r.readField(name, req, &flat, &have, invalid); err != nil {
			return err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	if err := r.end(); err != nil {
		return err
	}
	have.check(req, flat, invalid)
	req.Raw = r.src
	return nil
}

// end makes sure that nothing but white space follows.
func (r *requestReader) end() error {
	if n := r.dec.InputOffset(); strings.TrimLeft(r.src[n:], " \t\r\n") != "" {
		return &jsontext.SyntacticError{ByteOffset: n, Err: errors.New("bytes after the value")}
	}
	return nil
}

func (r *requestReader) readField(name string, req *Request, flat *Item, have *presence, invalid *InvalidError) error {
	if r.dec.PeekKind() == 'n' { // null counts as absent
		return r.dec.SkipValue()
	}
	switch name {
	case "request_id":
		id, ok, err := r.readStringField(name, invalid)
		if err != nil || !ok {
			return err
		}
		if p := requestIDProblem(id, maxRequestID); p != "" {
			invalid.add("request_id: %s", p)
		} else if !req.IDInValue {
			req.ID, req.IDInValue = id, true
		}
		return nil
	case "corp_id":
		id, ok, err := r.readStringField(name, invalid)
		have.corpID = true
		if ok {
			req.CorpID = id
			if p := IDProblem(id); p != "" {
				invalid.add("corp_id: %s", p)
			}
		}
		return err
	case "kind":
		kind, ok, err := r.readStringField(name, invalid)
		have.kind = true
		if ok {
			req.Kind = Kind(kind)
			if req.Kind != Single && req.Kind != Room {
				invalid.add("kind: %.140q: want single or room", kind)
			}
		}
		return err
	case "open_userid":
		have.pair = true
		id, _, err := r.readStringField(name, invalid)
		flat.OpenUserID = id
		return err
	case "external_userid":
		have.pair = true
		id, _, err := r.readStringField(name, invalid)
		flat.ExternalUserID = id
		return err
	case "chatid":
		have.chatID = true
		id, _, err := r.readStringField(name, invalid)
		flat.ChatID = id
		return err
	case "items":
		have.items = true
		return r.readItems(req, invalid)
	case "max_age_seconds":
		return r.readMaxAge(req, invalid)
	case "context":
		v, err := r.readRaw()
		if err != nil {
			return err
		}
		if len(v) > MaxContextBytes {
			invalid.add("context: %d bytes: at most %d are allowed", len(v), MaxContextBytes)
		} else if req.Context == "" && jsontext.Value(v).IsValid() {
			req.Context = v
		}
		return nil
	default:
		return r.dec.SkipValue()
	}
}

// readRaw returns the next value as it was sent.
func (r *requestReader) readRaw() (string, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return "", err
	}
	end := r.dec.InputOffset()
	return r.src[end-int64(len(v)) : end], nil
}

// readString returns the next value when it is a string, without copying where nothing is escaped.
func (r *requestReader) readString() (s string, ok bool, err error) {
	v, err := r.readRaw()
	if err != nil || v == "" || v[0] != '"' {
		return "", false, err
	}
	s = v[1 : len(v)-1]
	if strings.IndexByte(s, '\\') >= 0 {
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil && !errors.As(err, new(*jsontext.SyntacticError)) {
			return "", false, err
		}
		s = string(b)
	}
	return s, true, nil
}

func (r *requestReader) readStringField(name string, invalid *InvalidError) (string, bool, error) {
	k := r.dec.PeekKind()
	s, ok, err := r.readString()
	if err == nil && !ok {
		invalid.add("%s: is %s: want a string", name, handjson.KindName(k))
	}
	return s, ok, err
}

func (r *requestReader) readItems(req *Request, invalid *InvalidError) error {
	if k := r.dec.PeekKind(); k != '[' {
		invalid.add("items: is %s: want an array of 1 to %d pairs", handjson.KindName(k), MaxItems)
		return r.dec.SkipValue()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; r.dec.PeekKind() != ']'; n++ {
		if k := r.dec.PeekKind(); k != '{' || n >= MaxItems {
			if err := r.dec.SkipValue(); err != nil {
				return err
			}
			if n < MaxItems {
				invalid.add("items[%d]: is %s: want an object", n, handjson.KindName(k))
			}
			continue
		}
		item := Item{Index: n}
		if err := r.readItem(&item, invalid); err != nil {
			return err
		}
		req.Items = append(req.Items, item)
	}
	if n == 0 || n > MaxItems {
		invalid.add("items: has %d pairs: want 1 to %d", n, MaxItems)
	}
	_, err := r.dec.ReadToken()
	return err
}

func (r *requestReader) readItem(item *Item, invalid *InvalidError) error {
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		name, _, err := r.readString()
		if err != nil {
			return err
		}
		var id *string
		switch name {
		case "open_userid":
			id = &item.OpenUserID
		case "external_userid":
			id = &item.ExternalUserID
		}
		if id == nil || r.dec.PeekKind() == 'n' {
			err = r.dec.SkipValue()
		} else if k := r.dec.PeekKind(); k != '"' {
			invalid.add("items[%d].%s: is %s: want a string", item.Index, name, handjson.KindName(k))
			err = r.dec.SkipValue()
		} else {
			*id, _, err = r.readString()
		}
		if err != nil {
			return err
		}
	}
	item.Problem = pairProblem(*item)
	_, err := r.dec.ReadToken()
	return err
}

func pairProblem(it Item) string {
	var problems []string
	if p := IDProblem(it.OpenUserID); p != "" {
		problems = append(problems, "open_userid: "+p)
	}
	if p := IDProblem(it.ExternalUserID); p != "" {
		problems = append(problems, "external_userid: "+p)
	}
	return strings.Join(problems, "; ")
}

func (r *requestReader) readMaxAge(req *Request, invalid *InvalidError) error {
	k := r.dec.PeekKind()
	v, err := r.readRaw()
	if err != nil {
		return err
	}
	// As in JSON Schema an integer is a number without a fraction, however it is written.
	n, parseErr := strconv.ParseFloat(v, 64)
	switch limit := float64(MaxAge / time.Second); {
	case k != '0':
		invalid.add("max_age_seconds: is %s: want an integer of 0 to %.0f", handjson.KindName(k), limit)
	case parseErr != nil || n < 0 || n > limit || n != float64(int64(n)):
		invalid.add("max_age_seconds: %.40s: want an integer of 0 to %.0f", v, limit)
	default:
		req.MaxAge = time.Duration(n) * time.Second
	}
	return nil
}

// check looks at what the fields say together.
func (have presence) check(req *Request, flat Item, invalid *InvalidError) {
	if !have.corpID {
		invalid.add("corp_id: missing: %s", idRule)
	}
	if !have.kind {
		invalid.add("kind: missing: want single or room")
	}
	switch req.Kind {
	case Single:
		switch {
		case have.items && have.pair:
			invalid.add("items: stands beside open_userid or external_userid: want one or the other")
		case !have.items:
			if p := pairProblem(flat); p != "" {
				invalid.add("%s", p)
			}
			req.Items = []Item{{OpenUserID: flat.OpenUserID, ExternalUserID: flat.ExternalUserID}}
		}
		if have.chatID {
			invalid.add("chatid: belongs to kind room, not single")
		}
	case Room:
		if have.items || have.pair {
			invalid.add("items, open_userid and external_userid belong to kind single, not room")
		}
		if p := IDProblem(flat.ChatID); p != "" {
			invalid.add("chatid: %s", p)
		}
		req.Items = []Item{{ChatID: flat.ChatID}}
	}
	req.Count = len(req.Items)
}

func requestIDProblem(id string, limit int) string {
	if id == "" || len(id) > limit {
		return fmt.Sprintf("%d bytes long: want 1 to %d printable ASCII characters", len(id), limit)
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return fmt.Sprintf("%.140q: want 1 to %d printable ASCII characters", id, limit)
		}
	}
	return ""
}
