package fleet

import (
	"context"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// advanceEvery is how often roll-outs of plugins are looked at.
const advanceEvery = 2 * time.Second

// Rollouts takes roll-outs of plugins from stage to stage.
type Rollouts struct {
	db  *postgres.DB
	log *slog.Logger
}

// NewRollouts returns the roll-outs of a database.
func NewRollouts(db *postgres.DB, log *slog.Logger) *Rollouts { return &Rollouts{db, log} }

// Run goes on with them until ctx ends; then it returns nil. Any number of processes may
// do so.
func (r *Rollouts) Run(ctx context.Context) error {
	tick := time.NewTicker(advanceEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := r.db.AdvanceRollouts(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if (err != nil) != failing {
			failing = err != nil
			r.log.Warn("roll-outs of plugins wait for the database", "waiting", failing, "error", err)
		}
	}
}
