// Package status knows the last known status of every conversation: what counts as a change of it (Settle, a pure
// function), the table that holds it in memory (Table), and how the table is restored from the status topic (Restore).
//
// It does not know the API, nor how status records are published: that is left to wechat and producer.
package status
