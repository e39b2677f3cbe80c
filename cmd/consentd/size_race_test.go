//go:build race

package main

// sized is how many records a test whose name begins with TestLarge handles: a tenth, since the race detector makes each cost
// many times what it costs without. `make test` runs these tests whole too.
func sized(n int) int { return n / 10 }
