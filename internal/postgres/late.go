package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// LateData is a stretch of time of an agent, in the samples' own time, in which data
// came after its minutes were closed.
type LateData struct {
	Agent        sentinel.AgentID
	Since, Until time.Time // whole minutes, Until excluded
	NotedAt      time.Time // when the last of it was rolled up
}

// maxLate bounds how many rows one call of LateData reads.
const maxLate = 20_000

// longestLate is how long a stretch that grows may become; a new one begins then.
const longestLate = 6 * time.Hour

// noteLate keeps which minutes came late. What goes on where it ended a moment ago is
// one stretch: an agent that is always late must not fill the table.
func noteLate(ctx context.Context, tx pgx.Tx, marks []mark) error {
	if len(marks) == 0 {
		return nil
	}
	spans := join(slices.Clone(marks), time.Minute, int(longestLate/time.Minute))
	agents, since, until := make([]int64, len(spans)), make([]time.Time, len(spans)), make([]time.Time, len(spans))
	for i, s := range spans {
		agents[i], since[i], until[i] = s.agent, s.from, s.to
	}
	_, err := tx.Exec(ctx, `WITH s AS (
			SELECT * FROM unnest($1::int8[], $2::timestamptz[], $3::timestamptz[]) AS s(agent_id, since, until)
		), grown AS (
			UPDATE late_data l SET since = least(l.since, s.since), until = greatest(l.until, s.until), noted_at = now() FROM s
			WHERE l.agent_id = s.agent_id AND l.since <= s.until AND l.until >= s.since
				AND l.noted_at > now() - INTERVAL '10 minutes' AND l.until - l.since < $4::interval
			RETURNING s.agent_id, s.since
		)
		INSERT INTO late_data (agent_id, since, until, noted_at)
		SELECT agent_id, since, until, now() FROM s
		WHERE NOT EXISTS (SELECT FROM grown g WHERE g.agent_id = s.agent_id AND g.since = s.since)`, agents, since, until, longestLate)
	return err
}

// LateData returns what of [from, to) came late to these agents, ascending in time; the
// stretches of one agent may overlap. Of very many the first are returned.
func (db *DB) LateData(ctx context.Context, agents []int64, from, to time.Time) ([]LateData, error) {
	// A stretch is at most twice as long as one that grows, and one pass's join longer.
	rows, err := db.pool.Query(ctx, `SELECT a.name, l.since, l.until, l.noted_at FROM late_data l JOIN agents a ON a.id = l.agent_id
		WHERE l.agent_id = ANY($1) AND l.since >= $2::timestamptz - $4::interval AND l.since < $3 AND l.until > $2
		ORDER BY l.since, a.name LIMIT $5`, agents, from, to, 3*longestLate, maxLate)
	if err != nil {
		return nil, failed("read what came late", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LateData])
	return out, failed("read what came late", err)
}
