// Package bulk finds conversations in the status topic, says what they are, and publishes requests about all of them: to check
// them again, or to forget them.
//
// What becomes of the requests is left to the daemon that reads them.
package bulk
