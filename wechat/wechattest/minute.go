package wechattest

import "time"

// clock measures from the time when the simulator was made, so that no change of the machine's time is seen.
type clock time.Time

func (c clock) now() time.Duration { return time.Since(time.Time(c)) }

// minute finds the busiest 60 s, wherever they begin. It holds the times of the last minute's calls, 8 bytes each.
type minute struct {
	times       []time.Duration // a ring
	first, held int
	most        int64
}

// add counts a call. Calls come in the order of their times.
func (m *minute) add(now time.Duration) {
	for m.held > 0 && now-m.times[m.first] >= time.Minute {
		m.first = (m.first + 1) % len(m.times)
		m.held--
	}
	if m.held == len(m.times) {
		m.grow()
	}
	m.times[(m.first+m.held)%len(m.times)] = now
	m.held++
	m.most = max(m.most, int64(m.held))
}

func (m *minute) grow() {
	const least = 4
	times := make([]time.Duration, max(least, 2*len(m.times)))
	n := copy(times, m.times[m.first:])
	copy(times[n:], m.times[:m.first])
	m.times, m.first = times, 0
}
