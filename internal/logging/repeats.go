package logging

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// Lines that repeat are counted for firstPause, then for longPause, then again and again for longestPause, and told
	// together at its end. Infos are counted for firstPause only: they tell that things are well again.
	firstPause   = 10 * time.Second
	longPause    = time.Minute
	longestPause = 10 * time.Minute
	// forgetAfter is how long a kind of line must be absent to be news again.
	forgetAfter = 10 * time.Minute
	// maxSubjects is how many subjects have an account of their own for each message. Further ones share one: 10,000 corps
	// that fail alike are not 10,000 lines.
	maxSubjects = 10
	// maxMessages is how many messages have accounts, more than the program has. Further ones share one for each level.
	maxMessages = 100
)

// repeats stands between a logger and its output. Of the lines of info, warn and error that repeat each other the first is
// written at once as it is. Further ones are counted, and told at growing intervals by the newest of them, with "repeated",
// how many it stands for, and "since", when the first of these came. "mixed" says that they are about different subjects:
// what the line says of its own is true of the newest alone. Safe for concurrent use; no goroutine waits.
type repeats struct {
	mu  sync.Mutex
	out zerolog.LevelWriter
	// accounts has an entry for each kind of line that came lately; subjects counts them by message.
	accounts map[kind]*account
	subjects map[kind]int
	swept    time.Time
	// timer tells what was counted, at wake; zero: nothing is to be told.
	timer  *time.Timer
	wake   time.Time
	closed bool
}

// account is what there is to tell of a kind of line.
type account struct {
	// of is the kind of its message, to which it counts in repeats.subjects; empty: to none.
	of    kind
	level zerolog.Level
	// told is how many times a line was written since it was news, until is when the next may be; last is when the newest came.
	told        int
	until, last time.Time
	// Of the lines that were not written: how many, when the first came, the newest, and whether their subjects differ.
	count int
	since time.Time
	line  []byte
	mixed bool
}

func newRepeats(out io.Writer) *repeats {
	return &repeats{out: zerolog.LevelWriterAdapter{Writer: out}, accounts: make(map[kind]*account), subjects: make(map[kind]int)}
}

// Write writes what has no level.
func (r *repeats) Write(line []byte) (int, error) { return r.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel writes a line, or counts it.
func (r *repeats) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || level < zerolog.InfoLevel || level > zerolog.ErrorLevel {
		return r.out.WriteLevel(level, line)
	}
	now := time.Now()
	a, mixed := r.account(level, line, now)
	if a == nil {
		return r.out.WriteLevel(level, line)
	}
	if now.Sub(a.last) >= forgetAfter {
		a.told = 0
	}
	a.last = now
	if a.count == 0 && !now.Before(a.until) {
		a.rest(now)
		return r.out.WriteLevel(level, line)
	}
	if a.count == 0 {
		a.since = now
		r.wakeAt(a.until)
	}
	a.count++
	a.line = append(a.line[:0], line...)
	a.mixed = a.mixed || mixed
	return len(line), nil
}

// account returns the account that a line belongs to, nil: to none; and whether lines about other subjects do, too.
func (r *repeats) account(level zerolog.Level, line []byte, now time.Time) (a *account, mixed bool) {
	exact, message, severity, ok := kinds(level, line)
	if !ok {
		return nil, false
	}
	if a := r.accounts[exact]; a != nil {
		return a, false
	}
	if now.Sub(r.swept) >= firstPause {
		r.sweep(now)
	}
	n, known := r.subjects[message]
	switch {
	case n < maxSubjects && (known || len(r.subjects) < maxMessages):
		r.subjects[message]++
		a = &account{of: message, level: level}
		r.accounts[exact] = a
		return a, false
	case known:
		exact = message
	default:
		exact = severity
	}
	if a = r.accounts[exact]; a == nil {
		a = &account{level: level}
		r.accounts[exact] = a
	}
	return a, true
}

// sweep forgets what has not come for long.
func (r *repeats) sweep(now time.Time) {
	r.swept = now
	maps.DeleteFunc(r.accounts, func(_ kind, a *account) bool {
		if a.count > 0 || now.Sub(a.last) < forgetAfter {
			return false
		}
		if a.of != "" {
			if r.subjects[a.of]--; r.subjects[a.of] == 0 {
				delete(r.subjects, a.of)
			}
		}
		return true
	})
}

// rest notes that a line was written.
func (a *account) rest(now time.Time) {
	pause := longestPause
	switch {
	case a.told == 0 || a.level == zerolog.InfoLevel:
		pause = firstPause
	case a.told == 1:
		pause = longPause
	}
	a.told++
	a.until = now.Add(pause)
	a.count, a.mixed = 0, false
}

func (r *repeats) wakeAt(at time.Time) {
	if !r.wake.IsZero() && !at.Before(r.wake) {
		return
	}
	r.wake = at
	if r.timer == nil {
		r.timer = time.AfterFunc(time.Until(at), r.onTimer)
	} else {
		r.timer.Reset(time.Until(at))
	}
}

func (r *repeats) onTimer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	now := time.Now()
	r.tell(now, func(a *account) bool { return !now.Before(a.until) })
	r.wake = time.Time{}
	for _, a := range r.accounts {
		if a.count > 0 {
			r.wakeAt(a.until)
		}
	}
}

// tell writes what was counted of those accounts, in the order of their newest lines.
func (r *repeats) tell(now time.Time, which func(*account) bool) {
	var due []*account
	for _, a := range r.accounts {
		if a.count > 0 && which(a) {
			due = append(due, a)
		}
	}
	slices.SortFunc(due, func(a, b *account) int { return cmp.Or(a.last.Compare(b.last), bytes.Compare(a.line, b.line)) })
	for _, a := range due {
		_, _ = r.out.WriteLevel(a.level, a.summary()) // nobody is left to tell when it can't be written
		a.rest(now)
	}
}

// summary is the newest line, and how many it stands for.
func (a *account) summary() []byte {
	line := bytes.TrimSuffix(a.line, []byte("}\n"))
	line = append(line, `,"repeated":`...)
	line = strconv.AppendInt(line, int64(a.count), 10)
	line = append(line, `,"since":"`...)
	line = a.since.AppendFormat(line, time.RFC3339)
	line = append(line, '"')
	if a.mixed {
		line = append(line, `,"mixed":true`...)
	}
	return append(line, "}\n"...)
}

// Close tells what was counted. What is written later is written at once. zerolog closes its writer before a fatal line
// ends the process.
func (r *repeats) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.tell(time.Now(), func(*account) bool { return true })
	return nil
}
