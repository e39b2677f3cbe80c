package schemas

import "embed"

// FS holds the JSON Schemas (draft 2020-12) of the messages, `request`, `checked`, `failed`, `changed`, `event` (any of the
// three before) and `status`, each as `<name>.schema.json`, and `asyncapi.yaml`, which puts them on their topics. They refer
// to one another by file name. Read-only, safe for concurrent use.
//
//go:embed *.schema.json asyncapi.yaml
var FS embed.FS
