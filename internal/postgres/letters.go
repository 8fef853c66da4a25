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
	rows, err := db.pool.Query(ctx, `SELECT id, coalesce(agent_id, 0), agent_name, epoch, seq, count, reason, detail, ''::bytea, received_at, created_at
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
	rows, err := db.pool.Query(ctx, `SELECT id, coalesce(agent_id, 0), agent_name, epoch, seq, count, reason, detail, envelope, received_at, created_at
		FROM dead_letters WHERE id = $1`, id)
	if err != nil {
		return Letter{}, failed("read a dead letter", err)
	}
	l, err := pgx.CollectExactlyOneRow(rows, scanLetter)
	return l, failed("read a dead letter", err)
}

func scanLetter(row pgx.CollectableRow) (Letter, error) {
	var l Letter
	var epoch, seq, count int64
	err := row.Scan(&l.ID, &l.Agent, &l.AgentName, &epoch, &seq, &count, &l.Reason, &l.Detail, &l.Envelope, &l.ReceivedAt, &l.CreatedAt)
	l.Epoch, l.Seq, l.Count = sentinel.Epoch(epoch), uint64(seq), uint64(count)
	return l, err
}
