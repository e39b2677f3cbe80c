package logging

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// Level is the least severe level that is written. Over HTTP it is read with GET and changed with PUT, whose body is one of
// Levels; it lasts until the process ends. A line that is not written costs an atomic load. Safe for concurrent use.
type Level struct {
	least atomic.Int32 // a zerolog.Level
	log   zerolog.Logger
}

// Levels returns the levels that there are, by their names, as log.level has them.
func Levels() []string {
	return []string{zerolog.LevelDebugValue, zerolog.LevelInfoValue, zerolog.LevelWarnValue, zerolog.LevelErrorValue}
}

// newLevel begins with a level of Levels; anything else is info.
func newLevel(name string) *Level {
	l := &Level{}
	level, ok := parse(name)
	if !ok {
		level = zerolog.InfoLevel
	}
	l.least.Store(int32(level))
	return l
}

func parse(name string) (level zerolog.Level, ok bool) {
	level, err := zerolog.ParseLevel(name)
	return level, err == nil && slices.Contains(Levels(), name)
}

// Sample tells zerolog whether a line of a level is written. That is asked before the line is made.
func (l *Level) Sample(level zerolog.Level) bool { return level >= l.now() }

func (l *Level) now() zerolog.Level { return zerolog.Level(l.least.Load()) }

// ServeHTTP answers with the level's name, after it was changed if the request asks for that.
func (l *Level) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		if err := l.change(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	fmt.Fprintln(w, l.now())
}

// maxBody is more than a level's name is long.
const maxBody = 64

func (l *Level) change(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	name := strings.TrimSpace(string(body))
	to, ok := parse(name)
	if err != nil || !ok {
		return fmt.Errorf("unknown level %.20q: want one of %s", name, strings.Join(Levels(), ", "))
	}
	from := zerolog.Level(l.least.Swap(int32(to)))
	// It is written whatever the level is: a log that falls silent says why.
	l.log.Log().Str(zerolog.LevelFieldName, zerolog.LevelInfoValue).Stringer("from", from).Stringer("to", to).
		Msg("the log level was changed: it lasts until the restart")
	return nil
}
