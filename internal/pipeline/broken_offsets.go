//go:build break_offsets && !break_staging

package pipeline

const (
	breakStaging = false
	breakOffsets = true
)
