//go:build break_staging

package pipeline

const (
	breakStaging = true
	breakOffsets = false
)
