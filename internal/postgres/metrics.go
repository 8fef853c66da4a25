package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Metric is what is known of the series of one name.
type Metric struct {
	Name string
	Kind sentinel.Kind
	Unit string
}

// maxMetrics bounds how many metrics are listed.
const maxMetrics = 100_000

// Metrics lists the metrics that any agent has, sorted by name, or those of one
// name. One that agents disagree about stands there several times. A limit of 0 is
// as many as there are.
func (db *DB) Metrics(ctx context.Context, name string, limit int) ([]Metric, error) {
	if !storable(name) {
		return nil, nil
	}
	if limit <= 0 || limit > maxMetrics {
		limit = maxMetrics
	}
	// From name to name through the index: far fewer than there are series.
	rows, err := db.pool.Query(ctx, `WITH RECURSIVE names AS (
			(SELECT name FROM series WHERE $1 = '' OR name = $1 ORDER BY name LIMIT 1)
			UNION ALL
			SELECT (SELECT s.name FROM series s WHERE s.name > n.name ORDER BY s.name LIMIT 1) FROM names n WHERE n.name IS NOT NULL AND $1 = ''
		)
		SELECT DISTINCT s.name, s.kind, s.unit FROM names n
		CROSS JOIN LATERAL (SELECT name, kind, unit FROM series WHERE name = n.name
			AND agent_id NOT IN (SELECT id FROM agents WHERE synthetic) ORDER BY agent_id DESC LIMIT 100) s
		ORDER BY s.name, s.kind, s.unit LIMIT $2`, name, limit)
	if err != nil {
		return nil, failed("list metrics", err)
	}
	metrics, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Metric])
	return metrics, failed("list metrics", err)
}
