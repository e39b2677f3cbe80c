package logging_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"consentd/config"
	"consentd/internal/logging"
)

// setup runs a test in a bubble, with a log whose output says at what second of the test each line was written.
func setup(t *testing.T, level, format string, test func(t *testing.T, log *logging.Log, out *output)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		out := &output{began: time.Now()}
		log := logging.New(config.Log{Level: level, Format: format}, out)
		defer log.Close()
		test(t, log, out)
	})
}

type output struct {
	began time.Time
	mu    sync.Mutex
	b     strings.Builder
}

func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintf(&o.b, "%.0f %s", time.Since(o.began).Seconds(), line)
	return len(line), nil
}

// take returns what was written since it was last called, with the times of the lines as the time of day.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.b.String()
	o.b.Reset()
	zone := o.began.Format("Z07:00")
	return strings.ReplaceAll(strings.ReplaceAll(s, o.began.Format("2006-01-02T"), ""), zone+`"`, `"`)
}

// at is a time of the test as take shows it.
func (o *output) at(since time.Duration) string { return o.began.Add(since).Format(time.TimeOnly) }

func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	if w := strings.Join(lines, ""); got != w {
		t.Errorf("got:\n%s\nwant:\n%s", got, w)
	}
}

func TestLog_TellsRepeatsAtGrowingIntervalsByTheNewest(t *testing.T) {
	t.Parallel()
	setup(t, "info", "json", func(t *testing.T, log *logging.Log, out *output) {
		const step = 3 // seconds, so that nothing comes when something is told
		for i := 0; i < 1800; i += step {
			log.Logger.Warn().Err(fmt.Errorf("dial %d", i)).Msg("the cluster can't be reached")
			time.Sleep(step * time.Second)
		}
		line := func(written, newest int) string {
			return fmt.Sprintf(`%d {"level":"warn","error":"dial %d","time":"%s","message":"the cluster can't be reached"`,
				written, newest, out.at(time.Duration(newest)*time.Second))
		}
		told := func(written, newest, repeated, since int) string {
			return line(written, newest) + fmt.Sprintf(`,"repeated":%d,"since":"%s"}`+"\n", repeated, out.at(time.Duration(since)*time.Second))
		}
		want(t, out.take(), line(0, 0)+"}\n", told(10, 9, 3, 3), told(70, 69, 20, 12), told(670, 669, 200, 72), told(1270, 1269, 200, 672))
	})
}

func TestLog_WritesAtOnceWhatIsNotARepeat(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*zerolog.Event) *zerolog.Event{
		"another corp":       func(e *zerolog.Event) *zerolog.Event { return e.Str("corp_id", "ww2") },
		"another class":      func(e *zerolog.Event) *zerolog.Event { return e.Str("class", "token") },
		"another errcode":    func(e *zerolog.Event) *zerolog.Event { return e.Int("errcode", 40001) },
		"another provider":   func(e *zerolog.Event) *zerolog.Event { return e.Str("provider", "suite s1") },
		"another topic":      func(e *zerolog.Event) *zerolog.Event { return e.Str("topic", "b") },
		"another partition":  func(e *zerolog.Event) *zerolog.Event { return e.Str("partition", "a/1") },
		"another generation": func(e *zerolog.Event) *zerolog.Event { return e.Int32("generation", 2) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			setup(t, "info", "json", func(t *testing.T, log *logging.Log, out *output) {
				log.Logger.Warn().Msg("one")
				out.take()
				change(log.Logger.Warn()).Msg("one")
				if n := strings.Count(out.take(), "\n"); n != 1 {
					t.Errorf("%d lines, want 1", n)
				}
				change(log.Logger.Warn()).Msg("one")
				log.Logger.Warn().Str("error", "of another text").Msg("one")
				want(t, out.take())
			})
		})
	}
	setup(t, "info", "json", func(t *testing.T, log *logging.Log, out *output) {
		log.Logger.Warn().Msg("one")
		log.Logger.Error().Msg("one")
		log.Logger.Warn().Msg("two")
		if n := strings.Count(out.take(), "\n"); n != 3 {
			t.Errorf("%d lines of other levels and messages, want 3", n)
		}
		time.Sleep(11 * time.Minute)
		log.Logger.Warn().Msg("one")
		time.Sleep(11 * time.Second) // had it not been forgotten, it would rest for a minute
		log.Logger.Warn().Msg("one")
		want(t, out.take(),
			fmt.Sprintf(`660 {"level":"warn","time":"%s","message":"one"}`+"\n", out.at(660*time.Second)),
			fmt.Sprintf(`671 {"level":"warn","time":"%s","message":"one"}`+"\n", out.at(671*time.Second)))
	})
}

