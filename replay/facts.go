package replay

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"consentd/internal/broker"
	"consentd/schemas"
)

// facts are what a record is selected and counted by.
type facts struct {
	class   schemas.Class // empty: it has none
	errcode int           // 0: none
	corp    string        // empty: none that could be read
	replays int           // how often it was replayed
}

// looker finds out facts. Not safe for concurrent use.
type looker struct {
	dec jsontext.Decoder
	buf bytes.Buffer
}

// look reads the headers and, where content is wanted, the value.
func (l *looker) look(r *broker.Record, content bool) facts {
	f := facts{replays: replays(r.Headers)}
	if class, ok := schemas.LastHeader(r.Headers, schemas.HeaderErrorClass); ok {
		f.class = schemas.Class(class)
	}
	if errcode, ok := schemas.LastHeader(r.Headers, schemas.HeaderErrcode); ok {
		f.errcode, _ = strconv.Atoi(string(errcode)) // what is no number is no errcode
	}
	if content {
		l.content(r.Value, isEvent(r), &f)
	}
	return f
}

// isEvent tells what the daemon reported from requests, which may come in CloudEvents of others' themselves.
func isEvent(r *broker.Record) bool {
	kind, _ := schemas.LastHeader(r.Headers, schemas.HeaderType)
	switch string(kind) {
	case schemas.TypeChecked, schemas.TypeFailed, schemas.TypeChanged:
		return true
	}
	return false
}

// content reads the corp of a request or event, and the class and errcode of an event, as far as there is JSON.
func (l *looker) content(value []byte, event bool, f *facts) {
	l.buf = *bytes.NewBuffer(value)
	l.dec.Reset(&l.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if l.dec.PeekKind() != '{' {
		return
	}
	if _, err := l.dec.ReadToken(); err != nil {
		return
	}
	for l.dec.PeekKind() == '"' {
		name, err := l.dec.ReadToken()
		if err != nil {
			return
		}
		switch key := name.String(); {
		case key == "corp_id" && l.dec.PeekKind() == '"':
			id, err := l.dec.ReadToken()
			if err != nil {
				return
			}
			if text := id.String(); schemas.IDProblem(text) == "" {
				f.corp = text
			}
			if !event {
				return
			}
		case key == "error" && event:
			l.failure(f)
		default:
			if l.dec.SkipValue() != nil {
				return
			}
		}
	}
}

// failure reads why an item failed.
func (l *looker) failure(f *facts) {
	value, err := l.dec.ReadValue()
	if err != nil {
		return
	}
	var failed struct {
		Class   schemas.Class `json:"class"`
		Errcode int           `json:"errcode"`
	}
	if json.Unmarshal(value, &failed) == nil {
		f.class, f.errcode = failed.Class, failed.Errcode
	}
}
