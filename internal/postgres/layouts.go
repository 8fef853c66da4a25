package postgres

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

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
// is Invalid. An agent that does not exist is NotFound.
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

// seriesRow is a series on its way into the database.
type seriesRow struct {
	key    []byte
	series sentinel.Series
	labels string // JSON
}

func seriesRows(layout sentinel.Layout) ([]seriesRow, error) {
	rows := make([]seriesRow, len(layout))
	for i, s := range layout {
		labels, err := labelsJSON(s.Labels)
		if err != nil {
			return nil, err
		}
		if !storable(s.Name) || !storable(s.Unit) {
			return nil, sentinel.Errorf(sentinel.Invalid, "series %.80q is not clean UTF-8", s.Name)
		}
		sum := sha256.Sum256([]byte(s.String()))
		rows[i] = seriesRow{key: sum[:], series: s, labels: labels}
	}
	return rows, nil
}

// ensureSeries returns the ids of rows, in their order, creating what is missing.
func ensureSeries(ctx context.Context, tx pgx.Tx, agent int64, rows []seriesRow) ([]int64, error) {
	// Inserted in the order of their keys: concurrent callers with overlapping
	// layouts wait for each other in the same order.
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b seriesRow) int { return bytes.Compare(a.key, b.key) })
	sorted = slices.CompactFunc(sorted, func(a, b seriesRow) bool { return bytes.Equal(a.key, b.key) })
	n := len(sorted)
	keys, names, labels := make([][]byte, n), make([]string, n), make([]string, n)
	kinds, units := make([]int16, n), make([]string, n)
	for i, r := range sorted {
		keys[i], names[i], labels[i] = r.key, r.series.Name, r.labels
		kinds[i], units[i] = int16(r.series.Kind), r.series.Unit
	}
	// A series is its name and labels; kind and unit follow the newest layout.
	if _, err := tx.Exec(ctx, `INSERT INTO series AS s (agent_id, key, name, labels, kind, unit)
		SELECT $1, key, name, labels::jsonb, kind, unit
		FROM unnest($2::bytea[], $3::text[], $4::text[], $5::int2[], $6::text[]) AS u(key, name, labels, kind, unit)
		ORDER BY key
		ON CONFLICT (agent_id, key) DO UPDATE SET kind = excluded.kind, unit = excluded.unit
		WHERE (s.kind, s.unit) IS DISTINCT FROM (excluded.kind, excluded.unit)`,
		agent, keys, names, labels, kinds, units); err != nil {
		return nil, fmt.Errorf("insert series: %w", err)
	}
	found, err := tx.Query(ctx, `SELECT key, id FROM series WHERE agent_id = $1 AND key = ANY($2)`, agent, keys)
	if err != nil {
		return nil, fmt.Errorf("read series: %w", err)
	}
	byKey := make(map[string]int64, n)
	var key []byte
	var id int64
	if _, err := pgx.ForEachRow(found, []any{&key, &id}, func() error { byKey[string(key)] = id; return nil }); err != nil {
		return nil, fmt.Errorf("read series: %w", err)
	}
	ids := make([]int64, len(rows))
	for i, r := range rows {
		if ids[i] = byKey[string(r.key)]; ids[i] == 0 {
			return nil, fmt.Errorf("series %d of the layout vanished", i)
		}
	}
	return ids, nil
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

func storable(s string) bool { return utf8.ValidString(s) && !bytes.ContainsRune([]byte(s), 0) }

// labelsJSON writes labels as a JSON object, or Invalid for text that PostgreSQL
// refuses: encoding/json would silently replace it.
func labelsJSON(labels []sentinel.Label) (string, error) {
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		if !storable(l.Name) || !storable(l.Value) {
			return "", sentinel.Errorf(sentinel.Invalid, "label %.80q is not clean UTF-8", l.Name)
		}
		m[l.Name] = l.Value
	}
	raw, err := json.Marshal(m)
	return string(raw), err
}

func parseLabels(raw []byte) ([]sentinel.Label, error) {
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read labels: %w", err)
	}
	if len(m) == 0 {
		return nil, nil
	}
	labels := make([]sentinel.Label, 0, len(m))
	for n, v := range m {
		labels = append(labels, sentinel.Label{Name: n, Value: v})
	}
	slices.SortFunc(labels, func(a, b sentinel.Label) int { return cmp.Compare(a.Name, b.Name) })
	return labels, nil
}
