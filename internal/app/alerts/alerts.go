package alerts

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/delivery"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
)

// Deps are the parts that a worker's alerting is made of.
type Deps struct {
	DB     *postgres.DB
	Broker *broker.Broker
	Vault  *sign.Vault
	Keys   delivery.Keys
	// ExternalURL is where people find Sentinel; it may be empty.
	ExternalURL string
	Metrics     *telemetry.Registry
	Log         *slog.Logger
}

// Alerting is all that a worker does of it. Make it with New.
type Alerting struct{ activities []func(context.Context) error }

// New joins the parts; Run makes them work.
func New(d Deps) Alerting {
	log := d.Log.With("part", "alerter")
	fleet, rules, sessions := live.NewDirectory(d.Broker, d.Vault, log), live.NewRules(d.Broker, log), live.NewSessions(d.Broker)
	owner := live.New(live.Deps{Broker: d.Broker, Fleet: fleet, Rules: rules, Sessions: sessions, History: Past{d.DB}, Keys: d.Keys,
		Limits: sentinel.DefaultLimits(), Options: alerting.DefaultOptions(), Metrics: d.Metrics, Log: log})
	limits := query.DefaultLimits()
	limits.Concurrent = live.AskAtOnce
	fleetwide := live.NewFleetwide(live.FleetwideDeps{Broker: d.Broker, Rules: rules, History: Past{d.DB}, Asker: query.New(d.DB, limits, log),
		Options: alerting.DefaultOptions(), Metrics: d.Metrics, Log: log})
	expressions := func(ctx context.Context) error { return alone(ctx, d.Broker, "expressions", log, fleetwide.Run) }
	courier := &Courier{DB: d.DB, Broker: d.Broker, Log: d.Log.With("part", "courier")}
	history := History{DB: d.DB, Broker: d.Broker, Metrics: d.Metrics, Log: d.Log.With("part", "history")}
	notifier := &Notifier{Broker: d.Broker, Vault: d.Vault, DB: d.DB, ExternalURL: d.ExternalURL, Metrics: d.Metrics, Log: d.Log.With("part", "notifier")}
	return Alerting{[]func(context.Context) error{fleet.Run, rules.Run, sessions.Run, owner.Run, expressions, courier.Run, history.Run, notifier.Run}}
}

// Run works until ctx ends; then it returns nil.
func (a Alerting) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range a.activities {
		group.Go(func() error { return run(ctx) })
	}
	return group.Wait()
}
