//go:build !linux

package bench

// maxRSSUnit is what getrusage counts memory in: bytes on the BSDs and macOS.
const maxRSSUnit = 1
