package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Silence is one silence; Body is its JSON.
type Silence struct {
	ID       string
	Body     []byte
	StartsAt time.Time
	EndsAt   time.Time
}

// Silences returns those that ended after a time, the last to end first.
func (db *DB) Silences(ctx context.Context, since time.Time) ([]Silence, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, body::text, starts_at, ends_at FROM silences WHERE ends_at > $1 ORDER BY ends_at DESC, id LIMIT 10000`, since)
	if err != nil {
		return nil, failed("list silences", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Silence, err error) {
		var body string
		err = row.Scan(&s.ID, &body, &s.StartsAt, &s.EndsAt)
		s.Body = []byte(body)
		return s, err
	})
	return list, failed("list silences", err)
}

// PutSilence keeps a silence, also one that is there already.
func (db *DB) PutSilence(ctx context.Context, by Entry, s Silence) error {
	return db.audited(ctx, "keep a silence", &by, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO silences (id, body, starts_at, ends_at) VALUES ($1, $2::text::jsonb, $3, $4)
			ON CONFLICT (id) DO UPDATE SET body = excluded.body, starts_at = excluded.starts_at, ends_at = excluded.ends_at`, s.ID, string(s.Body), s.StartsAt, s.EndsAt)
		return err
	})
}

// Delivery is one attempt to tell somebody.
type Delivery struct {
	ID       int64
	At       time.Time
	Channel  string
	Key      string
	GroupKey string
	Reason   string
	Alerts   int32
	Attempt  int32
	TookMS   int64
	Error    string
	GaveUp   bool
}

// NoteDeliveries keeps attempts. Those that are kept already are left alone.
func (db *DB) NoteDeliveries(ctx context.Context, list []Delivery) error {
	batch := &pgx.Batch{}
	for _, d := range list {
		batch.Queue(`INSERT INTO deliveries (at, channel, key, group_key, reason, alerts, attempt, took_ms, error, gave_up)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
			d.At, printable(d.Channel, 255), d.Key, printable(d.GroupKey, 4000), d.Reason, d.Alerts, d.Attempt, d.TookMS, printable(d.Error, 1000), d.GaveUp)
	}
	return failed("note deliveries", db.pool.SendBatch(ctx, batch).Close())
}

// DeliveryFilter selects a page of attempts. Zero fields select everything.
type DeliveryFilter struct {
	Channel string // or the receiver before its first slash
	Failed  bool
	Before  int64
	Limit   int
}

// Deliveries returns a page of attempts, newest first.
func (db *DB) Deliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, at, channel, key, group_key, reason, alerts, attempt, took_ms, error, gave_up FROM deliveries
		WHERE ($1 = '' OR channel = $1 OR starts_with(channel, $1 || '/')) AND (NOT $2 OR error <> '') AND ($3::int8 = 0 OR id < $3)
		ORDER BY id DESC LIMIT $4`, f.Channel, f.Failed, f.Before, pageSize(f.Limit))
	if err != nil {
		return nil, failed("list deliveries", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
	return list, failed("list deliveries", err)
}
