package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressTo draws progress on a terminal only: in a file it would be noise.
func progressTo(stderr io.Writer) io.Writer {
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return io.Discard
}

// progressEvery is how often progress is written where there is no terminal to draw on.
const progressEvery = 10 * time.Second

// progress shows how far something has come: as a bar on a terminal, else as a line now and then. Safe for concurrent use.
type progress struct {
	stderr io.Writer
	draw   bool

	mu   sync.Mutex
	step string
	bar  *progressbar.ProgressBar
	said time.Time
}

func newProgress(stderr io.Writer) *progress {
	return &progress{stderr: stderr, draw: progressTo(stderr) != io.Discard, said: time.Now()}
}

// report shows how much of a step is done.
func (p *progress) report(step string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.draw {
		if time.Since(p.said) >= progressEvery {
			p.said = time.Now()
			fmt.Fprintf(p.stderr, "%s: %d of %d (%d %%)\n", step, done, total, 100*done/max(1, total))
		}
		return
	}
	if p.bar == nil || p.step != step || done < p.bar.State().CurrentNum {
		p.step = step
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription(step),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(min(done, total)) // a bar that can't be drawn is no failure
}

// end leaves the line to what is written next.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.bar, p.said = nil, time.Now()
}
