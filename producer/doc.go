// Package producer sends out what consentd learnt. A Batch gathers events, status records, dead letters and the offsets
// that are done with them; Publish is the one seam that ties them together.
//
// It does not know the API, nor why an item has the answer that it has: that is left to wechat, checker and status.
package producer
