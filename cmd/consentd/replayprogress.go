package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"consentd/replay"
)

// progressEvery is how often progress is written where there is no terminal to draw on.
const progressEvery = 10 * time.Second

// replayProgress shows how far a replay has come: as a bar on a terminal, else as lines. Safe for concurrent use.
type replayProgress struct {
	stderr io.Writer
	draw   bool

	mu   sync.Mutex
	step replay.Step
	bar  *progressbar.ProgressBar
	said time.Time
}

func newReplayProgress(stderr io.Writer) *replayProgress {
	return &replayProgress{stderr: stderr, draw: progressTo(stderr) != io.Discard, said: time.Now()}
}

func (p *replayProgress) report(step replay.Step, done, total int64) {
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
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription(string(step)),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set64(min(done, total)) // a bar that can't be drawn is no failure
}

// end leaves the line to what is written next.
func (p *replayProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.bar, p.said = nil, time.Now()
}
