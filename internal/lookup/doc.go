// Package lookup finds the last known status of conversations in the status topic: of one, or of all.
//
// It reads the topic as anybody may, and asks nobody. What a status means is left to schemas.
package lookup
