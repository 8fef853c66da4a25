package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

//go:embed migrations/*.sql
var migrations embed.FS

const versionTable = "schema_version"

// Migrate brings the database to this binary's schema and returns. It may be
// called at every start by any number of processes at once: one works, the
// others wait for it. Each migration is one transaction together with its
// checksum; there is no way back. A migration that was edited after it was
// applied, and a database that a newer binary has migrated, are Conflict errors
// and leave everything as it is.
func (db *DB) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read embedded migrations: %w", err)
	}
	if err := db.migrate(ctx, files, chooseEngine); err != nil {
		return failed("migrate the database", err)
	}
	return db.makePartitionsAhead(ctx)
}

// migrate runs files; choose decides the engine of a database that has none yet.
func (db *DB) migrate(ctx context.Context, files fs.FS, choose chooser) error {
	steps, err := readMigrations(files)
	if err != nil {
		return err
	}
	// Connections of their own: waiting for another process's migration must not
	// run into the statement timeout.
	cc := db.pool.Config().ConnConfig.Copy()
	cc.RuntimeParams["statement_timeout"] = "0"
	cc.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	conns := stdlib.OpenDB(*cc)
	defer conns.Close()

	g := &guard{db: db, steps: steps, choose: choose}
	// goose takes the lock, and so looks at the history, only where something is
	// left to do. An edited history must be refused in any case.
	if err := g.inspect(ctx, conns); err != nil {
		return err
	}
	var list []*goose.Migration
	for _, s := range steps {
		list = append(list, goose.NewGoMigration(s.version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			return g.apply(ctx, tx, s)
		}}, nil))
	}
	runner, err := goose.NewProvider(goose.DialectPostgres, conns, nil,
		goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(list...),
		goose.WithTableName(versionTable), goose.WithSessionLocker(g))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	done, err := runner.Up(ctx)
	if err != nil {
		return err
	}
	for _, r := range done {
		db.log.InfoContext(ctx, "database migrated", "version", r.Source.Version, "took", r.Duration)
	}
	return nil
}

// step is one embedded migration, named NNNN_what.sql.
type step struct {
	version int64
	name    string
	sql     string
	sum     [sha256.Size]byte
}

func readMigrations(files fs.FS) ([]step, error) {
	names, err := fs.Glob(files, "*.sql") // sorted
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var steps []step
	for _, name := range names {
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number: %w", name, err)
		}
		// A checkout with other line ends is still the same migration.
		raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
		steps = append(steps, step{version: version, name: path.Base(name), sql: string(raw), sum: sha256.Sum256(raw)})
	}
	return steps, nil
}

type chooser func(context.Context, *sql.Conn, *slog.Logger) (string, error)

// guard holds the advisory lock around a run of goose and checks the history
// under it, on the connection that goose uses.
type guard struct {
	db     *DB
	steps  []step
	choose chooser
	engine string // of a fresh database; else the database says it
}

// inspect checks the history once, under the lock.
func (g *guard) inspect(ctx context.Context, conns *sql.DB) error {
	conn, err := conns.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if err := g.SessionLock(ctx, conn); err != nil {
		return err
	}
	return g.SessionUnlock(context.WithoutCancel(ctx), conn)
}

// SessionLock implements goose's lock.SessionLocker: it waits for the lock,
// then checks the history.
func (g *guard) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, lockMigrate); err != nil {
		return fmt.Errorf("wait for other migrations: %w", err)
	}
	if err := g.check(ctx, conn); err != nil {
		// goose unlocks only what SessionLock gave it.
		if _, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, lockMigrate); unlockErr != nil {
			return fmt.Errorf("%w (and unlock: %w)", err, unlockErr)
		}
		return err
	}
	return nil
}

func (g *guard) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, lockMigrate)
	return err
}

// check refuses histories that this binary must not touch, then decides which
// engine a fresh database gets.
func (g *guard) check(ctx context.Context, conn *sql.Conn) error {
	var server int
	if err := conn.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&server); err != nil {
		return fmt.Errorf("read the server's version: %w", err)
	}
	if server < 140000 {
		return sentinel.Errorf(sentinel.Invalid, "PostgreSQL %d is too old: 14 or newer is needed", server/10000)
	}
	if _, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_checksums (
			version    int8 PRIMARY KEY,
			name       text NOT NULL,
			sha256     bytea NOT NULL,
			applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return fmt.Errorf("create the table of checksums (the role needs CREATE on the schema): %w", err)
	}
	rows, err := conn.QueryContext(ctx, `SELECT version, name, sha256 FROM schema_checksums ORDER BY version`)
	if err != nil {
		return fmt.Errorf("read checksums: %w", err)
	}
	defer rows.Close()
	known := make(map[int64]step, len(g.steps))
	for _, s := range g.steps {
		known[s.version] = s
	}
	fresh := true
	for rows.Next() {
		fresh = false
		var version int64
		var name string
		var sum []byte
		if err := rows.Scan(&version, &name, &sum); err != nil {
			return fmt.Errorf("read checksums: %w", err)
		}
		s, ok := known[version]
		if !ok {
			return sentinel.Errorf(sentinel.Conflict, "the database has migration %d (%s), which this version of sentinel does not know: run the version that migrated it, or a newer one", version, name)
		}
		if !bytes.Equal(sum, s.sum[:]) {
			return sentinel.Errorf(sentinel.Conflict, "migration %d (%s) is not the one that was applied to the database as %s: an applied migration must never be edited", version, s.name, name)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read checksums: %w", err)
	}
	g.engine = "" // what the database says counts
	if fresh {
		g.engine, err = g.choose(ctx, conn, g.db.log)
	}
	return err
}

func (g *guard) apply(ctx context.Context, tx *sql.Tx, s step) error {
	engine := g.engine
	if engine == "" {
		if err := tx.QueryRowContext(ctx, `SELECT engine FROM storage`).Scan(&engine); err != nil {
			return fmt.Errorf("read the storage engine: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, `SELECT set_config('sentinel.engine', $1, true)`, engine); err != nil {
		return fmt.Errorf("tell the migration its engine: %w", err)
	}
	if _, err := tx.ExecContext(ctx, s.sql); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schema_checksums (version, name, sha256) VALUES ($1, $2, $3)`, s.version, s.name, s.sum[:]); err != nil {
		return fmt.Errorf("record checksum of %s: %w", s.name, err)
	}
	return nil
}
