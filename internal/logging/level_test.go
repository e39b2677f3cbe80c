package logging_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"consentd/config"
	"consentd/internal/logging"
)

// ask sends a request to a log's level, and returns the answer's status and body.
func ask(t *testing.T, log *logging.Log, method, body string) (status int, answer string) {
	t.Helper()
	w := httptest.NewRecorder()
	log.Level.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/log/level", strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestLevel_ChangesForAllThatIsMadeOfTheLogger(t *testing.T) {
	t.Parallel()
	setup(t, "warn", "json", func(t *testing.T, log *logging.Log, out *output) {
		child := log.Logger.With().Int("generation", 1).Logger()
		for _, c := range []struct{ from, to string }{{"warn", "debug"}, {"debug", "error"}, {"error", "error"}, {"error", "info"}} {
			if status, answer := ask(t, log, http.MethodGet, ""); status != http.StatusOK || answer != c.from+"\n" {
				t.Errorf("GET: %d %q, want %s", status, answer, c.from)
			}
			out.take()
			if status, answer := ask(t, log, http.MethodPut, c.to+"\n"); status != http.StatusOK || answer != c.to+"\n" {
				t.Errorf("PUT %s: %d %q", c.to, status, answer)
			}
			want(t, out.take(), `0 {"level":"info","from":"`+c.from+`","to":"`+c.to+`","time":"`+out.at(0)+`","message":"the log level was changed: it lasts until the restart"}`+"\n")
			least, err := zerolog.ParseLevel(c.to)
			if err != nil {
				t.Fatal(err)
			}
			for level := zerolog.DebugLevel; level <= zerolog.ErrorLevel; level++ {
				child.WithLevel(level).Str("corp_id", c.from+c.to).Msg("a line")
				if written := out.take() != ""; written != (level >= least) {
					t.Errorf("a line of %s at level %s: written %t", level, least, written)
				}
			}
		}
	})
}

func TestLevel_RefusesWhatIsNoLevel(t *testing.T) {
	t.Parallel()
	log := logging.New(config.Log{Level: "warn"}, io.Discard)
	defer log.Close()
	for _, body := range []string{"", "loud", "DEBUG", "trace", "disabled", "1", "debug info", strings.Repeat("debug ", 1000)} {
		status, answer := ask(t, log, http.MethodPut, body)
		if status != http.StatusBadRequest || !strings.Contains(answer, "want one of debug, info, warn, error\n") || len(answer) > 200 {
			t.Errorf("PUT %.20q: %d %q", body, status, answer)
		}
	}
	if _, answer := ask(t, log, http.MethodGet, ""); answer != "warn\n" {
		t.Errorf("the level is %q after refused ones, want warn", answer)
	}
}

func TestLevel_ALineThatIsNotWrittenAllocatesNothing(t *testing.T) {
	log := logging.New(config.Log{Level: "info"}, io.Discard)
	defer log.Close()
	if n := testing.AllocsPerRun(100, func() { log.Logger.Debug().Str("corp_id", "ww1").Int("items", 3).Msg("one") }); n != 0 {
		t.Errorf("%g allocations, want none", n)
	}
}

func BenchmarkLevel_ALineThatIsNotWritten(b *testing.B) {
	log := logging.New(config.Log{Level: "info"}, io.Discard)
	defer log.Close()
	for b.Loop() {
		log.Logger.Debug().Str("corp_id", "ww1").Int("items", 3).Msg("one")
	}
}
