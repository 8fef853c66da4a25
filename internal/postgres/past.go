package postgres

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// PastLayout is a layout of which some series were asked for.
type PastLayout struct {
	Hash   sentinel.LayoutHash
	Series sentinel.Layout // all of them
	At     []int           // positions of those that were asked for
	Asked  sentinel.Layout // the series at these
}

// PastCycle is a cycle with the values that were asked for: Values[i] belongs to
// Layout.Asked[i]. A row of the minutes stands for the minute's last values.
type PastCycle struct {
	Layout *PastLayout
	Time   time.Time
	Values []float64
}

// Whole returns the cycle's values in the order of all series; those that were not
// asked for are absent.
func (c PastCycle) Whole() []float64 {
	out := make([]float64, len(c.Layout.Series))
	for i := range out {
		out[i] = sentinel.Absent()
	}
	for i, at := range c.Layout.At {
		out[at] = c.Values[i]
	}
	return out
}

// maxPastLayouts bounds the layouts of an agent that are looked at: the newest.
const maxPastLayouts = 500

// Past returns an agent's cycles from since up to to, ascending, with the values of
// the series that are wanted: every cycle from fine on, and before that one for each
// minute, where it is rolled up.
func (db *DB) Past(ctx context.Context, agent int64, since, fine, to time.Time, wanted func(sentinel.Series) bool) ([]PastCycle, error) {
	layouts, err := db.agentLayouts(ctx, agent)
	if err != nil {
		return nil, failed("read the past", err)
	}
	ids := make([]int64, 0, len(layouts))
	for id := range layouts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	series, err := db.layoutSeries(ctx, ids)
	if err != nil {
		return nil, err
	}
	if fine = fine.Truncate(time.Minute); fine.Before(since) {
		fine = since
	}
	if fine.After(to) {
		fine = to
	}
	var out []PastCycle
	for _, id := range ids {
		l := &PastLayout{Hash: layouts[id]}
		for i, s := range series[id] {
			l.Series = append(l.Series, s.Series)
			if wanted(s.Series) {
				l.At, l.Asked = append(l.At, i), append(l.Asked, s.Series)
			}
		}
		if len(l.At) == 0 {
			continue
		}
		for _, tier := range []struct {
			table, column string
			offset        time.Duration
			from, to      time.Time
		}{{"scrapes_1m", "lasts", 59 * time.Second, since, fine}, {"scrapes", "vals", 0, fine, to}} {
			if !tier.from.Before(tier.to) {
				continue
			}
			if out, err = db.readPast(ctx, out, l, tier.table, tier.column, tier.offset, agent, id, tier.from, tier.to); err != nil {
				return nil, failed("read the past", err)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b PastCycle) int { return a.Time.Compare(b.Time) })
	return out, nil
}

func (db *DB) agentLayouts(ctx context.Context, agent int64) (map[int64]sentinel.LayoutHash, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, hash FROM layouts WHERE agent_id = $1 ORDER BY id DESC LIMIT $2`, agent, maxPastLayouts)
	if err != nil {
		return nil, err
	}
	out := map[int64]sentinel.LayoutHash{}
	var id int64
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &hash}, func() error {
		if len(hash) == len(sentinel.LayoutHash{}) {
			out[id] = sentinel.LayoutHash(hash)
		}
		return nil
	})
	return out, err
}

// readPast appends the cycles of one layout. Where most of its values are wanted the
// whole array comes, which costs the database less than picking from it. Values are
// decoded here: a pointer for each would cost more than all the rest.
func (db *DB) readPast(ctx context.Context, out []PastCycle, l *PastLayout, table, column string, offset time.Duration, agent, layout int64, from, to time.Time) ([]PastCycle, error) {
	whole := 2*len(l.At) >= len(l.Series)
	positions := make([]int32, len(l.At))
	for i, at := range l.At {
		positions[i] = int32(at + 1)
	}
	columns := `ARRAY(SELECT ` + column + `[u.i] FROM unnest($5::int4[]) WITH ORDINALITY AS u(i, o) ORDER BY u.o)`
	if whole {
		columns = column + `, $5::int4[] IS NULL`
	}
	rows, err := db.pool.Query(ctx, `SELECT ts, `+columns+` FROM `+table+` WHERE agent_id = $1 AND layout_id = $2 AND ts >= $3 AND ts < $4 ORDER BY ts`,
		agent, layout, from, to, positions)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		c := PastCycle{Layout: l, Time: pgTime(raw[0]).Add(offset), Values: make([]float64, len(l.At))}
		pick := l.At
		if !whole {
			pick = nil
		}
		pgFloats(raw[1], pick, c.Values)
		out = append(out, c)
	}
	return out, rows.Err()
}

// pgTime reads a timestamptz in the binary form: microseconds since 2000.
func pgTime(raw []byte) time.Time {
	if len(raw) != 8 {
		return time.Time{}
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(raw)) + 946684800_000000).UTC()
}

// pgFloats reads a float8[] in the binary form: dimensions, flags and element type;
// length and lower bound; and then each element with its length, -1 for NULL. pick
// says which elements go into values, nil all of them; what is not there is absent.
func pgFloats(raw []byte, pick []int, values []float64) {
	for i := range values {
		values[i] = sentinel.Absent()
	}
	if len(raw) < 20 {
		return
	}
	n, next := int(binary.BigEndian.Uint32(raw[12:])), 0
	raw = raw[20:]
	for i := 0; i < n && next < len(values) && len(raw) >= 4; i++ {
		wanted := pick == nil && i == next || pick != nil && pick[next] == i
		size := int32(binary.BigEndian.Uint32(raw))
		raw = raw[4:]
		if size == 8 && len(raw) >= 8 {
			if wanted {
				values[next] = math.Float64frombits(binary.BigEndian.Uint64(raw))
			}
			raw = raw[8:]
		}
		if wanted {
			next++
		}
	}
}
