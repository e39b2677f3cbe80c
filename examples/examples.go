// Package examples holds the example files, for the commands and tests that use them.
package examples

import _ "embed"

// Requests are check-consent requests, one JSON document a line: the kinds that succeed and some that fail.
//
//go:embed requests.jsonl
var Requests []byte
