package checker

import (
	"time"

	"github.com/cenkalti/backoff/v4"

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

// Ended is a question with its outcome, which came at At.
type Ended struct {
	Question *Question
	Outcome  Outcome
	At       time.Time
}

// batch is the questions of one call: pairs, or one room.
type batch struct {
	questions []*Question
	// began is when the first of its calls that failed was made, notBefore when it may be called again, pause what follows
	// each failure; they are zero while none has failed.
	began, notBefore time.Time
	pause            *backoff.ExponentialBackOff
	// unknown counts errcodes that nobody documented.
	unknown int
}
