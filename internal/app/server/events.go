package server

import (
	"context"

	"github.com/sentinelgo/sentinel/internal/ingest"
	"github.com/sentinelgo/sentinel/internal/postgres"
)

// events keeps what the gateway saw.
type events struct{ db *postgres.DB }

// Keep implements ingest.Events.
func (e events) Keep(ctx context.Context, list []ingest.Event) error {
	rows := make([]postgres.Event, 0, len(list))
	for _, one := range list {
		rows = append(rows, postgres.Event{At: one.At, Kind: string(one.Kind), Agent: one.Agent, Detail: one.Detail})
	}
	return e.db.AddEvents(ctx, rows)
}
