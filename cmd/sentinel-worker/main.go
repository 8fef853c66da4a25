// Command sentinel-worker stores batches from the broker in the database.
package main

import (
	"context"
	"os"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/app/worker"
)

var version string // set by the linker

func main() {
	root := command.Root("sentinel-worker", command.Version(version), "Store batches from the broker in the database",
		`Any number of workers share the work. Each verifies signatures again and stores
every sample exactly once; it needs the server's master key file for that.

Examples:
  sentinel-worker --config /etc/sentinel/sentinel.yml
  DATABASE_URL=postgres://… sentinel-worker --config sentinel.yml`)
	cfg := worker.DefaultConfig()
	load := command.Daemon(root, &cfg, func(ctx context.Context) error {
		logger, err := cfg.Log.Logger(os.Stderr)
		if err != nil {
			return err
		}
		return worker.Run(ctx, cfg, logger)
	})
	root.AddCommand(command.HealthCommand(func() (string, string, error) {
		err := load()
		return "worker.listen", cfg.Worker.Listen, err
	}))
	os.Exit(command.Main(root))
}
