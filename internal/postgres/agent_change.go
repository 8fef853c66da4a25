package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// AgentChange says what of an agent is to be different; nil leaves as it is.
type AgentChange struct {
	Labels   *[]sentinel.Label
	Disabled *bool
	// Check, where set, sees the agent as it is, locked; its error ends the change.
	Check func(Agent) error
}

// ChangeAgent changes an agent, or answers NotFound.
func (db *DB) ChangeAgent(ctx context.Context, e Entry, id int64, ch AgentChange) (a Agent, err error) {
	var labels *string
	if ch.Labels != nil {
		raw, err := labelsJSON(*ch.Labels)
		if err != nil {
			return a, err
		}
		labels = &raw
	}
	one := func(tx pgx.Tx, sql string, args ...any) (Agent, error) {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return Agent{}, err
		}
		return pgx.CollectExactlyOneRow(rows, scanAgent)
	}
	err = db.audited(ctx, "change an agent", &e, func(tx pgx.Tx) error {
		if a, err = one(tx, `SELECT `+agentColumns+` FROM agents WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
			return err
		}
		if ch.Check != nil {
			if err := ch.Check(a); err != nil {
				return err
			}
		}
		if labels != nil {
			if a, err = one(tx, `UPDATE agents SET labels = $2::text::jsonb WHERE id = $1 RETURNING `+agentColumns, id, *labels); err != nil {
				return err
			}
		}
		if ch.Disabled != nil { // by itself: the column's trigger tells the keyrings
			a, err = one(tx, `UPDATE agents SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END
				WHERE id = $1 RETURNING `+agentColumns, id, *ch.Disabled)
		}
		return err
	})
	return a, err
}

// DeleteAgent removes an agent with its keys, books, dead letters, series and
// layouts, or answers NotFound. Its rows of samples can no longer be read, and go
// with everybody's when their time is over. Other agents' books are not touched.
func (db *DB) DeleteAgent(ctx context.Context, e Entry, id int64) error {
	return db.audited(ctx, "delete an agent", &e, func(tx pgx.Tx) error {
		return mustChange(ctx, tx, "delete an agent", `DELETE FROM agents WHERE id = $1`, id)
	})
}

// InFlight returns for each of these agents how many records it has written that
// are not settled, as far as its reports tell.
func (db *DB) InFlight(ctx context.Context, ids []int64) (map[int64]uint64, error) {
	rows, err := db.pool.Query(ctx, `SELECT agent_id, sum(appended - stored_cycles - stored_reports - quarantined
			- lost_bytes - lost_age - lost_disk_full - lost_damaged - lost_rejected)::int8
		FROM ingest_ledger WHERE agent_id = ANY($1) GROUP BY agent_id`, ids)
	if err != nil {
		return nil, failed("count records in flight", err)
	}
	out := make(map[int64]uint64, len(ids))
	var id, n int64
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		out[id] = uint64(max(0, n))
		return nil
	})
	return out, failed("count records in flight", err)
}
