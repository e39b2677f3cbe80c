//go:build !race

package main

// sized is how many records a test whose name begins with TestLarge handles.
func sized(n int) int { return n }
