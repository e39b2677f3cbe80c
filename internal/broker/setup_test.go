package broker

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"consentd/internal/kafkatest"
	"consentd/schemas"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

// patience bounds what waits for a broker: it only costs time where something is broken.
const patience = time.Minute

// setup opens the cluster for the topics, which it doesn't make.
func setup(t *testing.T, b *kafkatest.Broker, topics ...string) (context.Context, *Cluster) {
	t.Helper()
	c := Open(Options{Brokers: []string{b.Addr()}, ClientID: "test", Topics: topics})
	t.Cleanup(c.Close)
	return bounded(t), c
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// makeTopic makes a topic of this test's own and waits until its partitions are led: the metadata may be ahead.
func makeTopic(t *testing.T, b *kafkatest.Broker, partitions int, configs map[string]string) string {
	t.Helper()
	topic := b.Topic(t, "topic")
	kafkatest.CreateTopic(t, b.Addr(), topic, partitions, configs)
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), latest
		asked.Partitions = append(asked.Partitions, p)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, asked)
	ctx, cl := bounded(t), franz(t, b)
	for {
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(res.Topics[0].Partitions, func(p kmsg.ListOffsetsResponseTopicPartition) bool { return p.ErrorCode != 0 }) {
			return topic
		}
	}
}

// franz is the client on the other side.
func franz(t *testing.T, b *kafkatest.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// write produces values to a partition, a batch each.
func write(t *testing.T, b *kafkatest.Broker, topic string, partition int32, values ...string) {
	t.Helper()
	for _, v := range values {
		kafkatest.ProduceTo(t, b.Addr(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)})
	}
}

// transaction is one that stays open until it is ended.
type transaction struct {
	t  *testing.T
	cl *kgo.Client
}

func begin(t *testing.T, b *kafkatest.Broker, name string) *transaction {
	t.Helper()
	tx := &transaction{t, franz(t, b, kgo.TransactionalID(b.Topic(t, name)), kgo.RecordPartitioner(kgo.ManualPartitioner()))}
	tx.again()
	return tx
}

func (tx *transaction) again() {
	tx.t.Helper()
	if err := tx.cl.BeginTransaction(); err != nil {
		tx.t.Fatal(err)
	}
}

func (tx *transaction) write(topic string, partition int32, value string) {
	tx.t.Helper()
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(value), Value: []byte(value)}
	if err := tx.cl.ProduceSync(bounded(tx.t), r).FirstErr(); err != nil {
		tx.t.Fatal(err)
	}
}

// end returns before the markers are there: see awaitStable.
func (tx *transaction) end(how kgo.TransactionEndTry) {
	tx.t.Helper()
	if err := tx.cl.EndTransaction(bounded(tx.t), how); err != nil {
		tx.t.Fatal(err)
	}
}

// awaitStable writes a last value to partition 0 and returns when it can be read: all transactions have ended then.
func awaitStable(t *testing.T, b *kafkatest.Broker, topic, last string) {
	t.Helper()
	write(t, b, topic, 0, last)
	kafkatest.Follow(bounded(t), t, b.Addr(), topic, func(all []*kgo.Record) bool {
		for _, r := range all {
			if string(r.Value) == last {
				return true
			}
		}
		return false
	})
}

// shown is a record in one line that tells null from empty.
func shown(r *Record) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d @%d %s=%s", r.Offset, r.Timestamp, quoted(r.Key), quoted(r.Value))
	for _, h := range r.Headers {
		fmt.Fprintf(&s, " %q:%s", h.Key, quoted(h.Value))
	}
	return s.String()
}

func quoted(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 64:
		return fmt.Sprintf("%.16q…(%d bytes, %x)", b, len(b), b[len(b)-8:])
	}
	return fmt.Sprintf("%q", b)
}

// ofFranz is a record of franz-go's as one of ours.
func ofFranz(r *kgo.Record) *Record {
	own := &Record{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		own.Headers = append(own.Headers, schemas.Header{Key: h.Key, Value: h.Value})
	}
	return own
}

// alerts is a log that tells when something was written to it.
type alerts chan struct{}

func newAlerts() (alerts, zerolog.Logger) {
	a := make(alerts, 1)
	return a, zerolog.New(a)
}

func (a alerts) Write(p []byte) (int, error) {
	select {
	case a <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (a alerts) wait(ctx context.Context, t *testing.T) {
	t.Helper()
	select {
	case <-a:
	case <-ctx.Done():
		t.Fatal("nothing was logged")
	}
}

// errEnough ends a fetch.
var errEnough = fmt.Errorf("enough")

// reading gathers what a fetch brings. Its take is a handler.
type reading struct {
	mu sync.Mutex
	// records as they were shown in the handler, by partition and in the order in which they came.
	records map[TopicPartition][]string
	values  map[TopicPartition][]string
	next    map[TopicPartition]int64
	count   int
	// enough ends the fetch; called with the lock held.
	enough func(*reading) bool
}

func newReading(enough func(*reading) bool) *reading {
	return &reading{
		records: make(map[TopicPartition][]string), values: make(map[TopicPartition][]string),
		next: make(map[TopicPartition]int64), enough: enough,
	}
}

func (r *reading) take(_ context.Context, f *Fetched) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range f.Records {
		r.records[f.TopicPartition] = append(r.records[f.TopicPartition], shown(&f.Records[i]))
		r.values[f.TopicPartition] = append(r.values[f.TopicPartition], string(f.Records[i].Value))
		r.count++
	}
	r.next[f.TopicPartition] = f.Next
	if r.enough(r) {
		return errEnough
	}
	return nil
}

// fetchUntil fetches until there is enough.
func fetchUntil(ctx context.Context, t *testing.T, c *Cluster, from map[TopicPartition]int64, o FetchOptions, enough func(*reading) bool) *reading {
	t.Helper()
	r := newReading(enough)
	if o.MaxBytes == 0 {
		o.MaxBytes, o.PartitionMaxBytes = 8<<20, 8<<20
	}
	if o.OutOfRange == nil {
		o.OutOfRange = func(_ context.Context, tp TopicPartition, position int64) (int64, error) {
			t.Errorf("%s: offset %d is out of range", tp, position)
			return 0, &handlerError{errEnough}
		}
	}
	if err := c.Fetch(ctx, from, o, r.take); err != errEnough { //nolint:errorlint // the handler's error comes as it is
		t.Fatalf("the fetch ended with: %v; it had brought %v", err, r.values)
	}
	return r
}

// count is enough when there are n records.
func count(n int) func(*reading) bool { return func(r *reading) bool { return r.count >= n } }

// passed is enough when a partition was read up to an offset.
func passed(tp TopicPartition, end int64) func(*reading) bool {
	return func(r *reading) bool { return r.next[tp] >= end }
}
