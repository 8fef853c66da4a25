package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Retention says how long what is kept. Zero keeps it for ever.
type Retention struct {
	Raw     time.Duration // samples as they came; at least the sample age limit is sensible, or late data is not rolled up
	Minute  time.Duration // one-minute roll-ups
	Hour    time.Duration // one-hour roll-ups
	Letters time.Duration // dead letters
}

// MaintainStats says what one call of Maintain did.
type MaintainStats struct {
	Dropped   []string // partitions or chunks
	Postponed []string // partitions that were in use; the next call tries again
	Ledger    int64    // rows of epochs that nothing can be stored under any more
	Letters   int64
}

// Maintain makes the partitions of the near future, drops what is past its
// retention in whole partitions (so data stays up to one partition longer), and
// prunes old dead letters and ledger rows. It is idempotent, may run in several
// processes at once, and should run about every hour; without it a service still
// stores, but never forgets.
func (db *DB) Maintain(ctx context.Context, now time.Time, keep Retention) (MaintainStats, error) {
	var stats MaintainStats
	if err := db.makePartitionsAhead(ctx); err != nil {
		return stats, err
	}
	e, err := db.storageEngine(ctx)
	if err != nil {
		return stats, err
	}
	if err := db.noteRetention(ctx, now, keep); err != nil {
		return stats, failed("note retention", err)
	}
	for i, age := range []time.Duration{keep.Raw, keep.Minute, keep.Hour} {
		if age <= 0 {
			continue
		}
		if err := db.dropOld(ctx, e, bigTables()[i], now.Add(-age), &stats); err != nil {
			return stats, err
		}
	}
	if err := db.dropOld(ctx, e, stripTable(), now.Add(-stripsFor-24*time.Hour), &stats); err != nil {
		return stats, err
	}
	// A ledger row must outlive every record that could still be stored under it:
	// those are at most MaxAge + pastSlack old, and were at most futureSlack (and
	// MaxFuture) ahead when the row last changed. The rest is margin.
	limits := db.cfg.Limits
	ledgerAge := 2*limits.MaxAge + limits.MaxFuture + pastSlack + futureSlack
	tag, err := db.pool.Exec(ctx, `DELETE FROM ingest_ledger WHERE updated_at < $1`, now.Add(-ledgerAge))
	if err != nil {
		return stats, failed("prune the ledger", err)
	}
	stats.Ledger = tag.RowsAffected()
	if keep.Minute > 0 {
		if _, err := db.pool.Exec(ctx, `DELETE FROM late_data WHERE until < $1`, now.Add(-keep.Minute)); err != nil {
			return stats, failed("prune what came late", err)
		}
	}
	if keep.Letters > 0 {
		tag, err := db.pool.Exec(ctx, `DELETE FROM dead_letters WHERE created_at < $1`, now.Add(-keep.Letters))
		if err != nil {
			return stats, failed("prune dead letters", err)
		}
		stats.Letters = tag.RowsAffected()
	}
	return stats, nil
}

// noteRetention tells the roller from when on its sources are whole, before
// anything is dropped: else it might replace a roll-up by one made from what is
// left of the samples.
func (db *DB) noteRetention(ctx context.Context, now time.Time, keep Retention) error {
	return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		// The roller holds the lock for as long as an hour of a large fleet takes.
		if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = '5min'`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockRollup); err != nil {
			return err
		}
		if keep.Raw > 0 {
			if _, err := tx.Exec(ctx, `UPDATE storage SET raw_from = greatest(raw_from, date_trunc('minute', $1::timestamptz) + INTERVAL '1 minute')`, now.Add(-keep.Raw)); err != nil {
				return err
			}
		}
		if keep.Minute > 0 {
			if _, err := tx.Exec(ctx, `UPDATE storage SET minutes_from = greatest(minutes_from, date_trunc('hour', $1::timestamptz, 'UTC') + INTERVAL '1 hour')`, now.Add(-keep.Minute)); err != nil {
				return err
			}
		}
		// Queries that are under way may still read a day longer.
		_, err := tx.Exec(ctx, `UPDATE storage SET strips_from = greatest(strips_from, date_trunc('hour', $1::timestamptz, 'UTC'))`, now.Add(-stripsFor))
		return err
	})
}

// dropOld drops what of a table ends before a time.
func (db *DB) dropOld(ctx context.Context, e engine, tbl table, before time.Time, stats *MaintainStats) error {
	drop := db.dropPartitions
	if e == timescale {
		drop = db.dropChunks
	}
	if err := drop(ctx, tbl, before, stats); err != nil {
		return failed("drop old data of "+tbl.name, err)
	}
	return nil
}

// dropChunks is retention with TimescaleDB.
func (db *DB) dropChunks(ctx context.Context, tbl table, before time.Time, stats *MaintainStats) error {
	rows, err := db.pool.Query(ctx, `SELECT drop_chunks($1::text::regclass, older_than => $2::timestamptz)::text`, tbl.name, before)
	if err != nil {
		return err
	}
	dropped, err := pgx.CollectRows(rows, pgx.RowTo[string])
	stats.Dropped = append(stats.Dropped, dropped...)
	return err
}

// dropPartitions is retention without TimescaleDB.
func (db *DB) dropPartitions(ctx context.Context, tbl table, before time.Time, stats *MaintainStats) error {
	rows, err := db.pool.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::text::regclass ORDER BY c.relname`, tbl.name)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		begin, err := time.Parse("20060102", strings.TrimPrefix(name, tbl.name+"_p"))
		if err != nil || tbl.next(begin).After(before) {
			continue // not one of ours, or still wanted
		}
		err = db.dropPartition(ctx, name)
		var pg *pgconn.PgError
		switch {
		case err == nil:
			stats.Dropped = append(stats.Dropped, name)
		case errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01"):
			stats.Postponed = append(stats.Postponed, name)
		default:
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// dropPartition needs the parent for itself for a moment. Everybody else waits
// behind it, so it gives up soon where a long query is in the way.
func (db *DB) dropPartition(ctx context.Context, name string) error {
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockPartitions); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+pgx.Identifier{name}.Sanitize())
		return err
	})
	db.mu.Lock()
	delete(db.partitions, name)
	db.mu.Unlock()
	return err
}
