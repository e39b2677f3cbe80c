// Package submit publishes requests by hand: from JSON lines, all of them checked before the first is written, and with the
// answers awaited where that is wanted.
//
// What a valid request is says schemas; what an answer looks like to a person says watch.
package submit
