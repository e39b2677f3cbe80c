package config

// Secret is a text that is shown nowhere: whatever prints it prints "[hidden]".
type Secret struct{ text string }

const hidden = "[hidden]"

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text, for the one who needs it.
func (s Secret) Reveal() string { return s.text }

func (s Secret) String() string { return hidden }

// GoString is what %#v prints.
func (s Secret) GoString() string { return hidden }

// MarshalText hides it in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
