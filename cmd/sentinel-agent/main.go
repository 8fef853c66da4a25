// Command sentinel-agent collects this host's metrics, keeps them in a log on
// disk and sends them to a Sentinel server.
package main

import (
	"context"
	"os"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/agent"
)

var version string // set by the linker

func main() {
	v := command.Version(version)
	root := command.Root("sentinel-agent", v, "Collect this host's metrics and send them to a Sentinel server",
		`The agent keeps every sample in a log on disk until the server has stored it.
It needs a credential, which this makes on a machine that may register agents:

  sentinelctl agent register --hostname web-1 --out credential.json

Examples:
  sentinel-agent --config /etc/sentinel/sentinel.yml
  sentinel-agent --config sentinel.yml --check
  SENTINEL_AGENT_SERVER_ADDRESS=sentinel.example:7443 sentinel-agent`)
	cfg := agent.DefaultConfig()
	command.Daemon(root, &cfg, func(ctx context.Context) error {
		logger, err := cfg.Log.Logger(os.Stderr)
		if err != nil {
			return err
		}
		return agent.Run(ctx, cfg, v, logger)
	})
	os.Exit(command.Main(root))
}
