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
	if string(raw) == "{}" {
		return nil, nil
	}
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
