package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nobody is a producer id that no producer was ever given: they are counted from 0.
const nobody = 1<<62 - 1

// MayTransact tells whether this client may publish in transactions under an id: nil, or why not. It changes nothing, and
// disturbs nobody who uses the id: it asks to abort a transaction that can't exist, which is refused for want of the right or
// for want of the transaction. It waits for a coordinator that is not ready: a cluster's first transaction makes the topic
// of the brokers that keeps transactions.
func (c *Cluster) MayTransact(ctx context.Context, id string) error {
	return whenReady(ctx, func() error { return c.mayTransact(ctx, id) })
}

func (c *Cluster) mayTransact(ctx context.Context, id string) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.Commit = id, nobody, false
	co := &coordinator{cluster: c, kind: ofTransactions}
	r, err := co.send(ctx, id, req, endTxnVersion)
	if err != nil {
		return err
	}
	switch err := kafka.Error(r.(*kmsg.EndTxnResponse).ErrorCode); {
	case err == 0, errors.Is(err, kafka.InvalidProducerIDMapping), errors.Is(err, kafka.InvalidTransactionState):
		return nil
	default:
		return fmt.Errorf("transactional id %s: %w", id, err)
	}
}
