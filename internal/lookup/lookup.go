package lookup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"consentd/internal/broker"
	"consentd/schemas"
)

// Entry is what is known of a conversation.
type Entry struct {
	Conversation schemas.Conversation
	schemas.Status
}

// Consented tells whether it is consent: of a pair when the word is Agree, of a room when it has members and all agree.
func (e *Entry) Consented() bool {
	if e.Conversation.Kind == schemas.Single {
		return e.AgreeStatus == schemas.Agree
	}
	return len(e.Members) > 0 && !slices.ContainsFunc(e.Members, func(m schemas.Member) bool { return m.AgreeStatus != schemas.Agree })
}

// Filter selects entries; what is empty selects all.
type Filter struct {
	Corps []string
	Kind  schemas.Kind
	// OpenUserID selects pairs of this staff member, ExternalUserID pairs with this customer and rooms with this member, ChatID
	// the room.
	OpenUserID, ExternalUserID, ChatID string
	// AgreeStatus selects pairs with this word, and rooms in which a member has it.
	AgreeStatus string
	// CheckedBefore selects those whose checked_at is earlier.
	CheckedBefore time.Time
}

func (f Filter) match(e *Entry) bool {
	return (len(f.Corps) == 0 || slices.Contains(f.Corps, e.Conversation.CorpID)) &&
		(f.Kind == "" || f.Kind == e.Conversation.Kind) && f.matchIDs(e) &&
		(f.AgreeStatus == "" || f.AgreeStatus == e.AgreeStatus ||
			slices.ContainsFunc(e.Members, func(m schemas.Member) bool { return m.AgreeStatus == f.AgreeStatus })) &&
		(f.CheckedBefore.IsZero() || e.CheckedAt.Before(f.CheckedBefore))
}

func (f Filter) matchIDs(e *Entry) bool {
	c := &e.Conversation
	return (f.OpenUserID == "" || f.OpenUserID == c.OpenUserID) && (f.ChatID == "" || f.ChatID == c.ChatID) &&
		(f.ExternalUserID == "" || f.ExternalUserID == c.ExternalUserID ||
			slices.ContainsFunc(e.Members, func(m schemas.Member) bool { return m.ExternalUserID == f.ExternalUserID }))
}

// Topic is the status topic of a cluster.
type Topic struct {
	Cluster *broker.Cluster
	Name    string
	Log     zerolog.Logger
}

// One returns what is known of a conversation; nil: nothing. It reads the partition of the corp alone.
func (t Topic) One(ctx context.Context, c schemas.Conversation) (*Entry, error) {
	place, err := t.place(ctx)
	if err != nil {
		return nil, err
	}
	key := c.Key()
	var value []byte
	err = t.Cluster.ReadToEnd(ctx, []broker.TopicPartition{{Topic: t.Name, Partition: place.Partition([]byte(c.CorpID))}}, t.Log,
		func(_ broker.TopicPartition, r *broker.Record) error {
			if string(r.Key) == key {
				value = slices.Clone(r.Value)
			}
			return nil
		})
	if err != nil || value == nil {
		return nil, err
	}
	return decode(key, value)
}

// Each hands over what is known of the conversations that the filter selects, by partition and key. Of corps only their
// partitions are read. One partition at a time is held in memory. Records that are no status are logged and passed over.
func (t Topic) Each(ctx context.Context, f Filter, take func(*Entry) error) error {
	place, err := t.place(ctx)
	if err != nil {
		return err
	}
	partitions := make(map[int32]bool)
	for _, corp := range f.Corps {
		partitions[place.Partition([]byte(corp))] = true
	}
	for p := range place.Count() {
		if len(partitions) > 0 && !partitions[p] {
			continue
		}
		if err := t.eachOf(ctx, p, f, take); err != nil {
			return err
		}
	}
	return nil
}

func (t Topic) eachOf(ctx context.Context, partition int32, f Filter, take func(*Entry) error) error {
	last := make(map[string][]byte)
	err := t.Cluster.ReadToEnd(ctx, []broker.TopicPartition{{Topic: t.Name, Partition: partition}}, t.Log, func(_ broker.TopicPartition, r *broker.Record) error {
		if r.Value == nil {
			delete(last, string(r.Key))
		} else {
			last[string(r.Key)] = slices.Clone(r.Value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(last)) {
		e, err := decode(key, last[key])
		if err != nil {
			t.Log.Warn().Err(err).Stringer("partition", broker.TopicPartition{Topic: t.Name, Partition: partition}).
				Str("hint", "find out who else writes to this topic").Msg("a record is no status: passed over")
			continue
		}
		if !f.match(e) {
			continue
		}
		if err := take(e); err != nil {
			return err
		}
	}
	return nil
}

func (t Topic) place(ctx context.Context) (broker.Partitioner, error) {
	n, err := t.Cluster.PartitionCount(ctx, t.Name)
	if err != nil {
		return broker.Partitioner{}, err
	}
	return broker.NewPartitioner(n), nil
}

func decode(key string, value []byte) (*Entry, error) {
	c, err := schemas.ParseKey(key)
	if err != nil {
		return nil, err
	}
	s, err := schemas.DecodeStatus(c.Kind, value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return &Entry{c, s}, nil
}
