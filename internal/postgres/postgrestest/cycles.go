package postgrestest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Cycles reads every stored cycle of an agent, in the order of their times, row
// by row as they are: one that was stored twice comes twice.
func Cycles(ctx context.Context, url string, agent sentinel.AgentID) ([]sentinel.Cycle, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT s.ts, l.hash, s.vals
		FROM scrapes s
		JOIN layouts l ON l.id = s.layout_id
		JOIN agents a ON a.id = s.agent_id
		WHERE a.name = $1 ORDER BY s.ts`, agent)
	if err != nil {
		return nil, err
	}
	var at time.Time
	var hash []byte
	var vals []*float64
	var cycles []sentinel.Cycle
	_, err = pgx.ForEachRow(rows, []any{&at, &hash, &vals}, func() error {
		if len(hash) != len(sentinel.LayoutHash{}) {
			return fmt.Errorf("layout hash of %d bytes", len(hash))
		}
		c := sentinel.Cycle{Layout: sentinel.LayoutHash(hash), Time: at, Values: make([]float64, len(vals))}
		for i, v := range vals {
			c.Values[i] = sentinel.Absent()
			if v != nil {
				c.Values[i] = *v
			}
		}
		cycles = append(cycles, c)
		return nil
	})
	return cycles, err
}

// Dump returns everything that the public schema's tables hold, as text, byte
// columns in hexadecimal: what a thief of the database would have.
func Dump(ctx context.Context, url string) ([]byte, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT format('%I', c.relname) FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, table := range tables {
		rows, err := conn.Query(ctx, `SELECT t::text FROM `+table+` t`)
		if err != nil {
			return nil, err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			out = fmt.Appendf(out, "%s: %s\n", table, l)
		}
	}
	return out, nil
}

// FillMinutes puts a roll-up of every minute between two times into the database, of
// width values between 0 and 100 each, and nothing else of them.
func FillMinutes(ctx context.Context, url string, agent, layout int64, width int, from, to time.Time) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var native bool
	if err := conn.QueryRow(ctx, `SELECT engine = 'native' FROM storage`).Scan(&native); err != nil {
		return err
	}
	if native { // one partition for what lies before those that are there, on the first call
		_, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS scrapes_1m_default PARTITION OF scrapes_1m DEFAULT`)
		if err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, `INSERT INTO scrapes_1m (ts, agent_id, layout_id, mins, maxs, sums, counts, lasts)
		SELECT t, $1, $2, '{}', '{}', '{}', '{}', ARRAY(SELECT 50 + 50 * sin(extract(epoch FROM t) / 3600 + i) FROM generate_series(1, $3::int) i)
		FROM generate_series($4::timestamptz, $5::timestamptz - INTERVAL '1 minute', INTERVAL '1 minute') t`, agent, layout, width, from, to)
	return err
}
