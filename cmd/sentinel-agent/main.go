// Command sentinel-agent collects this host's metrics, keeps them in a log on
// disk and sends them to a Sentinel server.
package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
)

var version string // set by the linker

func main() {
	if code, is := host.Run(context.Background()); is { // the process of a plugin
		os.Exit(code)
	}
	stayModest()
	if service.Managed() { // nothing may come before the manager is answered
		os.Exit(service.Run(context.Background(), func(ctx context.Context, reload <-chan os.Signal, events service.Events) error {
			return root(&daemon{reload: reload, events: events}).ExecuteContext(ctx)
		}))
	}
	os.Exit(command.Main(root(&daemon{})))
}

// root returns the command line of the daemon, which it completes.
func root(d *daemon) *cobra.Command {
	d.version = command.Version(version)
	root := command.Root("sentinel-agent", d.version, "Collect this host's metrics and send them to a Sentinel server",
		`The agent keeps every sample in a log on disk until the server has stored it.
It needs a credential. An enrolment token buys one, or somebody who may register
agents makes it:

  sentinel-agent enroll --enrolment-token-file enrolment.token
  sentinelctl agent register --hostname web-1 --out credential.json

With --once it shows what it would collect, and needs neither credential nor server.
SIGHUP makes it read its configuration again, as sentinelctl agent reload does.

Examples:
  sentinel-agent --config /etc/sentinel/sentinel.yml
  sentinel-agent --config sentinel.yml --check
  sentinel-agent --once -o json
  sentinel-agent install --dry-run
  SENTINEL_AGENT_SERVER_ADDRESS=sentinel.example:7443 sentinel-agent`)
	d.path = command.ConfigFlag(root)
	flags := root.Flags()
	check := flags.Bool("check", false, "check the configuration and exit")
	once := flags.Bool("once", false, "collect once, print what was found and exit; needs no credential and no server")
	output := flags.StringP("output", "o", "table", "how --once prints: table or json")
	root.AddCommand(serviceCommands(d)...)
	cfg := agent.DefaultConfig()
	root.AddCommand(enrolCommand(d), command.ConfigCommand(d.path, &cfg), command.HealthCommand(func() (string, string, error) {
		cfg, err := d.load()
		return "agent.listen", cfg.Agent.Listen, err
	}))
	root.CompletionOptions.DisableDefaultCmd = true
	root.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case flags.Changed("output") && !*once:
			return sentinel.Errorf(sentinel.Invalid, "--output goes with --once")
		case *once:
			return d.once(c.Context(), *output, c.OutOrStdout())
		case *check:
			return d.check(c.OutOrStdout())
		}
		return d.run(c.Context())
	}
	return root
}

// stayModest makes the runtime take little memory for CPU time that the agent does
// not need: it works for a few milliseconds in ten seconds, on under 1 MB of live
// heap. One thread at a time runs Go code (a system call that hangs does not count),
// and the heap is collected at 2 MB instead of 4. GOMAXPROCS and GOGC in the
// environment win.
func stayModest() {
	runtime.MemProfileRate = 0 // nobody can ask this process for a profile
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}
