// Package logging is where the lines of a log go: those that repeat are summarised, and the level changes while the program
// runs. What a line says is left to who logs it.
package logging

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"consentd/config"
)

// Log is a log and what can be changed of it. Safe for concurrent use.
type Log struct {
	// Logger is what to log with.
	Logger zerolog.Logger
	// Level is the least severe level that is written. It counts for Logger and all that are made of it.
	Level   *Level
	repeats *repeats
}

// New returns a log that writes to out as the configuration says, one line at a time; the zero configuration means info and
// JSON. The first line of its kind is written at once, those that repeat it are counted: see repeats. Who calls it calls Close.
func New(cfg config.Log, out io.Writer) *Log {
	if cfg.Format == "console" {
		out = zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly, NoColor: !isTerminal(out)}
	}
	r := newRepeats(out)
	level := newLevel(cfg.Level)
	logger := zerolog.New(r).Level(zerolog.DebugLevel).Sample(level).With().Timestamp().Logger()
	level.log = logger
	return &Log{Logger: logger, Level: level, repeats: r}
}

// isTerminal tells whether a person looks at it: in files and pipes colours are only noise.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}

// Close writes what was counted and not yet told. Lines that are logged later are all written, at once.
func (l *Log) Close() { _ = l.repeats.Close() }
