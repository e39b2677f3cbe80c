package wechattest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
)

// hang waits, if the fault says so, until the caller goes away or the fault is removed.
func (f *scripted) hang(ctx context.Context) {
	if !f.Hang {
		return
	}
	select {
	case <-ctx.Done():
	case <-f.cleared:
	}
}

// disrupt gives what comes instead of the API's answer.
func (f *scripted) disrupt(w http.ResponseWriter) {
	switch {
	case f.Hang, f.CloseConnection:
		closeConnection(w, false)
	case f.ResetConnection:
		closeConnection(w, true)
	case f.Redirect != "":
		w.Header().Set("Location", f.Redirect)
		w.WriteHeader(http.StatusFound)
	default:
		w.WriteHeader(f.validStatus())
		_, _ = w.Write([]byte(f.Body)) // the caller may be gone
	}
}

func (f *Fault) validStatus() int {
	switch {
	case f.HTTPStatus == 0:
		return http.StatusOK
	case f.HTTPStatus < 200 || f.HTTPStatus > 599:
		return http.StatusInternalServerError
	}
	return f.HTTPStatus
}

// closeConnection gives the caller no reply at all.
func closeConnection(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the way that net/http has for HTTP/2, where no connection can be taken
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close() // it may be closed already
}

// alter changes which entries a reply has, and in which order.
func (f *scripted) alter(c *call) {
	if len(f.Omit) > 0 {
		c.entries = slices.DeleteFunc(c.entries, func(e entry) bool { return slices.ContainsFunc(f.Omit, e.named) })
	}
	c.entries = slices.Delete(c.entries, 0, min(max(f.Drop, 0), len(c.entries)))
	for i := range f.Add {
		e := entry{pair{customer: fmt.Sprintf("wmNobodyAskedFor%d", i)}, Status{Agree, 1_609_459_200}}
		if c.kind == Single {
			e.staff = "NobodyAskedFor"
		}
		c.entries = append(c.entries, e)
	}
	if f.Repeat {
		c.entries = append(c.entries, c.entries...)
	}
	if n := len(c.entries); f.Shuffle && n > 1 {
		// Rotated at last, so that the order is another one in any case.
		rand.New(rand.NewPCG(uint64(n), 1)).Shuffle(n-1, func(i, j int) {
			c.entries[i], c.entries[j] = c.entries[j], c.entries[i]
		})
		last := c.entries[n-1]
		copy(c.entries[1:], c.entries[:n-1])
		c.entries[0] = last
	}
}

// pad adds white space after the opening brace.
func (f *scripted) pad(reply []byte) []byte {
	if f.PadBytes <= 0 {
		return reply
	}
	n := min(f.PadBytes, maxPadBytes)
	padded := make([]byte, 0, len(reply)+n)
	padded = append(padded, reply[0])
	for range n {
		padded = append(padded, ' ')
	}
	return append(padded, reply[1:]...)
}

// write sends the reply, or half of it: net/http closes the connection when less comes than was announced.
func (f *scripted) write(w http.ResponseWriter, reply []byte) {
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(reply))}
	if f.Truncate {
		reply = reply[:len(reply)/2]
	}
	_, _ = w.Write(reply) // the caller may be gone
}
