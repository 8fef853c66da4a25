package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Doors for the tests of this package.

func (db *DB) MigrateFiles(ctx context.Context, files fs.FS) error {
	return db.migrate(ctx, files, chooseEngine)
}

// MigrateAs migrates a fresh database as if TimescaleDB were there, or not.
func (db *DB) MigrateAs(ctx context.Context, engine string) error {
	return db.migrate(ctx, EmbeddedMigrations(), func(context.Context, *sql.Conn, *slog.Logger) (string, error) { return engine, nil })
}

func EmbeddedMigrations() fs.FS { sub, _ := fs.Sub(migrations, "migrations"); return sub }

func (db *DB) Exec(ctx context.Context, sql string, args ...any) error {
	_, err := db.pool.Exec(ctx, sql, args...)
	return err
}

// One reads a single value.
func One[T any](ctx context.Context, db *DB, sql string, args ...any) (v T, err error) {
	err = db.pool.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}

// Rewind makes the database as if it had been migrated, and rolled up for the
// last time, at t.
func (db *DB) Rewind(ctx context.Context, t time.Time) error {
	return db.Exec(ctx, `UPDATE storage SET dirty_below = $1, minutes_to = $1, hours_to = date_trunc('hour', $1::timestamptz, 'UTC')`, t)
}

var (
	ParseRanges  = parseRanges
	OlderThan    = olderThan
	DecodeFloats = decodeFloats
)

// Keys of advisory locks, for SQL.
var (
	WatermarkLock = fmt.Sprint(lockWatermark)
	RollupLock    = fmt.Sprint(lockRollup)
)

type Ranges = ranges

func (rs *ranges) Add(first, last uint64)           { rs.add(seqRange(first, last)) }
func (rs ranges) Missing(first, last uint64) ranges { return rs.missing(seqRange(first, last)) }
func (rs ranges) Multirange() string                { return rs.multirange() }
func (rs ranges) Contains(seq uint64) bool          { return rs.contains(seq) }

func seqRange(first, last uint64) sentinel.SeqRange {
	return sentinel.SeqRange{First: first, Last: last}
}

// Hold runs sql in a transaction that stays open until release is closed.
func (db *DB) Hold(ctx context.Context, sql string, locked chan<- struct{}, release <-chan struct{}) error {
	tx, err := db.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, sql); err != nil {
		return err
	}
	close(locked)
	<-release
	return tx.Commit(ctx)
}

type SizedPart = sizedPart

func NewSizedPart(begin, end time.Time, bytes int64) SizedPart { return sizedPart{begin, end, bytes} }

var PerDay = perDay
