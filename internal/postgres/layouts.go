package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// StoredSeries is a series and its row.
type StoredSeries struct {
	ID int64
	sentinel.Series
}

// EnsureLayout makes a layout known and returns its row. It is idempotent and
// may be called by many at once for the same layout: all get the same id. The
// caller has checked that hash is the hash of definition, that definition
// decodes to layout, and the layout's limits; text that the database cannot hold
// is Invalid. An agent that does not exist is NotFound, one that has made far too
// many layouts or series ResourceExhausted.
func (db *DB) EnsureLayout(ctx context.Context, agent int64, hash sentinel.LayoutHash, definition []byte, layout sentinel.Layout) (int64, error) {
	known, err := db.LookupLayouts(ctx, agent, []sentinel.LayoutHash{hash})
	if err != nil {
		return 0, err
	}
	if id, ok := known[hash]; ok {
		return id, nil
	}
	rows, err := seriesRows(layout)
	if err != nil {
		return 0, err
	}
	var id int64
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		ids, err := ensureSeries(ctx, tx, agent, rows)
		if err != nil {
			return err
		}
		if err := checkCaps(ctx, tx, agent); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO layouts (agent_id, hash, definition, series_ids)
			VALUES ($1, $2, $3, $4) ON CONFLICT (agent_id, hash) DO NOTHING`, agent, hash[:], definition, ids); err != nil {
			return fmt.Errorf("insert layout: %w", err)
		}
		return tx.QueryRow(ctx, `SELECT id FROM layouts WHERE agent_id = $1 AND hash = $2`, agent, hash[:]).Scan(&id)
	})
	if err != nil {
		return 0, failed("make a layout known", err)
	}
	return id, nil
}

const (
	// What one agent may fill the tables of layouts and series with: years of
	// honest change, and a bound for a hostile one.
	maxAgentLayouts = 20_000
	maxAgentSeries  = 200_000
)

func checkCaps(ctx context.Context, tx pgx.Tx, agent int64) error {
	var layouts, series int
	if err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM layouts WHERE agent_id = $1), (SELECT count(*) FROM series WHERE agent_id = $1)`,
		agent).Scan(&layouts, &series); err != nil {
		return fmt.Errorf("count layouts: %w", err)
	}
	if layouts >= maxAgentLayouts || series > maxAgentSeries {
		return sentinel.Errorf(sentinel.ResourceExhausted, "the agent has %d layouts and %d series, at most %d and %d are kept", layouts, series, maxAgentLayouts, maxAgentSeries)
	}
	return nil
}

// LookupLayouts returns the rows of those layouts of an agent that are known.
func (db *DB) LookupLayouts(ctx context.Context, agent int64, hashes []sentinel.LayoutHash) (map[sentinel.LayoutHash]int64, error) {
	raw := make([][]byte, len(hashes))
	for i := range hashes {
		raw[i] = hashes[i][:]
	}
	rows, err := db.pool.Query(ctx, `SELECT hash, id FROM layouts WHERE agent_id = $1 AND hash = ANY($2)`, agent, raw)
	if err != nil {
		return nil, failed("look up layouts", err)
	}
	found := make(map[sentinel.LayoutHash]int64, len(hashes))
	var hash []byte
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&hash, &id}, func() error {
		if len(hash) == len(sentinel.LayoutHash{}) {
			found[sentinel.LayoutHash(hash)] = id
		}
		return nil
	})
	if err != nil {
		return nil, failed("look up layouts", err)
	}
	return found, nil
}

// Layout returns the definition of a layout as EnsureLayout got it, or NotFound.
func (db *DB) Layout(ctx context.Context, agent int64, hash sentinel.LayoutHash) (id int64, definition []byte, err error) {
	err = db.pool.QueryRow(ctx, `SELECT id, definition FROM layouts WHERE agent_id = $1 AND hash = $2`, agent, hash[:]).Scan(&id, &definition)
	if err != nil {
		return 0, nil, failed("read a layout", err)
	}
	return id, definition, nil
}

// layoutSeries returns the series of layouts, by layout id, in their order.
// Layouts never change, so what was read once is kept.
func (db *DB) layoutSeries(ctx context.Context, ids []int64) (map[int64][]StoredSeries, error) {
	out := make(map[int64][]StoredSeries, len(ids))
	var missing []int64
	db.mu.Lock()
	for _, id := range ids {
		if s, ok := db.layouts[id]; ok {
			out[id] = s
		} else {
			missing = append(missing, id)
		}
	}
	db.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	rows, err := db.pool.Query(ctx, `SELECT l.id, s.id, s.name, s.labels, s.kind, s.unit
		FROM layouts l
		CROSS JOIN LATERAL unnest(l.series_ids) WITH ORDINALITY AS u(series_id, position)
		JOIN series s ON s.id = u.series_id
		WHERE l.id = ANY($1)
		ORDER BY l.id, u.position`, missing)
	if err != nil {
		return nil, failed("read layouts", err)
	}
	var layout int64
	var s StoredSeries
	var labels []byte
	var kind int16
	_, err = pgx.ForEachRow(rows, []any{&layout, &s.ID, &s.Name, &labels, &kind, &s.Unit}, func() error {
		s.Kind = sentinel.Kind(kind)
		if s.Labels, err = parseLabels(labels); err != nil {
			return err
		}
		out[layout] = append(out[layout], s)
		return nil
	})
	if err != nil {
		return nil, failed("read layouts", err)
	}
	db.mu.Lock()
	if len(db.layouts) > maxCachedLayouts {
		clear(db.layouts)
	}
	for _, id := range missing {
		if s, ok := out[id]; ok {
			db.layouts[id] = s
		}
	}
	db.mu.Unlock()
	return out, nil
}

// maxCachedLayouts bounds the cache: about 60 KB for a layout of 200 series.
const maxCachedLayouts = 2000
