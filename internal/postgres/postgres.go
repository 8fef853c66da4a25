// Package postgres is the durable memory of the service: the fleet, the samples
// with their roll-ups, and the ledger that makes every sample count once. It is
// the only package that knows SQL. It runs on PostgreSQL 14 or newer, with
// TimescaleDB 2.18 or newer where that is installed.
//
// The role in the URL must own the database's tables: it needs CREATE on the
// schema that is first in its search_path, since migrations and partitions are
// made by the same role. TimescaleDB is used where the extension exists in the
// database, or where the role may create it. The session must be a session: a
// pooler in transaction mode breaks the advisory locks.
package postgres

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Config says where the database is and how hard to lean on it. Zero fields take
// the defaults in brackets.
type Config struct {
	URL              string          // postgres://user:password@host:port/database?sslmode=verify-full; a secret
	MaxConns         int32           // connections of this process [8]
	ConnectTimeout   time.Duration   // for one attempt [5s]
	StatementTimeout time.Duration   // a statement that takes longer is cancelled; roll-up and maintenance have their own [30s]
	Log              *slog.Logger    // [discarded]
	Limits           sentinel.Limits // bounds of sample times [sentinel.DefaultLimits]
	MaxLetters       int             // dead letters kept per agent; the oldest go [500]
	MaxOrphans       int             // dead letters kept that belong to no agent [2000]
}

func (c Config) withDefaults() Config {
	if c.MaxConns <= 0 {
		c.MaxConns = 8
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Limits == (sentinel.Limits{}) {
		c.Limits = sentinel.DefaultLimits()
	}
	if c.MaxLetters <= 0 {
		c.MaxLetters = 500
	}
	if c.MaxOrphans <= 0 {
		c.MaxOrphans = 2000
	}
	return c
}

// DB is a pool of connections to one migrated database. All methods are safe for
// concurrent use, by any number of processes on the same database.
type DB struct {
	pool   *pgxpool.Pool
	cfg    Config
	log    *slog.Logger
	engine atomic.Pointer[engine] // nil until first asked for

	mu         sync.Mutex
	partitions map[string]struct{}      // partitions seen to exist; may be dropped behind our back
	layouts    map[int64][]StoredSeries // by layout id; a layout never changes
	members    map[int64][]int64        // likewise: the ids of its series

	memberCount int // of all lists in members
}

// Open prepares a pool for cfg.URL. It connects lazily: a database that is down
// is no error here, Ping tells. An unusable URL is Invalid; the error names
// neither the URL nor any part of it. The caller must Close the DB.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		// The driver's text may quote the URL, and with it the password.
		return nil, sentinel.Errorf(sentinel.Invalid, "the database URL cannot be read: want postgres://user:password@host:port/database?sslmode=verify-full")
	}
	pc.MaxConns = cfg.MaxConns
	pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	// Statement texts are few and fixed, so each is planned once per connection.
	pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	for name, value := range map[string]string{
		"application_name": "sentinel",
		"timezone":         "UTC",
		// Agents free their logs on our commit, so a commit must be on disk even
		// where the server's default says otherwise.
		"synchronous_commit":                  "on",
		"statement_timeout":                   milliseconds(cfg.StatementTimeout),
		"idle_in_transaction_session_timeout": milliseconds(2 * time.Minute),
		// Our queries are short or scan arrays: compiling them costs more than it saves.
		"jit": "off",
	} {
		if _, set := pc.ConnConfig.RuntimeParams[name]; !set {
			pc.ConnConfig.RuntimeParams[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, failed("open the database", err)
	}
	return &DB{
		pool:       pool,
		cfg:        cfg,
		log:        cfg.Log,
		partitions: make(map[string]struct{}),
		layouts:    make(map[int64][]StoredSeries),
		members:    make(map[int64][]int64),
	}, nil
}

// Close waits for the connections in use and closes the pool.
func (db *DB) Close() { db.pool.Close() }

// Ping answers nil when the database answers a query, else an Unavailable error.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.pool.Ping(ctx); err != nil {
		return failed("ping the database", err)
	}
	return nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
