// Package replay publishes records of a topic again: dead letters, mostly, once what they failed of is mended.
//
// A replay is looked at first. [Open] and [Resume] find out which records it is about and say so in a [Plan]; nothing is
// written before [Replay.Execute]. What is to be read is fixed at the start, so that a topic can be replayed onto itself.
// How far a replay has come is committed together with what it published, to a group of its own, and the plan with it: so
// it can be taken up again after whatever ended it, by its id alone.
//
// What requests mean, and what becomes of them, is left to the daemon that reads them.
package replay
