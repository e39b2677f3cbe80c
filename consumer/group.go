package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"consentd/internal/broker"
)

// Config says how the group is joined.
type Config struct {
	// Group is the consumer group's id.
	Group string
	// Requests is the topic whose partitions the group shares, Own are those of the group itself that it reads besides, each
	// from its beginning.
	Requests string
	Own      []string
	// Start is where a group that never committed begins with the requests.
	Start Start
	// SessionTimeout is how long a member may be silent, RebalanceTimeout how long it may take to join again.
	SessionTimeout, RebalanceTimeout time.Duration
	HeartbeatInterval                time.Duration
	// FetchBytes bounds what is fetched ahead, per broker.
	FetchBytes int32
}

// Start is where a group that never committed begins.
type Start string

// The two ends of the log.
const (
	StartEarliest Start = "earliest"
	StartLatest   Start = "latest"
)

// joinBackoff is how long to wait after a join that failed; the library's default of 5 s makes a restarted broker wait.
const joinBackoff = time.Second

// partitionBytes is small, so that what is in flight is a mix of all partitions, and so of many corps: batches fill.
const partitionBytes = 64 << 10

// Run joins the group and calls work with each generation, one after the other, until ctx ends or work returns an error;
// then it leaves the group. The generation lasts until its Revoked ends; work must return soon after that, with what it
// holds published or given up. When work returns nil before, the group is joined anew.
func Run(ctx context.Context, cluster *broker.Cluster, cfg Config, log zerolog.Logger, work func(context.Context, *Generation) error) error {
	shares := &balancer{}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                cfg.Group,
		Brokers:           cluster.Brokers(),
		Dialer:            cluster.Dialer(),
		Topics:            append([]string{cfg.Requests}, cfg.Own...),
		GroupBalancers:    []kafka.GroupBalancer{shares},
		HeartbeatInterval: cfg.HeartbeatInterval,
		SessionTimeout:    cfg.SessionTimeout,
		RebalanceTimeout:  cfg.RebalanceTimeout,
		JoinGroupBackoff:  joinBackoff,
		Timeout:           5 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("consumer group %s: %w", cfg.Group, err)
	}
	defer leave(group)
	for {
		next, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			// The library tries again by itself, after joinBackoff.
			log.Warn().Err(err).Str("group", cfg.Group).
				Str("hint", "normal for a moment after a broker's start; if it lasts, look at the brokers, and whether this user may use the group").
				Msg("joining the group was interrupted, trying again")
			continue
		}
		g := &Generation{
			cluster: cluster, config: cfg, log: log, revoked: make(chan struct{}),
			member:   broker.Member{Group: next.GroupID, Generation: next.ID, ID: next.MemberID},
			assigned: shares.joined(next.Assignments),
		}
		for topic, partitions := range next.Assignments {
			for _, p := range partitions {
				g.partitions = append(g.partitions, broker.TopicPartition{Topic: topic, Partition: int32(p.ID)})
			}
		}
		done := make(chan error, 1)
		next.Start(func(generation context.Context) {
			stop := context.AfterFunc(generation, g.revoke)
			defer stop()
			watching, stopWatching := context.WithCancel(generation)
			defer stopWatching()
			go g.watch(watching)
			done <- work(ctx, g)
		})
		if err := <-done; err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// leaveTimeout is how long leaving the group may take. Whoever is told to stop while it joins would else wait until the others,
// or a dead member's session timeout, let it.
const leaveTimeout = 5 * time.Second

// leave leaves the group.
func leave(group *kafka.ConsumerGroup) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = group.Close() // it only ever returns nil
	}()
	select {
	case <-left:
	case <-time.After(leaveTimeout):
	}
}

// Generation is this member's share of the topic until the next rebalance.
type Generation struct {
	cluster    *broker.Cluster
	config     Config
	log        zerolog.Logger
	member     broker.Member
	partitions []broker.TopicPartition
	// assigned has the partition counts that the generation was made of, on the member that made it.
	assigned map[string]int
	revoked  chan struct{}
	once     sync.Once
}

// Member is what commits of this generation are tied to.
func (g *Generation) Member() broker.Member { return g.member }

