package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// SettledEpoch returns how many records of an epoch are stored and how many became dead
// letters; none where nothing of it is there yet.
func (db *DB) SettledEpoch(ctx context.Context, agent int64, epoch sentinel.Epoch) (stored, quarantined int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT stored_cycles, quarantined FROM ingest_ledger WHERE agent_id = $1 AND epoch = $2`, agent, int64(epoch)).Scan(&stored, &quarantined)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return stored, quarantined, failed("read an epoch's book", err)
}

// ForgetEpoch removes what a synthetic agent has stored at this time under this epoch,
// and what is left of its epochs of more than ten minutes ago. Of any other agent it
// removes nothing.
func (db *DB) ForgetEpoch(ctx context.Context, agent int64, epoch sentinel.Epoch, at time.Time) error {
	return failed("forget an epoch", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		const own = `agent_id IN (SELECT id FROM agents WHERE id = $1 AND synthetic)`
		if _, err := tx.Exec(ctx, `DELETE FROM ingest_ledger WHERE `+own+` AND (epoch = $2 OR updated_at < now() - INTERVAL '10 minutes')`, agent, int64(epoch)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM scrapes WHERE `+own+` AND ts > now() - INTERVAL '1 day' AND (ts = $2 OR ts < now() - INTERVAL '10 minutes')`, agent, at)
		return err
	}))
}
