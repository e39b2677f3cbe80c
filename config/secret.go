package config

import (
	"fmt"
	"io"
)

// Secret is a text that is shown nowhere: whatever prints it prints "[hidden]". The text is behind a pointer because fmt
// calls no methods of what stands in an unexported field: it prints the address then.
type Secret struct{ text *string }

const hidden = "[hidden]"

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, for the one who needs it; the zero Secret is empty.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format hides it from every verb of fmt, %d and %#v too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

func (s Secret) String() string { return hidden }

// MarshalText hides it in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
