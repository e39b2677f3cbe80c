package bulk

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"consentd/internal/broker"
	"consentd/internal/gather"
	"consentd/internal/lookup"
	"consentd/schemas"
)

// Target says where requests are published to, and how.
type Target struct {
	Cluster *broker.Cluster
	Topic   string
	// Headers are those of each request.
	Headers []schemas.Header
	// IDPrefix begins the requests' ids, which are numbered; empty: they have none.
	IDPrefix string
	// Rate is how many conversations a second are asked about; 0: as many as can be.
	Rate float64
	// Progress is told how many conversations are asked about so far; nil: nobody is told.
	Progress func(done int)
	Log      zerolog.Logger
}

// Published says what was published, acknowledged by all in-sync replicas.
type Published struct {
	Requests      int `json:"requests"`
	Conversations int `json:"conversations"`
}

// Publish publishes requests about the conversations of a selection, keyed by their corps. See, if it is not nil, is shown each
// conversation. What is published is returned beside an error too; ctx ends it between two requests.
func Publish(ctx context.Context, topic lookup.Topic, s Selection, to Target, see func(schemas.Conversation)) (Published, error) {
	count, err := to.Cluster.PartitionCount(ctx, to.Topic)
	if err != nil {
		return Published{}, err
	}
	p := &publication{to: to, partitioner: broker.NewPartitioner(count), limit: limiter(to.Rate)}
	requests := gather.New(to.IDPrefix)
	err = s.each(ctx, topic, func(e *lookup.Entry) error {
		if s.Known != nil && !s.Known(e.Conversation.CorpID) {
			return nil
		}
		if see != nil {
			see(e.Conversation)
		}
		if r, ok := requests.Add(e.Conversation); ok {
			return p.publish(ctx, r)
		}
		return nil
	})
	for _, r := range requests.Flush() {
		if err != nil {
			break
		}
		err = p.publish(ctx, r)
	}
	return p.done, err
}

// publishTimeout is for how long one request is tried to be published.
const publishTimeout = 30 * time.Second

type publication struct {
	to          Target
	partitioner broker.Partitioner
	limit       *rate.Limiter
	records     broker.Records
	done        Published
}

func (p *publication) publish(ctx context.Context, r gather.Request) error {
	if err := p.limit.WaitN(ctx, r.Items); err != nil {
		return err
	}
	key := []byte(r.CorpID)
	p.records.Reset()
	p.records.Append(broker.TopicPartition{Topic: p.to.Topic, Partition: p.partitioner.Partition(key)}, key, r.Value, p.to.Headers, time.Now())
	// A request that is being published when ctx ends is let through: so that what is said to be published is.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if err := p.to.Cluster.Produce(ctx, &p.records, p.to.Log); err != nil {
		return fmt.Errorf("publishing to %s: %w", p.to.Topic, err)
	}
	p.done.Requests++
	p.done.Conversations += r.Items
	if p.to.Progress != nil {
		p.to.Progress(p.done.Conversations)
	}
	return nil
}

// limiter keeps the rate, from the start on: its burst, which a whole request must fit into, is used up.
func limiter(perSecond float64) *rate.Limiter {
	if perSecond == 0 {
		return rate.NewLimiter(rate.Inf, math.MaxInt)
	}
	limit := rate.NewLimiter(rate.Limit(perSecond), pairsPerCall)
	limit.AllowN(time.Now(), pairsPerCall)
	return limit
}
