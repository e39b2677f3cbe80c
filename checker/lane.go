package checker

import (
	"time"

	"consentd/schemas"
)

// Question is a conversation to ask the API about, once, for all who wait for it.
type Question struct {
	Conversation schemas.Conversation
	Hash         schemas.Hash
	Waiters      []Waiter

	since    time.Time
	asked    int // replies that came without it
	attempts int // calls made
	first    [1]Waiter
}

// Waiter is an item of a request that waits for an answer.
type Waiter struct {
	Request *Request
	Item    int
}

// lane is a corp's own way to the API: its queues and its calls. It is a plain value without a clock or a goroutine.
type lane struct {
	corpID  string
	singles []*Question
	rooms   []*Question
	// parts are halves of batches that failed for one of their items: each is a call, before all others.
	parts [][]*Question
	// calls in flight; never more than the corp's concurrency.
	calls int
	// roomsNext: rooms and pairs take turns.
	roomsNext bool
	// place in the checker's heap of lanes that linger; -1: not there.
	place int
}

// policy says when a batch is full, and how long one that is not may linger.
type policy struct {
	size        int
	linger      time.Duration
	concurrency int
}

func (l *lane) add(q *Question) {
	if q.Conversation.Kind == schemas.Room {
		l.rooms = append(l.rooms, q)
	} else {
		l.singles = append(l.singles, q)
	}
}

// again puts a question before the others: it has waited already.
func (l *lane) again(q *Question) { l.singles = append([]*Question{q}, l.singles...) }

// split asks for the two halves of a batch apart.
func (l *lane) split(questions []*Question) {
	middle := len(questions) / 2
	l.parts = append(l.parts, questions[:middle:middle], questions[middle:])
}

func (l *lane) idle() bool {
	return l.calls == 0 && len(l.parts) == 0 && len(l.singles) == 0 && len(l.rooms) == 0
}

// due is when the pairs that wait are to be sent, full batch or not.
func (l *lane) due(p *policy) time.Time { return l.singles[0].since.Add(p.linger) }

// next takes the questions of one call, nil when there is no call to make now. Only a batch that is full or due is taken.
func (l *lane) next(p *policy, now time.Time) []*Question {
	if l.calls >= p.concurrency {
		return nil
	}
	if len(l.parts) > 0 {
		part := l.parts[0]
		l.parts = l.parts[1:]
		l.calls++
		return part
	}
	ready := len(l.singles) >= p.size || len(l.singles) > 0 && !now.Before(l.due(p))
	queue, n := &l.singles, min(p.size, len(l.singles))
	switch {
	case len(l.rooms) > 0 && (l.roomsNext || !ready):
		queue, n = &l.rooms, 1
		l.roomsNext = false
	case ready:
		l.roomsNext = true
	default:
		return nil
	}
	taken := (*queue)[:n:n]
	*queue = (*queue)[n:]
	l.calls++
	return taken
}

// lingering orders lanes by when their batch is due.
type lingering struct {
	lanes  []*lane
	policy *policy
}

func (h *lingering) Len() int { return len(h.lanes) }
func (h *lingering) Less(i, j int) bool {
	return h.lanes[i].due(h.policy).Before(h.lanes[j].due(h.policy))
}

func (h *lingering) Swap(i, j int) {
	h.lanes[i], h.lanes[j] = h.lanes[j], h.lanes[i]
	h.lanes[i].place, h.lanes[j].place = i, j
}

func (h *lingering) Push(x any) {
	l := x.(*lane)
	l.place = len(h.lanes)
	h.lanes = append(h.lanes, l)
}

func (h *lingering) Pop() any {
	l := h.lanes[len(h.lanes)-1]
	h.lanes = h.lanes[:len(h.lanes)-1]
	l.place = -1
	return l
}
