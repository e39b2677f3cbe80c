package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Transactor publishes in transactions, one at a time, under a transactional id that no other live process has. Not safe
// for concurrent use.
type Transactor struct {
	// Aborted is called after each transaction that failed and is begun anew, or given up; nil: nobody counts.
	Aborted func()

	cluster *Cluster
	id      string
	timeout time.Duration
	log     zerolog.Logger

	// producerID and epoch are those of the present epoch; ready is false when a new one has to begin, since something of
	// the last may still be on its way to a broker.
	ready      bool
	producerID int64
	epoch      int16
	// sequences counts the records of the epoch.
	sequences map[TopicPartition]int32
	// known: an epoch was begun, so that the next ones continue it, and who has begun one since is noticed.
	known bool
	// over is why nothing can be published any more, until Init.
	over error

	coordinator, groupCoordinator coordinator
}

// NewTransactor returns a transactor; nothing is sent yet. The brokers abort a transaction that is left open for longer
// than timeout.
func (c *Cluster) NewTransactor(id string, timeout time.Duration, log zerolog.Logger) *Transactor {
	return &Transactor{
		cluster: c, id: id, timeout: timeout, log: log.With().Str("transactional_id", id).Logger(),
		coordinator:      coordinator{cluster: c, kind: ofTransactions},
		groupCoordinator: coordinator{cluster: c, kind: ofGroups},
	}
}

// ErrFenced says that another process uses the same transactional id, and has a newer epoch.
var ErrFenced = errors.New("fenced: another process publishes under the same transactional id, or this one stalled")

// ErrExpired says that a transaction was open for longer than the brokers allow, who aborted it: this process or a broker
// stalled.
var ErrExpired = errors.New("the transaction was open for too long: the brokers aborted it")

// ErrGenerationOver says that the member's generation is over: its partitions are others' now.
var ErrGenerationOver = errors.New("the generation is over")

// ErrUnknownOutcome says that a transaction may have been committed or not: only a new beginning tells.
var ErrUnknownOutcome = errors.New("the outcome of the transaction is not known")

// Init begins a new epoch: transactions that this id left open are aborted, and whoever else uses it is fenced. It tries
// until ctx ends, except where trying again can't help.
func (t *Transactor) Init(ctx context.Context) error {
	t.known, t.over = false, nil
	return t.retry(ctx, "begin an epoch", t.init)
}

func (t *Transactor) init(ctx context.Context) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &t.id
	req.TransactionTimeoutMillis = int32(t.timeout / time.Millisecond)
	req.ProducerID, req.ProducerEpoch = -1, -1
	if t.known {
		// The brokers refuse when the epoch is not the newest: then another process has taken over.
		req.ProducerID, req.ProducerEpoch = t.producerID, t.epoch
	}
	r, err := t.send(ctx, req, initProducerIDVersion)
	if err != nil {
		return err
	}
	res := r.(*kmsg.InitProducerIDResponse)
	if err := coded("start an epoch", res.ErrorCode); err != nil {
		return err
	}
	t.producerID, t.epoch, t.sequences = res.ProducerID, res.ProducerEpoch, make(map[TopicPartition]int32)
	t.ready, t.known = true, true
	return nil
}

// Publish puts the records and the group's offsets, at least one, into one transaction and commits it. After nil all of it is
// there for read_committed consumers. After an error it may be, when the answer to the commit was lost; the committed offsets
// tell. It tries until ctx ends, except where trying again can't help: after ErrFenced, ErrExpired, ErrUnknownOutcome and
// ErrGenerationOver, which last until Init, and after what is Permanent.
func (t *Transactor) Publish(ctx context.Context, m Member, offsets map[TopicPartition]Offset, r *Records) error {
	return t.retry(ctx, "publish", func(ctx context.Context) error {
		if !t.ready {
			if err := t.init(ctx); err != nil {
				return err
			}
		}
		r.rewind()
		err := t.try(ctx, m, offsets, r)
		if err == nil || errors.Is(err, ErrUnknownOutcome) {
			return err
		}
		// What was sent may still arrive: it must meet neither this epoch nor an open transaction.
		t.ready = false
		t.forget()
		if t.Aborted != nil {
			t.Aborted()
		}
		if abortErr := t.end(ctx, false); abortErr != nil {
			t.log.Debug().Err(abortErr).Msg("the transaction was not aborted: the next epoch does it")
		}
		return err
	})
}