// Partitions are what this member has.
func (g *Generation) Partitions() []broker.TopicPartition { return g.partitions }

// Revoked is closed when the partitions are to be given back.
func (g *Generation) Revoked() <-chan struct{} { return g.revoked }

func (g *Generation) revoke() { g.once.Do(func() { close(g.revoked) }) }

// growthPause is how often is looked for new partitions.
const growthPause = 2 * time.Second

// watch has the generation end when a topic has more partitions than were assigned.
func (g *Generation) watch(ctx context.Context) {
	for {
		for topic, assigned := range g.assigned {
			n, err := g.cluster.PartitionCount(ctx, topic)
			if err == nil && int(n) > assigned {
				g.log.Info().Str("topic", topic).Int("assigned", assigned).Int32("partitions", n).
					Msg("the topic has new partitions: the group shares them out")
				g.revoke()
				return
			}
		}
		select {
		case <-time.After(growthPause):
		case <-ctx.Done():
			return
		}
	}
}

// Intake takes up what is fetched.
type Intake interface {
	// Wanted says which of the partitions are to be read now; see broker.FetchOptions.
	Wanted(ctx context.Context, tps []broker.TopicPartition) (wanted []broker.TopicPartition, wait time.Duration, err error)
	// Take is handed the records of a partition that was wanted. It keeps nothing of f, and may set f.Next back to the first
	// that it left.
	Take(ctx context.Context, f *broker.Fetched) error
}

// Fetch reads the partitions from the positions on; see broker.Cluster.Fetch.
func (g *Generation) Fetch(ctx context.Context, positions map[broker.TopicPartition]broker.Offset, in Intake) error {
	from := make(map[broker.TopicPartition]int64, len(positions))
	for tp, position := range positions {
		from[tp] = position.At
	}
	return g.cluster.Fetch(ctx, from, broker.FetchOptions{
		Wanted:            in.Wanted,
		MaxBytes:          g.config.FetchBytes,
		PartitionMaxBytes: min(g.config.FetchBytes, partitionBytes),
		OutOfRange:        g.outOfRange,
		Log:               g.log,
	}, in.Take)
}

const remade = "nothing to do if the topic was made anew; else find out who deletes its records"

// errOutOfRange is reported, never returned: reading goes on.
var errOutOfRange = errors.New("offset out of range")

// outOfRange goes on at the log's start when records were deleted before they were read, and at the configured start when
// the log ends before the position, as it does after the topic was made anew.
func (g *Generation) outOfRange(ctx context.Context, tp broker.TopicPartition, position int64) (int64, error) {
	one := []broker.TopicPartition{tp}
	start, err := g.cluster.Earliest(ctx, one)
	if err != nil {
		return 0, err
	}
	end, err := g.cluster.HighWatermarks(ctx, one)
	if err != nil {
		return 0, err
	}
	event := g.log.Error().Err(errOutOfRange).Stringer("partition", tp).Int64("position", position).
		Int64("log_start", start[tp]).Int64("log_end", end[tp])
	switch {
	case position < start[tp]:
		event.Int64("lost", start[tp]-position).Str("hint", "make the topic's retention longer than the daemon may be away, and have what was lost asked again").
			Msg("records were deleted before they were read: going on at the log's start")
		return start[tp], nil
	case position > end[tp] && tp.Topic == g.config.Requests && g.config.Start == StartLatest:
		event.Str("hint", remade+", and what stands in it now is asked again if it matters").
			Msg("the log ends before the committed offset: going on at its end (consumer.start: latest)")
		return 0, g.startOver(ctx, tp, end[tp])
	case position > end[tp]:
		event.Str("hint", remade).Msg("the log ends before the committed offset: going on at its start")
		return 0, g.startOver(ctx, tp, start[tp])
	}
	return position, nil // a follower that lags behind: ask again
}

// startOver commits where to go on in another log, and has the generation end: its account of the offsets is void.
func (g *Generation) startOver(ctx context.Context, tp broker.TopicPartition, at int64) error {
	if err := g.cluster.Commit(ctx, g.member, map[broker.TopicPartition]broker.Offset{tp: {At: at}}); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", tp, broker.ErrLogReplaced)
}
