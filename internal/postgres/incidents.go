package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Incident is how an incident stands.
type Incident struct {
	Fingerprint string
	N           int64
	Agent       sentinel.AgentID
	Hostname    string
	Rule        string
	AlertName   string
	Severity    string
	State       string
	Was         string
	Reason      string
	Over        bool
	StartsAt    time.Time // zero: not begun
	FiredAt     time.Time
	EndsAt      time.Time
	ChangedAt   time.Time
	Change      []byte // the last change, JSON

	AckedBy    string
	AckedAt    time.Time
	AckComment string
}

// IncidentChange is one change of an incident, with how the incident stood after it.
type IncidentChange struct {
	Incident
	At       time.Time // event time
	From, To string
	Event    string // a line for people, where the change is one that they are told of
}

// NoteChanges keeps changes of incidents. What is kept already is left alone, and an
// older change never takes the place of a newer one. Those that people are told of
// become events, once.
func (db *DB) NoteChanges(ctx context.Context, changes []IncidentChange) error {
	return failed("note changes of incidents", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var events []IncidentChange
		batch := &pgx.Batch{}
		// All who note changes lock incidents in one order, so that none waits for another in a circle.
		inOrder := slices.SortedStableFunc(slices.Values(changes), func(a, b IncidentChange) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
		for _, c := range inOrder {
			batch.Queue(`INSERT INTO incident_changes (fingerprint, n, at, noted_at, from_state, to_state, reason, change)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb) ON CONFLICT DO NOTHING`,
				c.Fingerprint, c.N, c.At, c.ChangedAt, c.From, c.To, c.Reason, string(c.Change)).Exec(func(tag pgconn.CommandTag) error {
				if tag.RowsAffected() > 0 && c.Event != "" {
					events = append(events, c)
				}
				return nil
			})
			batch.Queue(`INSERT INTO incidents AS i (fingerprint, n, agent, hostname, rule, alertname, severity, state, was, reason, over, starts_at, fired_at, ends_at, changed_at, change)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::text::jsonb)
				ON CONFLICT (fingerprint) DO UPDATE SET n = excluded.n, hostname = excluded.hostname, severity = excluded.severity, state = excluded.state, was = excluded.was,
					reason = excluded.reason, over = excluded.over, starts_at = coalesce(excluded.starts_at, i.starts_at), fired_at = coalesce(excluded.fired_at, i.fired_at),
					ends_at = excluded.ends_at, changed_at = excluded.changed_at, change = excluded.change,
					acked_by = CASE WHEN excluded.fired_at IS DISTINCT FROM i.fired_at AND excluded.fired_at IS NOT NULL THEN '' ELSE i.acked_by END,
					acked_at = CASE WHEN excluded.fired_at IS DISTINCT FROM i.fired_at AND excluded.fired_at IS NOT NULL THEN NULL ELSE i.acked_at END,
					ack_comment = CASE WHEN excluded.fired_at IS DISTINCT FROM i.fired_at AND excluded.fired_at IS NOT NULL THEN '' ELSE i.ack_comment END
				WHERE i.n < excluded.n`,
				c.Fingerprint, c.N, c.Agent, printable(c.Hostname, 255), printable(c.Rule, 300), printable(c.AlertName, 255), c.Severity, c.State, c.Was, c.Reason, c.Over,
				orNull(c.StartsAt), orNull(c.FiredAt), orNull(c.EndsAt), c.ChangedAt, string(c.Change))
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		if len(events) == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockEvents); err != nil {
			return err
		}
		slices.SortStableFunc(events, func(a, b IncidentChange) int { return a.ChangedAt.Compare(b.ChangedAt) })
		for _, c := range events {
			if _, err := tx.Exec(ctx, `INSERT INTO events (at, kind, agent, detail) VALUES ($1, $2, $3, $4)`,
				c.ChangedAt, "alert."+c.To, c.Agent, printable(c.Event, 1000)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// OpenIncidents returns the last change of each incident of these agents that is not
// over, as JSON.
func (db *DB) OpenIncidents(ctx context.Context, agents []sentinel.AgentID) ([][]byte, error) {
	rows, err := db.pool.Query(ctx, `SELECT change::text FROM incidents WHERE NOT over AND agent = ANY($1)`, agents)
	if err != nil {
		return nil, failed("read incidents", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (raw []byte, err error) {
		var text string
		err = row.Scan(&text)
		return []byte(text), err
	})
	return list, failed("read incidents", err)
}

const incidentColumns = `fingerprint, n, agent, hostname, rule, alertname, severity, state, was, reason, over, starts_at, fired_at, ends_at, changed_at, change::text,
	acked_by, acked_at, ack_comment`

func scanIncident(row pgx.CollectableRow) (in Incident, err error) {
	var starts, fired, ends, acked *time.Time
	var change string
	err = row.Scan(&in.Fingerprint, &in.N, &in.Agent, &in.Hostname, &in.Rule, &in.AlertName, &in.Severity, &in.State, &in.Was, &in.Reason, &in.Over,
		&starts, &fired, &ends, &in.ChangedAt, &change, &in.AckedBy, &acked, &in.AckComment)
	in.StartsAt, in.FiredAt, in.EndsAt, in.AckedAt, in.Change = orZero(starts), orZero(fired), orZero(ends), orZero(acked), []byte(change)
	return in, err
}

// IncidentFilter selects incidents. Zero fields select everything.
type IncidentFilter struct {
	State    string // firing, pending, unknown, resolved, inactive
	Severity string
	Agent    string
	Rule     string // group/name
	Open     bool   // not over
	Before   time.Time
	After    string // fingerprint of the last one of the page before, beside Before
	Limit    int    // per page [100], at most 1000
}

// Incidents returns a page of incidents, those that changed last first.
func (db *DB) Incidents(ctx context.Context, f IncidentFilter) ([]Incident, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+incidentColumns+` FROM incidents
		WHERE ($1 = '' OR state = $1) AND ($2 = '' OR severity = $2) AND ($3 = '' OR agent = $3) AND ($4 = '' OR rule = $4) AND (NOT $5 OR NOT over)
			AND ($6::timestamptz IS NULL OR (changed_at, fingerprint) < ($6, $7))
		ORDER BY changed_at DESC, fingerprint DESC LIMIT $8`, f.State, f.Severity, f.Agent, f.Rule, f.Open, orNull(f.Before), f.After, pageSize(f.Limit))
	if err != nil {
		return nil, failed("list incidents", err)
	}
	list, err := pgx.CollectRows(rows, scanIncident)
	return list, failed("list incidents", err)
}

// Incident returns one incident, or NotFound.
func (db *DB) Incident(ctx context.Context, fingerprint string) (Incident, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+incidentColumns+` FROM incidents WHERE fingerprint = $1`, fingerprint)
	if err != nil {
		return Incident{}, failed("read an incident", err)
	}
	in, err := pgx.CollectExactlyOneRow(rows, scanIncident)
	return in, failed("read an incident", err)
}

// TimelineEntry is one change of an incident.
type TimelineEntry struct {
	N       int64
	At      time.Time
	NotedAt time.Time
	From    string
	To      string
	Reason  string
	Change  string // JSON
}

// Timeline returns the changes of an incident, the newest first.
func (db *DB) Timeline(ctx context.Context, fingerprint string, limit int) ([]TimelineEntry, error) {
	rows, err := db.pool.Query(ctx, `SELECT n, at, noted_at, from_state, to_state, reason, change::text FROM incident_changes
		WHERE fingerprint = $1 ORDER BY n DESC LIMIT $2`, fingerprint, pageSize(limit))
	if err != nil {
		return nil, failed("read a timeline", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TimelineEntry])
	return list, failed("read a timeline", err)
}

// AckIncident notes that somebody has taken on what fires. It answers NotFound where
// the incident does not fire.
func (db *DB) AckIncident(ctx context.Context, by Entry, fingerprint, who, comment string) error {
	return db.audited(ctx, "acknowledge an incident", &by, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE incidents SET acked_by = $2, acked_at = now(), ack_comment = $3
			WHERE fingerprint = $1 AND (state = 'firing' OR state = 'unknown' AND was = 'firing')`, fingerprint, printable(who, 255), printable(comment, 4000))
		if err == nil && tag.RowsAffected() == 0 {
			return sentinel.Errorf(sentinel.NotFound, "nothing fires under %.60q", fingerprint)
		}
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE alert_version SET version = version + 1`)
		}
		return err
	})
}

// Acknowledged returns the incidents that fire and are acknowledged.
func (db *DB) Acknowledged(ctx context.Context) ([]Incident, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+incidentColumns+` FROM incidents WHERE NOT over AND acked_at IS NOT NULL`)
	if err != nil {
		return nil, failed("read acknowledgements", err)
	}
	list, err := pgx.CollectRows(rows, scanIncident)
	return list, failed("read acknowledgements", err)
}

// DropIncidents removes what is over and changed last before a time, and older changes.
func (db *DB) DropIncidents(ctx context.Context, before time.Time) error {
	return failed("remove old incidents", pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`DELETE FROM incidents WHERE over AND changed_at < $1`,
			`DELETE FROM incident_changes WHERE noted_at < $1`,
			`DELETE FROM deliveries WHERE at < $1`,
			`DELETE FROM silences WHERE ends_at < $1`,
		} {
			if _, err := tx.Exec(ctx, sql, before); err != nil {
				return err
			}
		}
		return nil
	}))
}
