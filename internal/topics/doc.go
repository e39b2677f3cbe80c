// Package topics knows which topics a configuration needs and what they must be like: it plans absent ones, and says of those
// that are there what differs and why it matters.
//
// It creates and changes nothing by itself: that is left to internal/daemon at its start, and to `consentd topics create`.
package topics
