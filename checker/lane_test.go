package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"consentd/schemas"
)

// start is some time: a lane knows no clock.
var start = time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)

// numbered is a lane that numbers its questions from 0, pairs and rooms apart, and says calls as texts: "p0 p1" or "r0".
type numbered struct {
	lane
	policy               policy
	pairsMade, roomsMade int
}

func newLane(size, concurrency int) *numbered {
	return &numbered{policy: policy{size: size, linger: 20 * time.Millisecond, concurrency: concurrency}}
}

func (l *numbered) addPairs(n int, since time.Time) {
	for range n {
		l.add(&Question{Conversation: schemas.Conversation{Kind: schemas.Single, ExternalUserID: fmt.Sprint("p", l.pairsMade)}, since: since})
		l.pairsMade++
	}
}

func (l *numbered) addRooms(n int, since time.Time) {
	for range n {
		l.add(&Question{Conversation: schemas.Conversation{Kind: schemas.Room, ChatID: fmt.Sprint("r", l.roomsMade)}, since: since})
		l.roomsMade++
	}
}

func say(questions []*Question) string {
	var names []string
	for _, q := range questions {
		names = append(names, q.Conversation.ExternalUserID+q.Conversation.ChatID)
	}
	return strings.Join(names, " ")
}

// callsNow takes all calls that may be made now, none of which ends.
func (l *numbered) callsNow(now time.Time) []string {
	var calls []string
	for q := l.next(&l.policy, now); q != nil; q = l.next(&l.policy, now) {
		calls = append(calls, say(q))
	}
	return calls
}

func expectCalls(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: calls %q, want %q", when, got, want)
	}
}

func TestLane_FullBatchesGoAtOnceAndTheRestLingers(t *testing.T) {
	t.Parallel()
	l := newLane(3, 5)
	l.addPairs(2, start)
	expectCalls(t, "not full", l.callsNow(start))
	l.addPairs(6, start.Add(5*time.Millisecond))
	expectCalls(t, "full twice", l.callsNow(start.Add(5*time.Millisecond)), "p0 p1 p2", "p3 p4 p5")
	expectCalls(t, "just before the rest is due", l.callsNow(start.Add(25*time.Millisecond-1)))
	expectCalls(t, "the rest is due", l.callsNow(start.Add(25*time.Millisecond)), "p6 p7")
	expectCalls(t, "nothing waits", l.callsNow(start.Add(time.Hour)))
}

func TestLane_TheOldestOfABatchSaysWhenItIsDue(t *testing.T) {
	t.Parallel()
	l := newLane(100, 5)
	l.addPairs(1, start)
	l.addPairs(1, start.Add(19*time.Millisecond))
	if got, want := l.due(&l.policy), start.Add(20*time.Millisecond); !got.Equal(want) {
		t.Errorf("due %v, want %v", got, want)
	}
	expectCalls(t, "due", l.callsNow(start.Add(20*time.Millisecond)), "p0 p1")
}

func TestLane_WithoutALingerNothingWaits(t *testing.T) {
	t.Parallel()
	l := newLane(100, 5)
	l.policy.linger = 0
	l.addPairs(2, start)
	expectCalls(t, "at once", l.callsNow(start), "p0 p1")
}

func TestLane_RoomsGoAtOnceOneACall(t *testing.T) {
	t.Parallel()
	l := newLane(100, 5)
	l.addPairs(1, start)
	l.addRooms(2, start)
	expectCalls(t, "the pair lingers", l.callsNow(start), "r0", "r1")
	expectCalls(t, "the pair is due", l.callsNow(start.Add(20*time.Millisecond)), "p0")
}

func TestLane_RoomsAndPairsTakeTurns(t *testing.T) {
	t.Parallel()
	l := newLane(2, 100)
	l.addPairs(6, start)
	l.addRooms(5, start)
	got := l.callsNow(start)
	expectCalls(t, "both wait", got, "p0 p1", "r0", "p2 p3", "r1", "p4 p5", "r2", "r3", "r4")
}

