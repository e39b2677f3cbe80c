package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Plan is requests that were checked and not written yet.
type Plan struct {
	text io.ReadSeeker
	key  []byte
	run  string // what ids are given by; empty: none is
	// Requests and Items are how many there are.
	Requests, Items int
	// answers is how many are to come, by request id; nil when none is awaited.
	answers map[string]int
}

// Options say what is made of the lines.
type Options struct {
	// Key is that of the records; nil: each one's corp id.
	Key []byte
	// Run, when it is not empty, has requests without an id be given one, `<run>-<line>`, in a header: the value stays as it
	// was written. Answers can be awaited then.
	Run string
}

// ErrNoRequests says that there is nothing to submit.
var ErrNoRequests = errors.New("there is no request: want a JSON object a line")

// Check reads JSON lines from the start to the end. The error is an *InvalidError with everything that is wrong, ErrNoRequests,
// or one of reading. The text is read again when the plan is published and must stay.
func Check(text io.ReadSeeker, o Options) (*Plan, error) {
	p := &Plan{text: text, key: o.Key, run: o.Run}
	if o.Run != "" {
		p.answers = make(map[string]int)
	}
	err := p.each(func(r *request, key []byte, headers []schemas.Header) error {
		p.Requests++
		p.Items += len(r.Items)
		if p.answers != nil {
			p.answers[idOf(r, headers)] += len(r.Items)
		}
		return nil
	})
	if err == nil && p.Requests == 0 {
		err = ErrNoRequests
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func idOf(r *request, headers []schemas.Header) string {
	if id, ok := schemas.LastHeader(headers, schemas.HeaderRequestID); ok {
		return string(id)
	}
	return r.ID
}

// each hands over the requests as they are to be written.
func (p *Plan) each(take func(r *request, key []byte, headers []schemas.Header) error) error {
	if _, err := p.text.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading requests: %w", err)
	}
	return read(p.text, p.key, func(r *request) error {
		key := p.key
		if key == nil {
			key = []byte(r.CorpID)
		}
		var headers []schemas.Header
		if p.run != "" && r.ID == "" {
			headers = []schemas.Header{{Key: schemas.HeaderRequestID, Value: fmt.Appendf(nil, "%s-%d", p.run, r.line)}}
		}
		if n := schemas.RecordBytes(key, r.value, headers); n > schemas.MaxRecordBytes {
			return &InvalidError{[]string{fmt.Sprintf("line %d: has %d bytes with key and headers: at most %d are allowed", r.line, n, schemas.MaxRecordBytes)}}
		}
		return take(r, key, headers)
	})
}

// What is written in one go.
const (
	chunkRecords = 1000
	chunkBytes   = 4 << 20
)

// Publish writes the requests to a topic, acknowledged by all in-sync replicas. After an error some of them may be there:
// written is how many are for sure.
func (p *Plan) Publish(ctx context.Context, cluster *broker.Cluster, topic string, log zerolog.Logger) (written int, err error) {
	n, err := cluster.PartitionCount(ctx, topic)
	if err != nil {
		return 0, err
	}
	partitioner := broker.NewPartitioner(n)
	var records broker.Records
	bytes := 0
	flush := func() error {
		if err := cluster.Produce(ctx, &records, log); err != nil {
			return err
		}
		written += records.Len()
		records.Reset()
		bytes = 0
		return nil
	}
	err = p.each(func(r *request, key []byte, headers []schemas.Header) error {
		records.Append(broker.TopicPartition{Topic: topic, Partition: partitioner.Partition(key)}, key, r.value, headers, time.Now())
		if bytes += len(r.value); bytes < chunkBytes && records.Len() < chunkRecords {
			return nil
		}
		return flush()
	})
	if err == nil && records.Len() > 0 {
		err = flush()
	}
	return written, err
}

// Spool copies a text that can be read only once to a temporary file, which remove ends.
func Spool(ctx context.Context, text io.Reader) (file *os.File, remove func(), err error) {
	file, err = os.CreateTemp("", "consentd-submit-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() {
		_ = file.Close() // it was only read from
		_ = os.Remove(file.Name())
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(file, text)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done(): // who types or writes there may never end: the copying is left behind
		err = ctx.Err()
	}
	if err != nil {
		remove()
		return nil, nil, fmt.Errorf("reading requests: %w", err)
	}
	return file, remove, nil
}
