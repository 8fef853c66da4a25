// Package worker is the worker's process: it takes batches from the broker to the
// database, judges them by the rules of alerting, tells people, and keeps the database in
// order.
package worker

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/app/backend"
	"github.com/sentinelgo/sentinel/internal/app/process"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/pipeline"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// Config is the worker's part of the configuration file.
type Config struct {
	Worker   Section             `yaml:"worker"`
	Broker   broker.Config       `yaml:"broker"`
	Database backend.Database    `yaml:"database"`
	Security backend.Security    `yaml:"security"`
	Log      telemetry.LogConfig `yaml:"log"`
}

// Section is what stands below the key worker.
type Section struct {
	// Listen is where /healthz, /readyz and /metrics are served.
	Listen string `yaml:"listen"`
	// ExternalURL is where people find Sentinel, for the links in what they are told.
	ExternalURL string             `yaml:"external_url"`
	Pipeline    pipeline.Config    `yaml:"pipeline"`
	Retention   pipeline.Retention `yaml:"retention"`
}

// DefaultConfig returns the worker's defaults.
func DefaultConfig() Config {
	return Config{
		Worker: Section{Listen: "127.0.0.1:9467", Pipeline: pipeline.DefaultConfig(), Retention: pipeline.DefaultRetention()},
		Broker: broker.DefaultConfig(), Database: backend.DefaultDatabase(), Security: backend.DefaultSecurity(), Log: telemetry.DefaultLogConfig(),
	}
}

// Run is the worker until ctx ends; then it returns nil. It waits for a broker that does
// not answer yet; alerting works while the database does not, the rest waits for it. An
// error means that it could not start.
func Run(ctx context.Context, cfg Config, logger *slog.Logger) error {
	vault, err := cfg.Security.Vault()
	if err != nil {
		return err
	}
	lis, err := process.Listen(ctx, "worker.listen", cfg.Worker.Listen)
	if err != nil {
		return err
	}
	db, err := cfg.Database.Prepare(ctx, logger)
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := broker.Open(ctx, cfg.Broker, logger.With("part", "broker"))
	if err != nil {
		return err
	}
	defer b.Close()

	reg := telemetry.NewRegistry()
	keys := fleet.NewKeyring(db, vault, logger)
	writer := pipeline.New(cfg.Worker.Pipeline, pipeline.Deps{
		Broker: b, DB: db, Keys: keys, Limits: sentinel.DefaultLimits(), Metrics: reg, Log: logger.With("part", "writer"),
	})
	keeper := pipeline.Housekeeper{DB: db, Broker: b, Retention: cfg.Worker.Retention, Log: logger.With("part", "housekeeping")}

	alerting := alerts.New(alerts.Deps{DB: db, Broker: b, Vault: vault, Keys: keys, ExternalURL: cfg.Worker.ExternalURL, Metrics: reg, Log: logger})

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return alerting.Run(ctx) })
	group.Go(func() error {
		// Alerts do not wait for the database; what fills it does.
		if err := backend.Migrate(ctx, db, logger); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		group.Go(func() error { return writer.Run(ctx) })
		group.Go(func() error { return keeper.Run(ctx) })
		return nil
	})
	if lis != nil {
		ready := []telemetry.Check{{Name: "database", Ask: db.Ping}, {Name: "broker", Ask: b.Ready}}
		group.Go(func() error { return telemetry.Serve(ctx, lis, telemetry.Handler(reg, nil, ready)) })
	}
	logger.Info("worker started")
	return group.Wait()
}