func TestLane_NoMoreCallsThanTheCorpsConcurrency(t *testing.T) {
	t.Parallel()
	l := newLane(1, 2)
	l.addPairs(3, start)
	l.addRooms(3, start)
	expectCalls(t, "two at once", l.callsNow(start), "p0", "r0")
	l.calls--
	expectCalls(t, "one ended", l.callsNow(start), "p1")
	expectCalls(t, "none ended", l.callsNow(start.Add(time.Hour)))
}

func TestLane_WhatIsAskedAgainGoesFirst(t *testing.T) {
	t.Parallel()
	l := newLane(2, 5)
	l.addPairs(2, start)
	missing := l.next(&l.policy, start)[1]
	l.addPairs(1, start.Add(time.Millisecond))
	l.again(missing)
	expectCalls(t, "with the next", l.callsNow(start.Add(time.Millisecond)), "p1 p2")
}

func TestLane_HalvesOfASplitBatchGoFirstEachACall(t *testing.T) {
	t.Parallel()
	l := newLane(5, 2)
	l.addPairs(5, start)
	batch := l.next(&l.policy, start)
	l.addPairs(5, start)
	l.addRooms(1, start)
	l.split(batch)
	l.calls--
	expectCalls(t, "the halves", l.callsNow(start), "p0 p1", "p2 p3 p4")
	l.calls = 0
	expectCalls(t, "then the others", l.callsNow(start), "r0", "p5 p6 p7 p8 p9")
}

func TestLane_LosesNothingAndKeepsToItsPolicy(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLane(rapid.IntRange(1, 5).Draw(t, "size"), rapid.IntRange(1, 3).Draw(t, "concurrency"))
		now := start
		var pairs, rooms []*Question // the model: what waits, in order
		var inFlight [][]*Question
		take := func(t *rapid.T) bool {
			mayCall := len(inFlight) < l.policy.concurrency
			due := len(pairs) > 0 && !now.Before(pairs[0].since.Add(l.policy.linger))
			ready := len(pairs) >= l.policy.size || due
			questions := l.next(&l.policy, now)
			if (questions != nil) != (mayCall && (ready || len(rooms) > 0)) {
				t.Fatalf("took %q with %d calls, %d pairs and %d rooms", say(questions), len(inFlight), len(pairs), len(rooms))
			}
			if questions == nil {
				return false
			}
			inFlight = append(inFlight, questions)
			queue, want := &pairs, min(l.policy.size, len(pairs))
			if questions[0].Conversation.Kind == schemas.Room {
				queue, want = &rooms, 1
			} else if !ready {
				t.Fatalf("took %q, neither full nor due", say(questions))
			}
			if !slices.Equal(questions, (*queue)[:want]) {
				t.Fatalf("took %q, waiting are %q", say(questions), say(*queue))
			}
			*queue = slices.Clone((*queue)[want:])
			return true
		}
		t.Repeat(map[string]func(*rapid.T){
			"pairs": func(t *rapid.T) {
				l.addPairs(rapid.IntRange(1, 7).Draw(t, "pairs"), now)
				pairs = append(pairs, l.singles[len(pairs):]...)
			},
			"rooms": func(t *rapid.T) {
				l.addRooms(rapid.IntRange(1, 3).Draw(t, "rooms"), now)
				rooms = append(rooms, l.rooms[len(rooms):]...)
			},
			"time":  func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(1, 25).Draw(t, "ms")) * time.Millisecond) },
			"calls": func(t *rapid.T) { take(t) },
			"a call ends": func(t *rapid.T) {
				if len(inFlight) == 0 {
					t.Skip("none is in flight")
				}
				i := rapid.IntRange(0, len(inFlight)-1).Draw(t, "call")
				if q := inFlight[i][0]; q.Conversation.Kind == schemas.Single && rapid.Bool().Draw(t, "first is missing") {
					l.again(q)
					pairs = append([]*Question{q}, pairs...)
				}
				inFlight = slices.Delete(inFlight, i, i+1)
				l.calls--
			},
		})
		for now = now.Add(time.Hour); len(pairs)+len(rooms) > 0; {
			if !take(t) {
				inFlight, l.calls = nil, 0
			}
		}
		if inFlight, l.calls = nil, 0; !l.idle() {
			t.Fatalf("not idle: %q %q", say(l.singles), say(l.rooms))
		}
	})
}
