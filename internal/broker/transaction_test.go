package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"consentd/internal/kafkatest"
	"consentd/schemas"
)

// transactions is a transactor with two topics to write to, one to read from, and a group without members.
type transactions struct {
	*testing.T
	ctx           context.Context
	cluster       *Cluster
	broker        *kafkatest.Broker
	transactor    *Transactor
	member        Member
	log           bytes.Buffer // the transactor's
	first, second string
	source        TopicPartition
}

func setupTransactions(t *testing.T, b *kafkatest.Broker) *transactions {
	t.Helper()
	tx := &transactions{T: t, broker: b, first: b.Topic(t, "first"), second: b.Topic(t, "second")}
	for _, topic := range []string{tx.first, tx.second} {
		kafkatest.CreateTopic(t, b.Addr(), topic, 3, nil)
	}
	tx.source = TopicPartition{tx.first, 0}
	tx.ctx, tx.cluster = setup(t, b, tx.first, tx.second)
	tx.member = Member{Group: b.Topic(t, "group"), Generation: -1} // as of a client that is in no group
	tx.transactor = tx.cluster.NewTransactor(b.Topic(t, "id"), 15*time.Second, zerolog.New(&tx.log))
	return tx
}

// records returns one for each of three partitions of both topics.
func (tx *transactions) records(value string) *Records {
	r := &Records{}
	for p := range int32(3) {
		r.Append(TopicPartition{tx.first, p}, []byte("k"), fmt.Appendf(nil, "%s-%d", value, p), nil, time.Now())
		r.Append(TopicPartition{tx.second, p}, nil, []byte(value), []schemas.Header{{Key: "h", Value: []byte("v")}}, time.Now())
	}
	return r
}

// values returns what a read_committed client of another make finds in partition 1 of both topics.
func (tx *transactions) values() (first, second []string) {
	tx.Helper()
	for topic, values := range map[string]*[]string{tx.first: &first, tx.second: &second} {
		for _, r := range kafkatest.ReadAll(tx, tx.broker.Addr(), topic) {
			if r.Partition == 1 {
				*values = append(*values, string(r.Value))
			}
		}
	}
	return first, second
}

func (tx *transactions) committed() int64 {
	tx.Helper()
	for {
		offsets, err := tx.cluster.Committed(tx.ctx, tx.member.Group, []TopicPartition{tx.source})
		if err == nil {
			return offsets[tx.source].At
		}
		if tx.ctx.Err() != nil {
			tx.Fatal(err)
		}
	}
}

func TestTransactor_RecordsAndOffsetsAreThereTogether(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		tx := setupTransactions(t, b)
		if err := tx.transactor.Init(tx.ctx); err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 50 {
			if err := tx.transactor.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: int64(i)}}, tx.records(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprint(i))
			if i == 0 {
				tx.log.Reset() // the first may find the brokers unready
			}
		}
		// As brokers say of records that come while the coordinator is busy with the same transaction.
		if refused := kafka.NotEnoughReplicas.Title(); strings.Contains(tx.log.String(), refused) {
			t.Errorf("transactions were refused and tried again, though nothing was wrong:\n%s", &tx.log)
		}
		first, second := tx.values()
		if !slices.Equal(second, want) || len(first) != len(want) || first[49] != "49-1" {
			t.Errorf("got %v and %v, want each of 0 to 49 once, in order", first, second)
		}
		if got := tx.committed(); got != 49 {
			t.Errorf("committed offset %d, want 49", got)
		}
	})
}

func TestTransactor_BatchesLargerThanOneAreWholeToo(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		tx := setupTransactions(t, b)
		const records = 3000 // of 1 KB in one partition: several batches
		for range 2 {
			var many Records
			for i := range records {
				many.Append(TopicPartition{tx.second, 1}, nil, fmt.Appendf(nil, "%01000d", i), nil, time.Now())
			}
			if err := tx.transactor.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 1}}, &many); err != nil {
				t.Fatal(err)
			}
		}
		_, second := tx.values()
		if len(second) != 2*records || !slices.IsSorted(second[:records]) || !slices.IsSorted(second[records:]) {
			t.Errorf("%d records, want %d in order", len(second), 2*records)
		}
	})
}