// try runs one transaction up to its commit.
func (t *Transactor) try(ctx context.Context, m Member, offsets map[TopicPartition]Offset, r *Records) error {
	if err := t.addPartitions(ctx, r); err != nil {
		return err
	}
	// Not beside what is produced: the leaders ask the coordinator whether their partitions were added, and are refused while
	// it adds something.
	if err := t.addOffsets(ctx, m); err != nil {
		return err
	}
	if err := t.produce(ctx, r); err != nil {
		return err
	}
	if err := t.commitOffsets(ctx, m, offsets); err != nil {
		return err
	}
	return t.commit(ctx)
}

// addPartitions tells the coordinator which partitions the transaction writes to.
func (t *Transactor) addPartitions(ctx context.Context, r *Records) error {
	tps := r.waiting()
	if len(tps) == 0 {
		return nil
	}
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = t.id, t.producerID, t.epoch
	for topic, partitions := range byTopic(tps) {
		rt := kmsg.NewAddPartitionsToTxnRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.Topics = append(req.Topics, rt)
	}
	return t.whileConcurrent(ctx, func() error {
		r, err := t.send(ctx, req, addPartitionsToTxnVersion)
		if err != nil {
			return err
		}
		for _, rt := range r.(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, p := range rt.Partitions {
				// All fail together: the others say only that they were not attempted.
				if p.ErrorCode != 0 && kafka.Error(p.ErrorCode) != operationNotAttempted {
					return coded(fmt.Sprintf("add %s/%d to the transaction", rt.Topic, p.Partition), p.ErrorCode)
				}
			}
		}
		return nil
	})
}

// produce sends all records, in one request a broker at a time: of two at once a leader would refuse one, as it asks the
// coordinator for one thing at a time.
func (t *Transactor) produce(ctx context.Context, r *Records) error {
	for {
		waiting := r.waiting()
		if len(waiting) == 0 {
			return nil
		}
		err := t.cluster.produceRound(ctx, r, waiting, t.id, func(tp TopicPartition) stamp {
			return stamp{transactional: true, producerID: t.producerID, epoch: t.epoch, sequence: t.sequences[tp]}
		})
		if err != nil {
			return err
		}
		for _, tp := range waiting {
			p := r.partitions[tp]
			t.sequences[tp] = nextSequence(t.sequences[tp], p.countOf(p.sent-1))
		}
	}
}

// nextSequence wraps as the brokers do.
func nextSequence(sequence int32, records uint32) int32 {
	return int32((int64(sequence) + int64(records)) % (1 << 31))
}