func TestLog_ManyCorpsThatFailAlikeAreFewLines(t *testing.T) {
	t.Parallel()
	setup(t, "info", "json", func(t *testing.T, log *logging.Log, out *output) {
		for i := range 10_000 {
			log.Logger.Error().Str("corp_id", fmt.Sprintf("ww%d", i)).Msg("the corp is stopped")
			log.Logger.Info().Str("corp_id", fmt.Sprintf("ww%d", i)).Msg("the corp works")
		}
		got := out.take()
		if n := strings.Count(got, "\n"); n != 22 || !strings.Contains(got, `"ww0"`) {
			t.Errorf("%d lines at once, want ten corps and one for all others, of both:\n%s", n, got)
		}
		time.Sleep(time.Hour)
		want(t, out.take(),
			fmt.Sprintf(`10 {"level":"error","corp_id":"ww9999","time":"%[1]s","message":"the corp is stopped","repeated":9989,"since":"%[1]s","mixed":true}`+"\n", out.at(0)),
			fmt.Sprintf(`10 {"level":"info","corp_id":"ww9999","time":"%[1]s","message":"the corp works","repeated":9989,"since":"%[1]s","mixed":true}`+"\n", out.at(0)))
	})
}

func TestLog_ManyMessagesAreFewLines(t *testing.T) {
	t.Parallel()
	setup(t, "info", "json", func(t *testing.T, log *logging.Log, out *output) {
		for i := range 10_000 {
			log.Logger.Warn().Msg(fmt.Sprintf("message %d", i))
		}
		log.Close()
		if n := strings.Count(out.take(), "\n"); n != 102 {
			t.Errorf("%d lines, want 100 messages, one for the others, and how many they were", n)
		}
	})
}

func TestLog_CloseTellsWhatWasCountedInOrder(t *testing.T) {
	t.Parallel()
	setup(t, "info", "json", func(t *testing.T, log *logging.Log, out *output) {
		for range 3 {
			log.Logger.Error().Msg("fails")
			time.Sleep(time.Second)
			log.Logger.Info().Msg("works")
			time.Sleep(time.Second)
		}
		out.take()
		log.Close()
		want(t, out.take(),
			fmt.Sprintf(`6 {"level":"error","time":"%s","message":"fails","repeated":2,"since":"%s"}`+"\n", out.at(4*time.Second), out.at(2*time.Second)),
			fmt.Sprintf(`6 {"level":"info","time":"%s","message":"works","repeated":2,"since":"%s"}`+"\n", out.at(5*time.Second), out.at(3*time.Second)))
		log.Close()
		log.Logger.Error().Msg("fails")
		want(t, out.take(), fmt.Sprintf(`6 {"level":"error","time":"%s","message":"fails"}`+"\n", out.at(6*time.Second)))
	})
}

func TestLog_WritesEveryDebugAndPanicLine(t *testing.T) {
	t.Parallel()
	setup(t, "debug", "json", func(t *testing.T, log *logging.Log, out *output) {
		for range 5 {
			log.Logger.Debug().Msg("one")
			func() {
				defer func() { _ = recover() }()
				log.Logger.Panic().Msg("two")
			}()
			log.Logger.Log().Msg("of no level")
		}
		if n := strings.Count(out.take(), "\n"); n != 15 {
			t.Errorf("%d lines, want 15", n)
		}
	})
}

func TestLog_SummarisesForPeopleToo(t *testing.T) {
	t.Parallel()
	setup(t, "info", "console", func(t *testing.T, log *logging.Log, out *output) {
		for range 3 {
			log.Logger.Warn().Str("corp_id", "ww1").Err(errors.New("reset")).Msg("its calls fail")
		}
		log.Close()
		got := out.take()
		for _, want := range []string{"its calls fail", "repeated=", "since=", "corp_id=", "ww1"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in:\n%s", want, got)
			}
		}
		if n := strings.Count(got, "\n"); n != 2 {
			t.Errorf("%d lines, want 2:\n%s", n, got)
		}
	})
}

func TestLog_ManyGoroutinesLoseNoLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := logging.New(config.Log{Level: "info"}, &out)
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			for range 500 {
				log.Logger.Warn().Int("errcode", i).Msg("one")
			}
		})
	}
	g.Wait()
	log.Close()
	if n := strings.Count(out.String(), `"repeated":499,`); n != 8 {
		t.Errorf("%d summaries of 499 lines, want 8:\n%s", n, &out)
	}
}

func BenchmarkLog_ARepeatedLine(b *testing.B) {
	log := logging.New(config.Log{Level: "info"}, io.Discard)
	defer log.Close()
	for b.Loop() {
		log.Logger.Warn().Str("corp_id", "ww1").Str("class", "token").Int("errcode", 40014).
			Str("error", "access_token invalid: look for another program").Msg("the corp's calls fail: its requests are parked")
	}
}
