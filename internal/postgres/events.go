package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Event is something that happened in the fleet.
type Event struct {
	ID     int64
	At     time.Time
	Kind   string
	Agent  sentinel.AgentID // empty: none
	Detail string           // for people
}

// AddEvents keeps events. One that is kept later never gets a lower number than one
// that can be seen already: who has read up to a number misses none.
func (db *DB) AddEvents(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	ats, kinds, agents, details := make([]time.Time, len(events)), make([]string, len(events)), make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		ats[i], kinds[i], agents[i], details[i] = e.At, printable(e.Kind, 64), printable(string(e.Agent), 64), printable(e.Detail, 1000)
	}
	return failed("keep events", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockEvents); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO events (at, kind, agent, detail)
			SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[])`, ats, kinds, agents, details)
		return err
	}))
}

// EventFilter selects a page of events. Zero fields select everything.
type EventFilter struct {
	Kind     string
	Agent    string
	From, To time.Time // when it happened, To not included
	Before   int64     // only ids below this, newest first
	After    int64     // only ids above this, oldest first; goes before Before
	Oldest   bool      // oldest first, as with After
	Limit    int       // events per page [100], at most 1000
}

// Events returns a page of events: newest first, or with After those that came since.
func (db *DB) Events(ctx context.Context, f EventFilter) ([]Event, error) {
	order := "DESC"
	if f.After > 0 || f.Oldest {
		order = "ASC"
	}
	rows, err := db.pool.Query(ctx, `SELECT id, at, kind, agent, detail FROM events
		WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR agent = $2) AND ($3::int8 = 0 OR id < $3) AND id > $4
			AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
		ORDER BY id `+order+` LIMIT $7`, f.Kind, f.Agent, f.Before, f.After, orNull(f.From), orNull(f.To), pageSize(f.Limit))
	if err != nil {
		return nil, failed("read events", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Event])
	return list, failed("read events", err)
}

// LastEvent returns the highest number of an event, 0 where there is none.
func (db *DB) LastEvent(ctx context.Context) (id int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM events`).Scan(&id)
	return id, failed("read events", err)
}

// DropEvents removes the events from before.
func (db *DB) DropEvents(ctx context.Context, before time.Time) error {
	_, err := db.pool.Exec(ctx, `DELETE FROM events WHERE at < $1`, before)
	return failed("remove old events", err)
}
