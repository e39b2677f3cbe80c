//go:build !break_staging && !break_offsets

package pipeline

// With the build tags break_staging and break_offsets the daemon breaks its promises, to prove that `make chaos` finds it
// out: it forgets what it settled until it is restored, or commits an offset too far.
const (
	breakStaging = false
	breakOffsets = false
)
