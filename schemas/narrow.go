package schemas

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Narrow returns a request's value with its `items` cut down to those at the places keep (ascending, counted in this
// value); every other byte is as it was sent. The value must have been decoded without an error.
func Narrow(value []byte, keep []int) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(value))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if name.String() != "items" || dec.PeekKind() != '[' {
			if err := dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
		out := append(make([]byte, 0, len(value)), value[:dec.InputOffset()]...)
		for place, next := 0, 0; dec.PeekKind() != ']'; place++ {
			item, err := dec.ReadValue()
			if err != nil {
				return nil, err
			}
			if next < len(keep) && keep[next] == place {
				if next > 0 {
					out = append(out, ',')
				}
				out = append(out, item...)
				next++
			}
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
		return append(out, value[dec.InputOffset()-1:]...), nil
	}
	return value, nil // a flat pair or a room: there is nothing to narrow
}
