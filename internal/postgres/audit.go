package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// ActorKind says what somebody has shown to be let in.
type ActorKind string

const (
	ActorUser      ActorKind = "user"      // a session
	ActorToken     ActorKind = "token"     // an API token
	ActorConsole   ActorKind = "console"   // access to the database itself, by a server's program
	ActorEnrolment ActorKind = "enrolment" // an enrolment token: an agent by itself
	ActorNobody    ActorKind = "nobody"    // nothing: a login that failed
)

// Actor is who asks for something.
type Actor struct {
	Kind    ActorKind
	ID      int64 // of the user or token
	Name    string
	Role    Role
	Expires time.Time // of the session or token; zero: never
}

// Entry is one line of the audit log. It holds no secret: neither does anything
// that is put into Details.
type Entry struct {
	ID        int64
	At        time.Time
	Actor     Actor // Kind and Name are kept
	Action    string
	Target    string
	RequestID string
	Remote    string // address that the request came from
	Details   map[string]any
}

// audit writes an entry as the last thing of a transaction: it holds a lock until
// the commit, so that entries become visible in the order of their numbers.
func audit(ctx context.Context, tx pgx.Tx, e Entry) error {
	details := []byte("{}")
	if len(e.Details) > 0 {
		var err error
		if details, err = json.Marshal(e.Details); err != nil {
			return fmt.Errorf("encode audit details: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockAudit); err != nil {
		return fmt.Errorf("lock the audit log: %w", err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO audit_log (actor_kind, actor, action, target, request_id, remote, details)
		VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)`, e.Actor.Kind, printable(e.Actor.Name, 255), printable(e.Action, 64),
		printable(e.Target, 255), printable(e.RequestID, 64), printable(e.Remote, 64), string(details))
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// audited runs f and writes the entry in one transaction: both or neither.
func (db *DB) audited(ctx context.Context, doing string, e *Entry, f func(tx pgx.Tx) error) error {
	return failed(doing, pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		return audit(ctx, tx, *e)
	}))
}

// changeBy runs a statement that must change a row, together with its entry, and
// answers NotFound when it does not.
func (db *DB) changeBy(ctx context.Context, doing string, by Entry, sql string, args ...any) error {
	return db.audited(ctx, doing, &by, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
			err = sentinel.Errorf(sentinel.NotFound, "no such row")
		}
		return err
	})
}

// Audit writes an entry by itself.
func (db *DB) Audit(ctx context.Context, e Entry) error {
	return db.audited(ctx, "write the audit log", &e, func(pgx.Tx) error { return nil })
}

// AuditFilter selects a page of the audit log. Zero fields select everything.
type AuditFilter struct {
	Actor, Action, Target string
	From, To              time.Time
	Before                int64 // only ids below this, newest first
	After                 int64 // only ids above this, oldest first; goes before Before
	Oldest                bool  // oldest first, as with After
	Limit                 int   // entries per page [100], at most 1000
}

// AuditLog returns a page of the log: newest first, or with After those that came
// since. An entry that is not there yet never gets a lower number than one that is.
func (db *DB) AuditLog(ctx context.Context, f AuditFilter) ([]Entry, error) {
	order := "DESC"
	if f.After > 0 || f.Oldest {
		order = "ASC"
	}
	rows, err := db.pool.Query(ctx, `SELECT id, at, actor_kind, actor, action, target, request_id, remote, details FROM audit_log
		WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR action = $2 OR starts_with(action, $2 || '.')) AND ($3 = '' OR target = $3)
			AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
			AND ($6::int8 = 0 OR id < $6) AND id > $7
		ORDER BY id `+order+` LIMIT $8`, f.Actor, f.Action, f.Target, orNull(f.From), orNull(f.To), f.Before, f.After, pageSize(f.Limit))
	if err != nil {
		return nil, failed("read the audit log", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Entry, error) {
		var e Entry
		err := row.Scan(&e.ID, &e.At, &e.Actor.Kind, &e.Actor.Name, &e.Action, &e.Target, &e.RequestID, &e.Remote, &e.Details)
		return e, err
	})
	return list, failed("read the audit log", err)
}
