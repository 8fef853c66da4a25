package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Keys of our advisory locks. They share one space per database.
const (
	lockMigrate    int64 = 0x53656e74_00000001 // session: one migration at a time
	lockPartitions int64 = 0x53656e74_00000002 // transaction: one maker or dropper of partitions at a time
	lockWatermark  int64 = 0x53656e74_00000003 // transaction: shared by every commit, exclusive to move the roll-up watermark
	lockRollup     int64 = 0x53656e74_00000004 // session: one roller at a time
	lockAudit      int64 = 0x53656e74_00000005 // transaction: entries of the audit log become visible in their order
	lockEvents     int64 = 0x53656e74_00000007 // transaction: events become visible in their order
	lockSetup      int64 = 0x53656e74_00000006 // transaction: one first administrator
)

// engine is how the big tables are cut by time. It is chosen when the database
// is first migrated and never changes afterwards.
type engine string

const (
	native    engine = "native"
	timescale engine = "timescale"
)

// oldestTimescale is the first version with the columnstore interface we use.
const oldestTimescale = "2.18"

// Engine returns "timescale" or "native": whether TimescaleDB or PostgreSQL's
// own partitions hold the samples of this (migrated) database.
func (db *DB) Engine(ctx context.Context) (string, error) {
	e, err := db.storageEngine(ctx)
	return string(e), err
}

func (db *DB) storageEngine(ctx context.Context) (engine, error) {
	if e := db.engine.Load(); e != nil {
		return *e, nil
	}
	var e engine
	if err := db.pool.QueryRow(ctx, `SELECT engine FROM storage`).Scan((*string)(&e)); err != nil {
		return "", failed("read the storage engine", err)
	}
	db.engine.Store(&e)
	return e, nil
}

// chooseEngine takes TimescaleDB where the extension is there in a usable
// version, or can be created; in every other case PostgreSQL alone, and logs why
// where that could surprise.
func chooseEngine(ctx context.Context, conn *sql.Conn, log *slog.Logger) (string, error) {
	var installed, available sql.NullString
	err := conn.QueryRowContext(ctx, `SELECT installed_version, default_version
		FROM pg_available_extensions WHERE name = 'timescaledb'`).Scan(&installed, &available)
	if errors.Is(err, sql.ErrNoRows) {
		return string(native), nil
	}
	if err != nil {
		return "", fmt.Errorf("look for TimescaleDB: %w", err)
	}
	if installed.Valid {
		if olderThan(installed.String, oldestTimescale) {
			return "", sentinel.Errorf(sentinel.Invalid, "TimescaleDB %s is installed, %s or newer is needed: run ALTER EXTENSION timescaledb UPDATE, or use a database without it", installed.String, oldestTimescale)
		}
		return string(timescale), nil
	}
	if olderThan(available.String, oldestTimescale) {
		log.WarnContext(ctx, "TimescaleDB is too old, using native partitions", "version", available.String, "want", oldestTimescale)
		return string(native), nil
	}
	// Creating the extension in a server that has not preloaded it kills the
	// session, so it is tried only where we can see that it is preloaded.
	var preloaded bool
	if err := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_settings
		WHERE name = 'shared_preload_libraries' AND setting LIKE '%timescaledb%')`).Scan(&preloaded); err != nil {
		return "", fmt.Errorf("look for TimescaleDB: %w", err)
	}
	if !preloaded {
		log.WarnContext(ctx, "TimescaleDB is available but not preloaded as far as this role can see, using native partitions")
		return string(native), nil
	}
	if _, err := conn.ExecContext(ctx, `CREATE EXTENSION IF NOT EXISTS timescaledb`); err != nil {
		log.WarnContext(ctx, "TimescaleDB cannot be created by this role, using native partitions", "error", err)
		return string(native), nil
	}
	return string(timescale), nil
}

// olderThan compares dotted versions number by number; what is not a number
// counts as 0, so "2.18.0-dev" is not older than "2.18".
func olderThan(version, than string) bool {
	a, b := strings.Split(version, "."), strings.Split(than, ".")
	for i := range b {
		var x, y int
		if i < len(a) {
			_, _ = fmt.Sscanf(a[i], "%d", &x)
		}
		_, _ = fmt.Sscanf(b[i], "%d", &y)
		if x != y {
			return x < y
		}
	}
	return false
}