func TestTransactor_ANewerProcessFencesAnOlderOne(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		tx := setupTransactions(t, b)
		older := tx.transactor
		offsets := map[TopicPartition]Offset{tx.source: {At: 1}}
		if err := older.Publish(tx.ctx, tx.member, offsets, tx.records("older")); err != nil {
			t.Fatal(err)
		}
		newer := tx.cluster.NewTransactor(older.id, 15*time.Second, zerolog.Nop())
		if err := newer.Init(tx.ctx); err != nil {
			t.Fatal(err)
		}
		if err := older.Publish(tx.ctx, tx.member, offsets, tx.records("late")); !errors.Is(err, ErrFenced) {
			t.Errorf("the older one published: error %v, want ErrFenced", err)
		}
		if err := newer.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 2}}, tx.records("newer")); err != nil {
			t.Fatal(err)
		}
		if _, second := tx.values(); !slices.Equal(second, []string{"older", "newer"}) {
			t.Errorf("got %v, want older, newer", second)
		}
		// Fenced is over for good: it does not fence back.
		if err := older.Publish(tx.ctx, tx.member, offsets, tx.records("later")); !errors.Is(err, ErrFenced) {
			t.Errorf("error %v, want ErrFenced", err)
		}
	})
}

func TestTransactor_AnOlderGenerationPublishesNothing(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		tx := setupTransactions(t, b)
		if err := tx.transactor.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 1}}, tx.records("1")); err != nil {
			t.Fatal(err)
		}
		aborted := 0
		tx.transactor.Aborted = func() { aborted++ }
		stale := tx.member
		stale.Generation, stale.ID = 7, "gone"
		if err := tx.transactor.Publish(tx.ctx, stale, map[TopicPartition]Offset{tx.source: {At: 0}}, tx.records("stale")); !errors.Is(err, ErrGenerationOver) {
			t.Errorf("error %v, want ErrGenerationOver", err)
		}
		if aborted != 1 {
			t.Errorf("%d transactions were aborted, want 1", aborted)
		}
		if err := tx.transactor.Init(tx.ctx); err != nil {
			t.Fatal(err)
		}
		if err := tx.transactor.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 2}}, tx.records("2")); err != nil {
			t.Fatal(err)
		}
		if _, second := tx.values(); !slices.Equal(second, []string{"1", "2"}) || tx.committed() != 2 {
			t.Errorf("got %v, committed %d: want 1 and 2", second, tx.committed())
		}
	})
}

func TestTransactor_WhatWasLeftOpenIsAborted(t *testing.T) {
	t.Parallel()
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		t.Parallel()
		tx := setupTransactions(t, b)
		crashed := tx.transactor
		if err := crashed.Init(tx.ctx); err != nil {
			t.Fatal(err)
		}
		// The leaders of topics just made may not be known yet: a first transaction waits for them.
		if err := crashed.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 1}}, tx.records("first")); err != nil {
			t.Fatal(err)
		}
		left := tx.records("left")
		if err := crashed.addPartitions(tx.ctx, left); err != nil {
			t.Fatal(err)
		}
		if err := crashed.produce(tx.ctx, left); err != nil {
			t.Fatal(err)
		}
		if err := crashed.addOffsets(tx.ctx, tx.member); err != nil {
			t.Fatal(err)
		}
		if err := crashed.commitOffsets(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 9}}); err != nil {
			t.Fatal(err)
		}
		next := tx.cluster.NewTransactor(crashed.id, 15*time.Second, zerolog.Nop())
		if err := next.Init(tx.ctx); err != nil {
			t.Fatal(err)
		}
		if err := next.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: 2}}, tx.records("next")); err != nil {
			t.Fatal(err)
		}
		if _, second := tx.values(); !slices.Equal(second, []string{"first", "next"}) || tx.committed() != 2 {
			t.Errorf("got %v, committed %d: want first and next", second, tx.committed())
		}
	})
}

func TestTransactor_GoesOnAfterTheBrokerWasRestarted(t *testing.T) {
	t.Parallel()
	b := kafkatest.Apache(t)
	tx := setupTransactions(t, b)
	publish := func(i int) error {
		return tx.transactor.Publish(tx.ctx, tx.member, map[TopicPartition]Offset{tx.source: {At: int64(i)}}, tx.records(fmt.Sprint(i)))
	}
	if err := publish(1); err != nil {
		t.Fatal(err)
	}
	// A broker alone that is killed before it wrote the markers takes the partitions for deleted when it is back, and never
	// writes them: what was committed is lost then, to every client.
	kafkatest.Follow(tx.ctx, t, b.Addr(), tx.second, func(all []*kgo.Record) bool { return len(all) == 3 })
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- publish(2) }()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	err := <-done
	if err == nil {
		err = publish(3)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, second := tx.values(); !slices.Equal(second, []string{"1", "2", "3"}) {
		t.Errorf("got %v", second)
	}
}
