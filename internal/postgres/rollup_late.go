package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxDirty bounds how many marks one transaction works off.
const maxDirty = 4000

// late makes the buckets again that are marked by now. Marks that come while it
// works wait for the next call: else busy writers would keep it here for ever.
func (r *roller) late(ctx context.Context, t tier) (done bool, err error) {
	var upTo int64
	if err := r.db.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM rollup_dirty`).Scan(&upTo); err != nil {
		return false, err
	}
	for {
		if r.slices++; r.slices > maxSlices {
			return false, nil
		}
		// These marks are committed, and so are the rows they stand for.
		rows, err := r.db.pool.Query(ctx, `SELECT id, agent_id, bucket FROM rollup_dirty
			WHERE tier = $1 AND id <= $2 ORDER BY id LIMIT $3`, t.name, upTo, maxDirty)
		if err != nil {
			return false, err
		}
		marks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[mark])
		if err != nil || len(marks) == 0 {
			return err == nil, err
		}
		times := make([]time.Time, len(marks))
		for i, m := range marks {
			times[i] = m.Bucket
		}
		st, err := r.state(ctx, r.db.pool)
		if err != nil {
			return false, err
		}
		if err := r.ensure(ctx, t, st, times...); err != nil {
			return false, err
		}
		busy, err := r.remake(ctx, t, marks)
		if err != nil || busy {
			return false, err
		}
	}
}

// mark is one row of rollup_dirty.
type mark struct {
	ID     int64
	Agent  int64
	Bucket time.Time
}

// remake replaces the roll-ups of the marked buckets and removes the marks.
func (r *roller) remake(ctx context.Context, t tier, marks []mark) (busy bool, err error) {
	ids := make([]int64, len(marks))
	for i, m := range marks {
		ids[i] = m.ID
	}
	late, rows := 0, 0
	err = pgx.BeginFunc(ctx, r.db.pool, func(tx pgx.Tx) error {
		if busy, err = r.lock(ctx, tx); err != nil || busy {
			return err
		}
		st, err := r.state(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM rollup_dirty WHERE id = ANY($1)`, ids); err != nil {
			return err
		}
		if t.step == time.Minute {
			if err := noteLate(ctx, tx, marks); err != nil {
				return fmt.Errorf("note what came late: %w", err)
			}
		}
		// A bucket that the first pass has not reached needs no second one; one
		// whose source is gone must keep what was made from it.
		upTo, _ := st.window(t)
		from := st.sourceFrom(t)
		var buckets []mark
		for _, m := range marks {
			if m.Bucket.Before(upTo) && !m.Bucket.Before(from) {
				buckets = append(buckets, m)
			}
		}
		r.stripsFrom = st.stripsFrom
		spans := join(buckets, t.step, t.most)
		for _, s := range spans {
			late += int(s.to.Sub(s.from) / t.step)
		}
		if err := r.erase(ctx, tx, t, spans); err != nil {
			return err
		}
		if rows, err = r.make(ctx, tx, t, spans); err != nil {
			return err
		}
		if t.step == time.Minute {
			return markHours(ctx, tx, buckets, st.hoursTo)
		}
		return nil
	})
	if err == nil && !busy {
		r.stats.Late += late
		r.stats.Rows += rows
	}
	return busy, err
}

// markHours marks the hours whose minutes were made again.
func markHours(ctx context.Context, tx pgx.Tx, minutes []mark, hoursTo time.Time) error {
	seen := make(map[bucket]struct{})
	var agents []int64
	var hours []time.Time
	for _, m := range minutes {
		hour := m.Bucket.Truncate(time.Hour)
		if k := (bucket{m.Agent, hour.Unix()}); hour.Before(hoursTo) && !has(seen, k) {
			seen[k] = struct{}{}
			agents, hours = append(agents, m.Agent), append(hours, hour)
		}
	}
	if len(agents) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO rollup_dirty (tier, agent_id, bucket)
		SELECT '1h', agent_id, bucket FROM unnest($1::int8[], $2::timestamptz[]) AS d(agent_id, bucket)`, agents, hours)
	return err
}

// span is a run of buckets of one agent, from inclusive, to exclusive.
type span struct {
	agent    int64
	from, to time.Time
}

// join merges marks into spans, each bucket once, near ones of all agents
// together so that a chunk of spans touches few partitions, none of them longer than
// most buckets.
func join(marks []mark, step time.Duration, most int) []span {
	slices.SortFunc(marks, func(a, b mark) int {
		if a.Agent != b.Agent {
			return int(min(1, max(-1, a.Agent-b.Agent)))
		}
		return a.Bucket.Compare(b.Bucket)
	})
	var out []span
	for _, m := range marks {
		if n := len(out) - 1; n >= 0 && out[n].agent == m.Agent && !m.Bucket.After(out[n].to) {
			if end := m.Bucket.Add(step); end.After(out[n].to) && out[n].to.Sub(out[n].from) < time.Duration(most)*step {
				out[n].to = end
				continue
			} else if !end.After(out[n].to) {
				continue // the same bucket again
			}
		}
		out = append(out, span{m.Agent, m.Bucket, m.Bucket.Add(step)})
	}
	slices.SortStableFunc(out, func(a, b span) int { return a.from.Compare(b.from) })
	return out
}

// erase removes the roll-ups of spans. The statements carry their values in the
// text: so the planner sees which partition, or which compressed segment, each
// of them is about.
func (r *roller) erase(ctx context.Context, tx pgx.Tx, t tier, spans []span) error {
	if len(spans) == 0 {
		return nil
	}
	e, err := r.db.storageEngine(ctx)
	if err != nil {
		return err
	}
	var sql []byte
	if e == timescale {
		// The limit guards against mistakes; ours are few segments, on purpose.
		sql = append(sql, "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0;\n"...)
	}
	const stamp = "2006-01-02 15:04:05Z07:00"
	for _, s := range spans {
		for _, table := range t.tables() {
			sql = fmt.Appendf(sql, "DELETE FROM %s WHERE agent_id = %d AND ts >= '%s' AND ts < '%s';\n",
				table, s.agent, s.from.UTC().Format(stamp), s.to.UTC().Format(stamp))
		}
	}
	_, err = tx.Exec(ctx, string(sql))
	return err
}
