package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Letter is a dead letter: a batch that could not be used, with its exact bytes.
type Letter struct {
	ID         int64
	Agent      int64 // 0: an orphan, AgentName may be a lie
	AgentName  string
	Epoch      sentinel.Epoch
	Seq        uint64
	Count      uint64
	Reason     string
	Detail     string
	Envelope   []byte
	ReceivedAt time.Time
	CreatedAt  time.Time
	Charged    uint64    // records that the ledger counts as quarantined by it
	ReplayedAt time.Time // zero: it was not handed to the pipeline again
	TriedAt    time.Time // zero: the pipeline did not find it to be of no use again
}

// LetterFilter selects a page of dead letters. Zero fields select everything.
type LetterFilter struct {
	Agent   int64
	Orphans bool // only those of no agent
	Reason  string
	Before  int64 // only ids below this: the last one of the page before
	Limit   int   // letters per page [100], at most 1000
}

// Letters returns a page of dead letters, newest first, without their bytes.
func (db *DB) Letters(ctx context.Context, f LetterFilter) ([]Letter, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, coalesce(agent_id, 0), agent_name, epoch, seq, count, reason, detail, ''::bytea, received_at, created_at, `+letterState+`
		FROM dead_letters
		WHERE ($1::int8 = 0 OR agent_id = $1) AND (NOT $2 OR agent_id IS NULL)
			AND ($3 = '' OR reason = $3) AND ($4::int8 = 0 OR id < $4)
		ORDER BY id DESC LIMIT $5`, f.Agent, f.Orphans, f.Reason, f.Before, pageSize(f.Limit))
	if err != nil {
		return nil, failed("list dead letters", err)
	}
	list, err := pgx.CollectRows(rows, scanLetter)
	return list, failed("list dead letters", err)
}

// Letter returns one dead letter with its bytes, or NotFound.
func (db *DB) Letter(ctx context.Context, id int64) (Letter, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, coalesce(agent_id, 0), agent_name, epoch, seq, count, reason, detail, envelope, received_at, created_at, `+letterState+`
		FROM dead_letters WHERE id = $1`, id)
	if err != nil {
		return Letter{}, failed("read a dead letter", err)
	}
	l, err := pgx.CollectExactlyOneRow(rows, scanLetter)
	return l, failed("read a dead letter", err)
}

const letterState = `(SELECT coalesce(sum(upper(r) - lower(r)), 0)::int8 FROM unnest(charged) AS r), replayed_at, tried_at`

func scanLetter(row pgx.CollectableRow) (Letter, error) {
	var l Letter
	var epoch, seq, count int64
	var replayed, tried *time.Time
	err := row.Scan(&l.ID, &l.Agent, &l.AgentName, &epoch, &seq, &count, &l.Reason, &l.Detail, &l.Envelope, &l.ReceivedAt, &l.CreatedAt,
		&l.Charged, &replayed, &tried)
	l.Epoch, l.Seq, l.Count = sentinel.Epoch(epoch), uint64(seq), uint64(count)
	l.ReplayedAt, l.TriedAt = orZero(replayed), orZero(tried)
	return l, err
}

// NoteReplay notes that a letter is handed to the pipeline again, or answers
// NotFound. What becomes of it Commit decides: it goes where its batch is of use
// now, else its TriedAt says when it was found not to be.
func (db *DB) NoteReplay(ctx context.Context, e Entry, id int64) error {
	return db.audited(ctx, "note a replay", &e, func(tx pgx.Tx) error {
		return mustChange(ctx, tx, "note a replay", `UPDATE dead_letters SET replayed_at = now(), tried_at = NULL WHERE id = $1`, id)
	})
}

// LetterPurge selects the letters to remove: one, or those that fit all of the rest.
type LetterPurge struct {
	ID      int64
	Agent   int64
	Orphans bool
	Reason  string
	Before  time.Time // created before
}

// PurgeLetters removes letters and their bytes, and returns how many. The books
// stay as they are: what was quarantined stays counted so.
func (db *DB) PurgeLetters(ctx context.Context, e Entry, p LetterPurge) (n int64, err error) {
	err = db.audited(ctx, "purge dead letters", &e, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM dead_letters
			WHERE ($1::int8 = 0 OR id = $1) AND ($2::int8 = 0 OR agent_id = $2) AND (NOT $3 OR agent_id IS NULL)
				AND ($4 = '' OR reason = $4) AND ($5::timestamptz IS NULL OR created_at < $5)`, p.ID, p.Agent, p.Orphans, p.Reason, orNull(p.Before))
		n = tag.RowsAffected()
		if err == nil && n == 0 && p.ID != 0 {
			return sentinel.Errorf(sentinel.NotFound, "no such letter")
		}
		if e.Details == nil {
			e.Details = map[string]any{}
		}
		e.Details["letters"] = n
		return err
	})
	return n, err
}