// addOffsets tells the coordinator that offsets of the group will be a part of the transaction.
func (t *Transactor) addOffsets(ctx context.Context, m Member) error {
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = t.id, t.producerID, t.epoch, m.Group
	return t.whileConcurrent(ctx, func() error {
		r, err := t.send(ctx, add, addOffsetsToTxnVersion)
		if err != nil {
			return err
		}
		return coded("add the offsets to the transaction", r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	})
}

// commitOffsets makes the offsets a part of the transaction. It comes last before the end: it is what finds out that the
// generation is over.
func (t *Transactor) commitOffsets(ctx context.Context, m Member, offsets map[TopicPartition]Offset) error {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = t.id, m.Group, t.producerID, t.epoch
	req.Generation, req.MemberID = m.Generation, m.ID
	topics := make(map[string]int)
	for tp, offset := range offsets {
		i, ok := topics[tp.Topic]
		if !ok {
			i = len(req.Topics)
			topics[tp.Topic] = i
			rt := kmsg.NewTxnOffsetCommitRequestTopic()
			rt.Topic = tp.Topic
			req.Topics = append(req.Topics, rt)
		}
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = tp.Partition, offset.At, &offset.Metadata
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
	}
	r, err := t.groupCoordinator.send(ctx, m.Group, req, txnOffsetCommitVersion)
	if err != nil {
		return err
	}
	for _, rt := range r.(*kmsg.TxnOffsetCommitResponse).Topics {
		for _, p := range rt.Partitions {
			if err := coded(fmt.Sprintf("commit %s/%d", rt.Topic, p.Partition), p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// commit ends the transaction. Once it was asked for, the brokers may have done it: so it is asked for until they say so.
func (t *Transactor) commit(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(t.cluster.patience))
	lost := false // an answer was
	err := backoff.Retry(func() error {
		err := t.end(ctx, true)
		var code kafka.Error
		switch {
		case err == nil:
			return nil
		case errors.As(err, &code) && !passes(code):
			return backoff.Permanent(err)
		}
		lost = lost || !errors.As(err, &code)
		t.forget()
		return err
	}, backoff.WithContext(pause, ctx))
	switch {
	case err == nil:
		return nil
	case lost || ctx.Err() != nil:
		t.ready = false
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

func (t *Transactor) end(ctx context.Context, commit bool) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = t.id, t.producerID, t.epoch, commit
	return t.whileConcurrent(ctx, func() error {
		r, err := t.send(ctx, req, endTxnVersion)
		if err != nil {
			return err
		}
		return coded("end the transaction", r.(*kmsg.EndTxnResponse).ErrorCode)
	})
}

func (t *Transactor) send(ctx context.Context, req kmsg.Request, version int16) (kmsg.Response, error) {
	return t.coordinator.send(ctx, t.id, req, version)
}

// How often a coordinator is asked again that still writes the last transaction's markers: soon, as it mostly takes a
// millisecond or two, but not for ever when it hangs.
const (
	concurrentPause    = time.Millisecond
	maxConcurrentPause = 100 * time.Millisecond
)

// forget has the coordinators looked for again: whoever failed may no longer be one.
func (t *Transactor) forget() {
	t.coordinator.forget()
	t.groupCoordinator.forget()
}

// whileConcurrent repeats a step while the coordinator still writes the markers of the last transaction.
func (t *Transactor) whileConcurrent(ctx context.Context, step func() error) error {
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(concurrentPause), backoff.WithMaxInterval(maxConcurrentPause),
		backoff.WithMultiplier(1.1), backoff.WithMaxElapsedTime(0))
	return backoff.Retry(func() error {
		err := step()
		if err != nil && !errors.Is(err, kafka.ConcurrentTransactions) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(pause, ctx))
}

// retry repeats a step until it succeeds, fails for good, or ctx ends.
func (t *Transactor) retry(ctx context.Context, what string, step func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(metadataTTL), backoff.WithMaxElapsedTime(t.cluster.patience))
	began := time.Now()
	return backoff.RetryNotify(func() error {
		if t.over != nil {
			return backoff.Permanent(t.over)
		}
		err := step(ctx)
		if err != nil {
			t.forget()
		}
		by := overBy(err)
		if errors.Is(by, ErrFenced) && time.Since(began) >= t.timeout {
			by = ErrExpired // what the brokers abort for its age they fence, too
		}
		if by != nil {
			t.over = fmt.Errorf("%w: %w", by, err)
			return backoff.Permanent(t.over)
		}
		if Permanent(err) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(pause, ctx), func(err error, wait time.Duration) {
		t.log.Warn().Err(err).Str("step", what).Dur("wait", wait).Str("hint", hintPasses).Msg("the transaction failed, trying again")
	})
}

// coded makes an error of a code of the protocol; nil for none.
func coded(what string, code int16) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", what, kafka.Error(code))
}

// operationNotAttempted is OPERATION_NOT_ATTEMPTED, which kafka-go calls otherwise.
const operationNotAttempted kafka.Error = 55

// overBy returns why this process must not go on as who it was; nil: it may.
func overBy(err error) error {
	var code kafka.Error
	switch {
	case errors.Is(err, ErrUnknownOutcome):
		return ErrUnknownOutcome
	case !errors.As(err, &code):
		return nil
	}
	switch code {
	case kafka.InvalidProducerEpoch, kafka.ProducerFenced, kafka.InvalidProducerIDMapping:
		return ErrFenced
	case kafka.IllegalGeneration, kafka.UnknownMemberId, kafka.FencedInstanceID:
		return ErrGenerationOver
	}
	return nil
}

// passes tells the coordinator's errors after which the same is to be asked again.
func passes(code kafka.Error) bool {
	switch code {
	case kafka.ConcurrentTransactions, kafka.RequestTimedOut, kafka.NetworkException:
		return true
	}
	return unready(code)
}

// rewind makes all records wait to be sent again.
func (r *Records) rewind() {
	for _, p := range r.partitions {
		p.sent = 0
	}
}
