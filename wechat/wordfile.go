package wechat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"consentd/schemas"
)

// wordFile is a file that another program keeps fresh and that has one word, with white space around it or not; or, without a
// file, the word itself.
type wordFile struct {
	path, word string
	what       string // WeCom's name of the word
}

// Ticket is where a Suite has its suite_ticket from.
type Ticket struct{ path, word string }

// TicketFile is a file that has the newest suite_ticket alone, which another program keeps fresh from WeCom's pushes; it is read
// whenever a suite_access_token is fetched.
func TicketFile(path string) Ticket { return Ticket{path: path} }

// FixedTicket is a suite_ticket that is good for as long as WeCom lets it be: half an hour.
func FixedTicket(ticket string) Ticket { return Ticket{word: ticket} }

// read returns the word. An error is of class token and names the path, but nothing of what the file has.
func (f wordFile) read() (string, error) {
	b, err := f.readSome()
	if err != nil {
		var p *fs.PathError // it would name the path again
		if errors.As(err, &p) {
			err = p.Err
		}
		return "", failure(schemas.Token, err, "%[1]s file %[2]s: %[3]v: want a file with the %[1]s", f.what, f.path, err)
	}
	word := strings.TrimSpace(string(b))
	if !validToken(word) {
		return "", failure(schemas.Token, nil,
			"%[1]s file %[2]s: want one %[1]s: 1 to %[3]d printable characters without spaces", f.what, f.path, maxTokenBytes)
	}
	return word, nil
}

// readSome returns at most so much that a file which is no token shows.
func (f wordFile) readSome() ([]byte, error) {
	if f.path == "" {
		return []byte(f.word), nil
	}
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // it was only read from
	b, err := io.ReadAll(io.LimitReader(r, 4<<10))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return b, nil
}
