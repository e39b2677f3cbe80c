// Package docs has the pages of the documentation, so that the daemon can serve them to whoever it woke up.
package docs

import "embed"

// Pages are the pages, in Markdown; a decision's is in decisions/.
//
//go:embed *.md decisions/*.md
var Pages embed.FS
