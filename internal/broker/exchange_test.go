package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func hostPort(t testing.TB, addr string) (string, int32) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return host, int32(n)
}

// wire is a connection whose other side has answered already.
type wire struct {
	io.Reader
	sent  bytes.Buffer
	close bool // nothing can be sent
}

func (w *wire) Write(p []byte) (int, error) {
	if w.close {
		return 0, io.ErrClosedPipe
	}
	return w.sent.Write(p)
}

// framed is a response as it comes: its size, a correlation id, and a body.
func framed(body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	return append(append(b, 0, 0, 0, 0), body...)
}

func TestExchange_ReportsAResponseThatIsNoneAndNeverPanics(t *testing.T) {
	t.Parallel()
	const untagged, flexible = metadataVersion, offsetFetchVersion
	metadata := kmsg.NewPtrMetadataResponse()
	metadata.SetVersion(untagged)
	metadata.Brokers = append(metadata.Brokers, kmsg.NewMetadataResponseBroker())
	good := metadata.AppendTo(nil)
	offsets := kmsg.NewPtrOffsetFetchResponse()
	offsets.SetVersion(flexible)
	goodFlexible := append([]byte{0}, offsets.AppendTo(nil)...)

	for _, tc := range []struct {
		name     string
		answer   []byte
		flexible bool
		want     string // in the error; empty: none
	}{
		{"whole", framed(good), false, ""},
		{"whole, with a header that may have tags", framed(goodFlexible), true, ""},
		{"nothing", nil, false, "EOF"},
		{"half a header", []byte{0, 0, 0}, false, "unexpected EOF"},
		{"half a body", framed(good)[:12], false, "unexpected EOF"},
		{"no size", []byte{0, 0, 0, 0, 0, 0, 0, 0}, false, "Metadata response of -4 bytes"},
		{"a size over the most", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, false, "at most 268435456 are read"},
		{"a body that ends early", framed(good[:len(good)-1]), false, "Metadata response: "},
		{"a body without a header's tags", framed(nil), true, "unexpected header"},
		{"a header with tags that nobody defined", framed(append([]byte{1}, goodFlexible...)), true, "unexpected header"},
		{"another's body", framed([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), false, "Metadata response: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var response kmsg.Response = kmsg.NewPtrMetadataResponse()
			version := int16(untagged)
			if tc.flexible {
				response, version = kmsg.NewPtrOffsetFetchResponse(), flexible
			}
			response.SetVersion(version)
			e := &exchange{key: response.Key(), request: []byte("the request"), response: response}
			w := &wire{Reader: bytes.NewReader(tc.answer)}
			_, err := e.RawExchange(w)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if !bytes.Equal(w.sent.Bytes(), e.request) {
				t.Errorf("sent %q", w.sent.Bytes())
			}
		})
	}
}

func TestExchange_ReportsThatItCannotBeSent(t *testing.T) {
	t.Parallel()
	e := &exchange{response: kmsg.NewPtrMetadataResponse()}
	if _, err := e.RawExchange(&wire{Reader: bytes.NewReader(nil), close: true}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestExchange_UsesItsBufferAgain(t *testing.T) {
	t.Parallel()
	answer := kmsg.NewPtrMetadataResponse()
	answer.SetVersion(metadataVersion)
	body := answer.AppendTo(nil)
	room := make([]byte, 0, 1<<10)
	response := kmsg.NewPtrMetadataResponse()
	response.SetVersion(metadataVersion)
	e := &exchange{response: response, buf: room}
	if _, err := e.RawExchange(&wire{Reader: bytes.NewReader(framed(body))}); err != nil {
		t.Fatal(err)
	}
	if got := room[:len(body)]; !slices.Equal(got, body) || cap(e.buf) != cap(room) {
		t.Error("the response was read into another buffer than the one that was lent")
	}
}

func TestExchange_ToABrokerThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	to := toBroker{&exchange{}, 7}
	if b, err := to.Broker(protocol.Cluster{Brokers: map[int32]protocol.Broker{1: {ID: 1}}}); err == nil || !strings.Contains(err.Error(), "broker 7") {
		t.Errorf("got %v, %v", b, err)
	}
	if b, err := to.Broker(protocol.Cluster{Brokers: map[int32]protocol.Broker{7: {ID: 7}}}); err != nil || b.ID != 7 {
		t.Errorf("got %v, %v, want broker 7", b, err)
	}
}
