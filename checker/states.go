package checker

import (
	"time"

	"consentd/schemas"
)

// LaneState says how a corp is.
type LaneState struct {
	CorpID string
	// State is one of LaneStates: working, when something is asked or waits to be; failing, while calls fail in a way that
	// passes; paused, while the API refuses calls for a time; stopped, until a person has helped.
	State string
	// Failure is why it fails, is paused or is stopped; nil: it is well.
	Failure *schemas.Failure
}

// Stopped is the state of a corp whose calls need a person.
const Stopped = "stopped"

const (
	stateIdle    = "idle"
	stateWorking = "working"
	stateFailing = "failing"
	statePaused  = "paused"
)

// LaneStates returns the states that a corp can be in.
func LaneStates() []string {
	return []string{stateIdle, stateWorking, stateFailing, statePaused, Stopped}
}

// States returns how each corp is that was asked about lately, and whether the API is down for all.
func (c *Checker) States(now time.Time) (lanes []LaneState, outage bool) {
	for _, l := range c.lanes {
		lanes = append(lanes, l.state(now))
	}
	return lanes, c.outage.down
}

// Starving returns how many lanes stand in line for a call of the budget that all share, one that waits for both kinds of
// calls twice.
func (c *Checker) Starving() int {
	n := 0
	for k := range c.starving {
		n += len(c.starving[k])
	}
	return n
}

func (l *lane) state(now time.Time) LaneState {
	s := LaneState{CorpID: l.corpID}
	paused := l.pausedAt(now)
	switch {
	case l.halt != nil:
		s.State, s.Failure = Stopped, l.halt.failure
	case paused != nil:
		s.State, s.Failure = statePaused, paused
	case !l.failing.IsZero():
		s.State, s.Failure = stateFailing, l.trouble
	case l.idle():
		s.State = stateIdle
	default:
		s.State = stateWorking
	}
	return s
}

// pausedAt returns why calls of one kind are paused; nil: they are not.
func (l *lane) pausedAt(now time.Time) *schemas.Failure {
	for k := range l.queues {
		if q := &l.queues[k]; q.pausedUntil.After(now) {
			return q.paused
		}
	}
	return nil
}
