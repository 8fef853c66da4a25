// Package sdk holds the sources of what plugins are written with, for
// `sentinelctl plugin new`, which puts a copy beside the plugin: then a plugin is built
// from its own folder alone, with plain Go, whatever becomes of anything else.
package sdk

import "embed"

// Files are the packages sentinel and sentinel/sentineltest.
//
//go:embed sentinel/*.go sentinel/sentineltest/*.go
var Files embed.FS

// Path is the path under which they import each other.
const Path = "github.com/sentinelgo/sentinel/sdk/go"
