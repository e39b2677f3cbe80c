package replay

import "fmt"

// InputError says what is wrong with what was asked for. Nothing was written.
type InputError struct{ Problem string }

func (e *InputError) Error() string { return e.Problem }

func wrong(format string, args ...any) error {
	return &InputError{fmt.Sprintf(format, args...)}
}
