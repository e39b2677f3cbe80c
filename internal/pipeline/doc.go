// Package pipeline is the one way through: requests in, questions to the checker, replies settled against the known
// status, answers and changes into the batch that is published next. One goroutine does all of it (Run), so that there is
// no lock and no second truth; fetching, calls and publishing run beside it and hand it whole batches.
//
// It lasts for one generation of the consumer group. How the pieces work is left to consumer, checker, status and
// producer; how they are made, to internal/daemon.
package pipeline
