package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The load's pace.
const (
	burstEvery       = 50 * time.Millisecond
	transactionEvery = 500 * time.Millisecond
	flipEvery        = 150 * time.Millisecond
)

// load writes requests.
type load struct {
	*rand.Rand
	name    string // begins each request_id
	next    int
	written *atomic.Int64 // acknowledged, or committed
}

// plain writes requests outside transactions until ctx ends.
func (l *load) plain(ctx context.Context, brokers []string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MaxBufferedRecords(2000))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	for ctx.Err() == nil {
		for _, r := range l.burst() {
			cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err == nil {
					l.written.Add(1)
				}
			})
		}
		pause(ctx, burstEvery)
	}
	if err := cl.Flush(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("writing the last requests: %w", err)
	}
	return nil
}

// transactions writes requests in transactions, of which half are aborted, until ctx ends. Where the brokers are in the way
// nobody knows how a transaction ended: the requests topic tells.
func (l *load) transactions(ctx context.Context, brokers []string) error {
	for ctx.Err() == nil {
		cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID("upstream"), kgo.TransactionTimeout(5*time.Second))
		if err != nil {
			return fmt.Errorf("making a client: %w", err)
		}
		for err == nil && ctx.Err() == nil {
			err = l.transaction(context.WithoutCancel(ctx), cl)
			pause(ctx, transactionEvery)
		}
		cl.Close() // one that failed goes on with another epoch
	}
	return nil
}

func (l *load) transaction(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	commit := l.Float64() < 0.5
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	records := l.burst()
	if !commit {
		for _, r := range records {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "aborted", Value: []byte("its transaction")})
		}
	}
	err := cl.ProduceSync(ctx, records...).FirstErr()
	if err != nil {
		commit = false
		err = errors.Join(err, cl.AbortBufferedRecords(ctx))
	}
	ended := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit))
	if commit && ended == nil {
		l.written.Add(int64(len(records)))
	}
	return errors.Join(err, ended)
}

// burst is what is asked for at once: mostly a single request, sometimes several for the same conversation, sometimes one that
// can't be answered.
func (l *load) burst() []*kgo.Record {
	corp := Corps()[l.IntN(corps)]
	switch roll := l.Float64(); {
	case roll < 0.15:
		c := l.pick(corp)
		var all []*kgo.Record
		for range 2 + l.IntN(4) {
			all = append(all, l.record(corp, l.flat(c)))
		}
		return all
	case roll < 0.20:
		return []*kgo.Record{l.invalid(corp)}
	case roll < 0.24:
		return []*kgo.Record{l.replayed(corp)}
	case roll < 0.6:
		return []*kgo.Record{l.record(corp, l.several(corp, 1+l.IntN(12)))}
	default:
		return []*kgo.Record{l.record(corp, l.flat(l.pick(corp)))}
	}
}

func (l *load) pick(corp string) conversation {
	all := conversations(corp)
	return all[l.IntN(len(all))]
}

// fields are a request's.
type fields map[string]any

// record is the request, with the corp id for a key, or anything, or none.
func (l *load) record(corp string, f fields) *kgo.Record {
	value, err := json.Marshal(f)
	if err != nil {
		panic(err) // fields hold nothing that JSON can't
	}
	r := &kgo.Record{Topic: Topics().Requests, Value: value}
	switch roll := l.Float64(); {
	case roll < 0.4:
		r.Key = []byte(corp)
	case roll < 0.8:
		r.Key = fmt.Appendf(nil, "%x", l.Uint32())
	}
	return r
}

// request has what all requests have.
func (l *load) request(corp, kind string) fields {
	f := fields{"corp_id": corp, "kind": kind}
	l.next++
	if l.Float64() < 0.95 {
		f["request_id"] = fmt.Sprintf("%s-%d", l.name, l.next)
	}
	if l.Float64() < 0.5 {
		f["context"] = fields{"n": l.next, "text": "同意"}
	}
	if l.Float64() < 0.2 {
		f["max_age_seconds"] = l.IntN(10)
	}
	return f
}

func (l *load) flat(c conversation) fields {
	if c.chat != "" {
		f := l.request(c.corp, "room")
		f["chatid"] = c.chat
		return f
	}
	f := l.request(c.corp, "single")
	f["open_userid"], f["external_userid"] = c.open, c.external
	return f
}

// several asks for pairs, of which some may stand there twice, and a few have ids that are none.
func (l *load) several(corp string, n int) fields {
	f := l.request(corp, "single")
	all := conversations(corp)[:pairsPerCorp]
	items := make([]fields, n)
	for i := range items {
		c := all[l.IntN(len(all))]
		items[i] = fields{"open_userid": c.open, "external_userid": c.external}
		if l.Float64() < 0.02 {
			items[i]["external_userid"] = "no id: " + strings.Repeat("x", l.IntN(5))
		}
	}
	f["items"] = items
	return f
}

// invalid can't be understood, or asks for a corp that nobody has.
func (l *load) invalid(corp string) *kgo.Record {
	f := l.flat(l.pick(corp))
	switch l.IntN(5) {
	case 0:
		f["corp_id"] = "ww-unknown"
	case 1:
		f["kind"] = "party"
	case 2:
		f = l.request(corp, "single")
		f["open_userid"], f["external_userid"] = "staff1", "no id"
	case 3:
		r := l.record(corp, f)
		r.Value = []byte("this is no JSON")
		return r
	default:
		r := l.record(corp, f)
		r.Value = nil
		return r
	}
	return l.record(corp, f)
}

// replayed is a narrowed request as a dead letter is.
func (l *load) replayed(corp string) *kgo.Record {
	r := l.record(corp, l.several(corp, 2))
	r.Headers = []kgo.RecordHeader{
		{Key: "consentd-item-indexes", Value: []byte("3,17")}, {Key: "consentd-item-count", Value: []byte("20")},
	}
	return r
}

// sweep asks once for every conversation.
func (l *load) sweep(ctx context.Context, brokers []string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	for _, corp := range Corps() {
		var records []*kgo.Record
		for _, c := range conversations(corp) {
			f := l.flat(c)
			delete(f, "max_age_seconds")
			records = append(records, l.record(corp, f))
		}
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("asking for every conversation: %w", err)
		}
		l.written.Add(int64(len(records)))
	}
	return nil
}
