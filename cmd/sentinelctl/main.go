// Command sentinelctl is for the people who run Sentinel: it registers agents,
// asks for samples, audits books and inspects logs.
package main

import (
	"context"
	"os"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
)

var version string // set by the linker

func main() { os.Exit(run()) }

// run is the command, or the process of a plugin that one of them has started.
func run() int {
	if code, is := host.Run(context.Background()); is {
		return code
	}
	return command.Main(root())
}
