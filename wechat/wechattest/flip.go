package wechattest

import (
	"math"
	"slices"
)

// Flipped is a pair whose status Flip changed.
type Flipped struct {
	CorpID         string `json:"corp_id"`
	OpenUserID     string `json:"open_userid"`
	ExternalUserID string `json:"external_userid"`
	Previous       Status `json:"previous"`
	Current        Status `json:"current"`
}

// Flip lets a fraction (0 to 1) of the known pairs change their mind: Agree becomes Disagree and the other way round, with
// a change time up to an hour later. Known are the pairs that were set and, with Options.Remember, those that were asked
// for; those with another word stay as they are. The number is rounded, and the same seed chooses the same ones among the
// same pairs. It returns exactly what changed, sorted by corp, staff member and customer, and takes effect at once: a reply
// shows all of it or nothing.
func (s *Simulator) Flip(fraction float64, seed uint64) []Flipped {
	return s.book.flip(fraction, newHash(seed))
}

func (b *book) flip(fraction float64, seed hash) []Flipped {
	b.mu.Lock()
	defer b.mu.Unlock()
	var draws []uint64
	b.eachFlippable(seed, func(_ pairKey, _ Status, draw uint64) { draws = append(draws, draw) })
	if !(fraction > 0) { // nor a number
		return nil
	}
	n := int(math.Round(min(fraction, 1) * float64(len(draws))))
	if n == 0 {
		return nil
	}
	// The n smallest draws win: that takes no order of the pairs, which are in a map.
	slices.Sort(draws)
	limit := draws[n-1]
	flips := make([]Flipped, 0, n)
	b.eachFlippable(seed, func(k pairKey, previous Status, draw uint64) {
		if draw <= limit {
			flips = append(flips, Flipped{k.corp, k.staff, k.customer, previous, flipStatus(previous, draw)})
		}
	})
	for i := range flips {
		b.set(flips[i].key(), flips[i].Current)
	}
	slices.SortFunc(flips, func(x, y Flipped) int { return x.key().compare(y.key()) })
	return flips
}

func (f *Flipped) key() pairKey { return pairKey{f.CorpID, f.OpenUserID, f.ExternalUserID} }

// eachFlippable is called with mu held.
func (b *book) eachFlippable(seed hash, yield func(k pairKey, status Status, draw uint64)) {
	draw := func(k pairKey) uint64 { return seed.add(k.corp).add(k.staff).add(k.customer).sum() }
	for k, status := range b.pairs {
		if status.AgreeStatus == Agree || status.AgreeStatus == Disagree {
			yield(k, status, draw(k))
		}
	}
	for k := range b.asked {
		status := b.derive(b.seed.add(k.corp).add(k.staff).add(k.customer))
		if status.AgreeStatus == Agree || status.AgreeStatus == Disagree {
			yield(k, status, draw(k))
		}
	}
}

func flipStatus(previous Status, draw uint64) Status {
	current := Status{Agree, previous.ChangeTime + 1 + int64(draw%3600)}
	if previous.AgreeStatus == Agree {
		current.AgreeStatus = Disagree
	}
	return current
}
