package submit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"consentd/schemas"
)

// InvalidError says all that is wrong with the lines, each problem with its line.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string { return strings.Join(e.Problems, "\n") }

// maxProblems bounds what one wrong file makes us write.
const maxProblems = 100

func (e *InvalidError) add(line int, format string, args ...any) {
	switch {
	case len(e.Problems) < maxProblems:
		e.Problems = append(e.Problems, fmt.Sprintf("line %d: %s", line, fmt.Sprintf(format, args...)))
	case len(e.Problems) == maxProblems:
		e.Problems = append(e.Problems, "and more")
	}
}

// request is one line.
type request struct {
	schemas.Request
	line  int
	value []byte // valid until the next line is read
}

// errEmptyLine passes over what has nothing in it.
var errEmptyLine = errors.New("empty")

// read hands over the requests of a text of JSON lines. Its error is an *InvalidError with all problems, or one of reading or of
// take, which ends it.
func read(text io.Reader, key []byte, take func(*request) error) error {
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 0, 64<<10), schemas.MaxRecordBytes+1)
	var invalid InvalidError
	n := 0
	for lines.Scan() {
		n++
		r, problems := decode(key, lines.Bytes())
		r.line = n
		if errors.Is(problems, errEmptyLine) {
			continue
		}
		var wrong *schemas.InvalidError
		if errors.As(problems, &wrong) {
			for _, p := range wrong.Problems {
				invalid.add(n, "%s", p)
			}
			continue
		}
		if err := take(&r); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		invalid.add(n+1, "is longer than %d bytes: no request may be; what follows was not looked at", schemas.MaxRecordBytes)
	} else if err := lines.Err(); err != nil {
		return fmt.Errorf("reading requests: %w", err)
	}
	if len(invalid.Problems) > 0 {
		return &invalid
	}
	return nil
}

// decode reads one line. What the daemon would refuse of it in part is refused whole: nothing was written yet.
func decode(key, line []byte) (request, error) {
	if len(strings.TrimSpace(string(line))) == 0 {
		return request{}, errEmptyLine
	}
	r, err := schemas.DecodeRequest(key, line, nil)
	if err != nil {
		return request{}, err
	}
	var wrong schemas.InvalidError
	for _, item := range r.Items {
		if item.Problem != "" {
			wrong.Problems = append(wrong.Problems, fmt.Sprintf("items[%d]: %s", item.Index, item.Problem))
		}
	}
	if len(wrong.Problems) > 0 {
		return request{}, &wrong
	}
	return request{Request: r, value: line}, nil
}
