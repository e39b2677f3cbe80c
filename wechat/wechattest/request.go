package wechattest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxRequestBytes is far more than a call of MaxItems pairs takes: 30 KB with the longest ids.
const maxRequestBytes = 1 << 20

// requestDecoder reads the bodies of the two calls. It takes exactly the official shape as strict JSON: a trailing comma, a
// duplicate or unknown field, or bytes after the value are errcode 40035. Not safe for concurrent use.
type requestDecoder struct {
	dec jsontext.Decoder
	buf bytes.Buffer
	src string // a copy of the body, of which all strings are parts
	// refused is the first thing that is wrong with what could be read. It waits for the end of the body: that it is not
	// JSON counts more.
	refused *refusal
}

// single appends the pairs of a single call, at most MaxItems.
func (d *requestDecoder) single(body []byte, itemField string, pairs []pair) ([]pair, *refusal) {
	count := 0
	refused := d.read(body, func(name string) error {
		if name != itemField {
			return unknownField(name, itemField)
		}
		return d.array(name, func() error {
			p, err := d.pair()
			if count++; count <= MaxItems {
				pairs = append(pairs, p)
			}
			return err
		})
	})
	switch {
	case refused != nil && refused.code == errcodeBadJSON:
		return nil, refused
	case count > MaxItems:
		return nil, &refusal{errcodeTooManyItems, fmt.Sprintf("%d", count)}
	case refused != nil:
		return nil, refused
	case count == 0:
		return nil, &refusal{errcodeBadParameter, fmt.Sprintf("%q: want 1 to %d pairs", itemField, MaxItems)}
	}
	return pairs, nil
}

// room returns the chatid of a room call.
func (d *requestDecoder) room(body []byte) (string, *refusal) {
	var chatID string
	refused := d.read(body, func(name string) (err error) {
		if name != "chatid" {
			return unknownField(name, "chatid")
		}
		chatID, err = d.str(name)
		return err
	})
	if refused == nil {
		refused = checkID("chatid", chatID)
	}
	return chatID, refused
}

// stringFields is where to put the strings of an object, by their names.
type stringFields map[string]*string

// strings reads an object of strings. Any of them may be absent.
func (d *requestDecoder) strings(body []byte, fields stringFields) *refusal {
	return d.read(body, func(name string) (err error) {
		field := fields[name]
		if field == nil {
			return unknownField(name, slices.Sorted(maps.Keys(fields))...)
		}
		*field, err = d.str(name)
		return err
	})
}

// read reads the object that a body is.
func (d *requestDecoder) read(body []byte, field func(name string) error) *refusal {
	d.buf = *bytes.NewBuffer(body)
	d.src, d.refused = string(body), nil
	d.dec.Reset(&d.buf)
	defer func() { d.buf, d.src = bytes.Buffer{}, "" }()

	err := d.object("the body", field)
	if err == nil && strings.TrimLeft(d.src[d.dec.InputOffset():], " \t\r\n") != "" {
		err = errors.New("bytes after the value")
	}
	if err != nil {
		return &refusal{errcodeBadJSON, strings.TrimPrefix(err.Error(), "jsontext: ")}
	}
	return d.refused
}

func (d *requestDecoder) pair() (p pair, err error) {
	err = d.object("an item", func(name string) (err error) {
		switch name {
		case "open_userid":
			p.staff, err = d.str(name)
		case "external_userid":
			p.customer, err = d.str(name)
		default:
			err = unknownField(name, "open_userid", "external_userid")
		}
		return err
	})
	if d.refused == nil {
		d.refused = checkID("open_userid", p.staff)
	}
	if d.refused == nil {
		d.refused = checkID("external_userid", p.customer)
	}
	return p, err
}

func (d *requestDecoder) object(what string, field func(name string) error) error {
	if err := d.open('{', what, "an object"); err != nil {
		return err
	}
	for d.dec.PeekKind() != '}' {
		name, err := d.readString()
		if err != nil {
			return err
		}
		if err := field(name); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *requestDecoder) array(what string, element func() error) error {
	if err := d.open('[', what, "an array"); err != nil {
		return err
	}
	for d.dec.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := d.dec.ReadToken()
	return err
}

// open reads the beginning of an object or array.
func (d *requestDecoder) open(kind jsontext.Kind, what, want string) error {
	if got := d.dec.PeekKind(); got != kind && got != 0 {
		return fmt.Errorf("%s: want %s", what, want)
	}
	_, err := d.dec.ReadToken()
	return err
}

func (d *requestDecoder) str(name string) (string, error) {
	if got := d.dec.PeekKind(); got != '"' && got != 0 {
		return "", fmt.Errorf("%s: want a string", name)
	}
	return d.readString()
}

// readString reads a value that is known to be a string.
func (d *requestDecoder) readString() (string, error) {
	v, err := d.dec.ReadValue()
	if err != nil {
		return "", err
	}
	end := d.dec.InputOffset()
	raw := d.src[end-int64(len(v)) : end]
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err
}

func unknownField(name string, want ...string) error {
	const most = 64
	return fmt.Errorf("unknown field %q: want %s", name[:min(len(name), most)], strings.Join(want, " and "))
}

func checkID(name, id string) *refusal {
	switch {
	case id == "":
		return &refusal{errcodeEmptyParameter, name}
	case !validID(id):
		return &refusal{errcodeBadParameter, name + `: want 1 to 128 characters of "A-Z a-z 0-9 _ - . @"`}
	}
	return nil
}

func validID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if !idByte(id[i]) {
			return false
		}
	}
	return true
}

func idByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.', c == '@':
		return true
	}
	return false
}
