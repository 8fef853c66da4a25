package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
)

// CreateToken makes an API token straight in the database, which is how the first
// one comes to be: who can read the database's URL is an administrator already.
func CreateToken(ctx context.Context, cfg Config, name, role string, ttl time.Duration) (string, error) {
	db, err := cfg.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	defer db.Close()
	return fleet.NewRegistry(db, nil).CreateToken(ctx, name, postgres.Role(role), ttl)
}

// CreateEnrolmentToken makes an enrolment token straight in the database.
func CreateEnrolmentToken(ctx context.Context, cfg Config, name string, uses int, ttl time.Duration) (string, error) {
	db, err := cfg.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	defer db.Close()
	token, _, err := fleet.NewRegistry(db, nil).CreateEnrolmentToken(ctx, fleet.Console("enrolment.create"), postgres.EnrolmentToken{Name: name, MaxUses: uses}, ttl)
	return token, err
}

// Reseal seals agents' secrets and the notification file under the first of the master
// keys; see fleet.Registry.Reseal and alerts.Reseal.
func Reseal(ctx context.Context, cfg Config, progress func(done int)) (int, error) {
	vault, err := cfg.Security.Vault()
	if err != nil {
		return 0, err
	}
	db, err := cfg.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	keys, err := fleet.NewRegistry(db, vault).Reseal(ctx, progress)
	if err != nil {
		return keys, err
	}
	texts, err := alerts.Reseal(ctx, db, vault)
	return keys + texts, err
}

// CreateUser makes a user straight in the database.
func CreateUser(ctx context.Context, cfg Config, name, role, password string) error {
	db, err := cfg.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = fleet.NewRegistry(db, nil).CreateUser(ctx, fleet.Console("user.create"), name, password, postgres.Role(role))
	return err
}

// CreateSetupToken makes what the first user redeems.
func CreateSetupToken(ctx context.Context, cfg Config) (string, error) {
	db, err := cfg.Database.Open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	defer db.Close()
	return fleet.NewRegistry(db, nil).CreateSetupToken(ctx)
}
