package broker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxResponseBytes bounds a response. A fetch asks for far less, but the first batch of a partition comes whole,
// however large the topic allows it to be.
const maxResponseBytes = 256 << 20

// exchange sends a kmsg request over a connection of kafka-go's transport, which does not know the message's type or
// its newer versions, and reads the response.
type exchange struct {
	key      int16
	request  []byte // as it goes out
	response kmsg.Response
	buf      []byte // holds the response's bytes; kept by the response
}

// The versions that kafka-go negotiates are those of its own types; ours are fixed, from Apache Kafka 2.5 on.
const (
	fetchVersion        = 11
	produceVersion      = 8
	offsetFetchVersion  = 7
	offsetCommitVersion = 7
	listOffsetsVersion  = 5
	metadataVersion     = 8

	findCoordinatorVersion    = 3
	initProducerIDVersion     = 3
	addPartitionsToTxnVersion = 2
	addOffsetsToTxnVersion    = 2
	txnOffsetCommitVersion    = 3
	endTxnVersion             = 2
)

// ApiKey is what kafka-go routes by.
func (e *exchange) ApiKey() protocol.ApiKey { //nolint:staticcheck // the name is kafka-go's
	return protocol.ApiKey(e.key)
}

func (e *exchange) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange writes the request and reads the response. Any error makes kafka-go close the connection, so that bytes
// half read never meet the next request.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if _, err := rw.Write(e.request); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head[:4])) - 4
	if size < 0 || size > maxResponseBytes {
		return nil, fmt.Errorf("%s response of %d bytes: at most %d are read", kmsg.NameForKey(e.key), size, maxResponseBytes)
	}
	if cap(e.buf) < size {
		e.buf = make([]byte, size)
	}
	body := e.buf[:size]
	if _, err := io.ReadFull(rw, body); err != nil {
		return nil, err
	}
	if e.response.IsFlexible() {
		if len(body) == 0 || body[0] != 0 { // the header's tagged fields: none are defined
			return nil, fmt.Errorf("%s response: unexpected header", kmsg.NameForKey(e.key))
		}
		body = body[1:]
	}
	if err := e.response.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s response: %w", kmsg.NameForKey(e.key), err)
	}
	return e, nil
}

// toBroker is an exchange with one broker, by its id.
type toBroker struct {
	*exchange
	id int32
}

func (e toBroker) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	b, ok := cluster.Brokers[e.id]
	if !ok {
		return protocol.Broker{}, fmt.Errorf("broker %d is not in the cluster's metadata", e.id)
	}
	return b, nil
}

// toGroup is an exchange with a group's coordinator.
type toGroup struct {
	*exchange
	group string
}

func (e toGroup) Group() string { return e.group }

// buffers are what a request is written to and its response read into. They are used again by the next request of the same
// caller; the response keeps in until then. The zero value is ready.
type buffers struct{ out, in []byte }

// requestTimeout is how long a broker may take to answer, over what it was told to wait: it bounds what a broker that hangs
// can hold up.
const requestTimeout = 30 * time.Second

// send routes one request and returns its response. After an error it leaves b empty: the connection's goroutine may still
// be at work on what was lent to it.
func (c *Cluster) send(ctx context.Context, route func(*exchange) protocol.Message, req kmsg.Request, version int16, b *buffers) (kmsg.Response, error) {
	const correlationID = 0 // one request at a time is on a connection
	req.SetVersion(version)
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.clientID))
	e := &exchange{
		key: req.Key(), response: req.ResponseKind(),
		request: formatter.AppendRequest(b.out[:0], req, correlationID), buf: b.in,
	}
	*b = buffers{}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.transport.RoundTrip(ctx, c.addr, route(e)); err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	*b = buffers{out: e.request, in: e.buf}
	return e.response, nil
}

func anyBroker(e *exchange) protocol.Message { return e }

func brokerID(id int32) func(*exchange) protocol.Message {
	return func(e *exchange) protocol.Message { return toBroker{e, id} }
}

func coordinatorOf(group string) func(*exchange) protocol.Message {
	return func(e *exchange) protocol.Message { return toGroup{e, group} }
}
