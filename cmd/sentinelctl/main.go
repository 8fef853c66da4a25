// Command sentinelctl is for the people who run Sentinel: it registers agents,
// asks for samples, audits books and inspects logs.
package main

import (
	"os"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
)

var version string // set by the linker

func main() { os.Exit(command.Main(root())) }
