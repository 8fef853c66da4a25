package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Sample is one value of one series.
type Sample struct {
	Series StoredSeries
	Time   time.Time
	Value  float64
}

// Latest returns the last value of every series of an agent that had one within
// lookback of the agent's newest cycle, sorted by name and labels; of an agent
// that went silent those are the values it left with. None is no error.
func (db *DB) Latest(ctx context.Context, agent int64, lookback time.Duration) ([]Sample, error) {
	// Layouts first, values then: sorting rows that carry arrays is what costs.
	rows, err := db.pool.Query(ctx, `WITH newest AS MATERIALIZED (
			SELECT ts FROM scrapes WHERE agent_id = $1 ORDER BY ts DESC LIMIT 1
		), last AS MATERIALIZED (
			SELECT layout_id, max(ts) AS ts FROM scrapes
			WHERE agent_id = $1 AND ts > (SELECT ts FROM newest) - $2::interval AND ts <= (SELECT ts FROM newest)
			GROUP BY layout_id
		)
		SELECT s.layout_id, s.ts, s.vals
		FROM last JOIN scrapes s ON s.agent_id = $1 AND s.ts = last.ts AND s.layout_id = last.layout_id`, agent, lookback)
	if err != nil {
		return nil, failed("read latest values", err)
	}
	type row struct {
		Layout int64
		TS     time.Time
		Vals   []*float64
	}
	scrapes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, failed("read latest values", err)
	}
	ids := make([]int64, len(scrapes))
	for i, s := range scrapes {
		ids[i] = s.Layout
	}
	layouts, err := db.layoutSeries(ctx, ids)
	if err != nil {
		return nil, err
	}
	// A series may stand in several layouts: the newest value counts.
	at := make(map[int64]int)
	var out []Sample
	for _, s := range scrapes {
		for i, series := range layouts[s.Layout] {
			if i >= len(s.Vals) || s.Vals[i] == nil {
				continue
			}
			sample := Sample{series, s.TS.UTC(), *s.Vals[i]}
			if j, ok := at[series.ID]; !ok {
				at[series.ID] = len(out)
				out = append(out, sample)
			} else if out[j].Time.Before(s.TS) {
				out[j] = sample
			}
		}
	}
	slices.SortFunc(out, func(a, b Sample) int { return compareSeries(a.Series, b.Series) })
	return out, nil
}

// RangeQuery asks for the values of a metric of one agent over time.
type RangeQuery struct {
	Agent  int64
	Name   string
	Labels []sentinel.Label // the series have all of these, with these values
	From   time.Time        // inclusive; with a step it is rounded down to it
	To     time.Time        // exclusive
	Step   time.Duration    // 0: every sample as it is; else one point per step, aligned to 1970
}

// Point sums up a series over one step, or is one sample: then Count is 1 and
// the other values are the same. Sum/Count is the average.
type Point struct {
	Time                time.Time // start of the step
	Last, Min, Max, Sum float64
	Count               int
}

// SeriesPoints are the points of one series, ascending in time. Steps without a
// sample have no point.
type SeriesPoints struct {
	Series StoredSeries
	Points []Point
}

// maxPoints bounds how many rows one Range reads.
const maxPoints = 2_000_000

// Range returns the points of every series that the query selects, sorted by
// name and labels; series without points are left out. It reads hours for steps
// of whole hours, minutes for steps of whole minutes, and samples for the rest
// and for what is too new to be rolled up. More than two million points are
// ResourceExhausted: ask with a larger step.
func (db *DB) Range(ctx context.Context, q RangeQuery) ([]SeriesPoints, error) {
	if q.Step < 0 || q.To.Before(q.From) {
		return nil, sentinel.Errorf(sentinel.Invalid, "range from %s to %s with step %s makes no sense", q.From, q.To, q.Step)
	}
	r := rangeRead{query: q, points: make(map[int64][]Point)}
	series, err := r.find(ctx, db)
	if err != nil || len(r.layouts) == 0 {
		return nil, err
	}
	if err := r.read(ctx, db); err != nil {
		return nil, failed("read a range", err)
	}
	var out []SeriesPoints
	for _, s := range series {
		if points := r.merge(r.points[s.ID]); len(points) > 0 {
			out = append(out, SeriesPoints{s, points})
		}
	}
	slices.SortFunc(out, func(a, b SeriesPoints) int { return compareSeries(a.Series, b.Series) })
	return out, nil
}

// rangeRead is one call of Range.
type rangeRead struct {
	query RangeQuery
	// Where the values are: vals[positions[i]] of a row of layouts[i] belongs to
	// series ids[i].
	layouts, ids []int64
	positions    []int32
	points       map[int64][]Point
	rows         int
}

func (r *rangeRead) find(ctx context.Context, db *DB) ([]StoredSeries, error) {
	labels, err := labelsJSON(r.query.Labels)
	if err != nil {
		return nil, err
	}
	rows, err := db.pool.Query(ctx, `SELECT id, name, labels, kind, unit FROM series
		WHERE agent_id = $1 AND name = $2 AND labels @> $3::text::jsonb`, r.query.Agent, r.query.Name, labels)
	if err != nil {
		return nil, failed("find series", err)
	}
	series, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s StoredSeries, err error) {
		var labels []byte
		if err = row.Scan(&s.ID, &s.Name, &labels, &s.Kind, &s.Unit); err == nil {
			s.Labels, err = parseLabels(labels)
		}
		return s, err
	})
	if err != nil {
		return nil, failed("find series", err)
	}
	ids := make([]int64, len(series))
	for i, s := range series {
		ids[i] = s.ID
	}
	rows, err = db.pool.Query(ctx, `SELECT l.id, p.position::int4, p.series_id
		FROM layouts l CROSS JOIN LATERAL unnest(l.series_ids) WITH ORDINALITY AS p(series_id, position)
		WHERE l.agent_id = $1 AND l.series_ids && $2 AND p.series_id = ANY($2)`, r.query.Agent, ids)
	if err != nil {
		return nil, failed("find layouts", err)
	}
	var layout, id int64
	var position int32
	_, err = pgx.ForEachRow(rows, []any{&layout, &position, &id}, func() error {
		r.layouts, r.ids, r.positions = append(r.layouts, layout), append(r.ids, id), append(r.positions, position)
		return nil
	})
	return series, failed("find layouts", err)
}

// read takes each stretch of time from the coarsest table that serves the step.
func (r *rangeRead) read(ctx context.Context, db *DB) error {
	from, to := r.query.From, r.query.To
	if r.query.Step > 0 {
		from = floor(from, r.query.Step)
	}
	st, err := (&roller{db: db}).state(ctx, db.pool)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		step  time.Duration
		upTo  time.Time
		table string
	}{{time.Hour, st.hoursTo, "scrapes_1h"}, {time.Minute, st.minutesTo, "scrapes_1m"}} {
		end := t.upTo
		if to.Before(end) {
			// Only whole buckets: the rest comes from a finer table.
			end = floor(to, t.step)
		}
		if r.query.Step == 0 || r.query.Step%t.step != 0 || !from.Before(end) {
			continue
		}
		if err := r.scan(ctx, db, `SELECT s.ts, m.series_id, s.lasts[m.position], s.mins[m.position], s.maxs[m.position],
				coalesce(s.sums[m.position], 'NaN'), s.counts[m.position]
			FROM `+t.table+` s
			JOIN unnest($4::int8[], $5::int4[], $6::int8[]) AS m(layout_id, position, series_id) ON m.layout_id = s.layout_id
			WHERE s.agent_id = $1 AND s.ts >= $2 AND s.ts < $3 AND s.counts[m.position] > 0
			LIMIT $7`, from, end); err != nil {
			return err
		}
		from = end
	}
	if !from.Before(to) {
		return nil
	}
	return r.scan(ctx, db, `SELECT s.ts, m.series_id, s.vals[m.position], s.vals[m.position], s.vals[m.position], s.vals[m.position], 1
		FROM scrapes s
		JOIN unnest($4::int8[], $5::int4[], $6::int8[]) AS m(layout_id, position, series_id) ON m.layout_id = s.layout_id
		WHERE s.agent_id = $1 AND s.ts >= $2 AND s.ts < $3 AND s.vals[m.position] IS NOT NULL
		LIMIT $7`, from, to)
}

func (r *rangeRead) scan(ctx context.Context, db *DB, sql string, from, to time.Time) error {
	rows, err := db.pool.Query(ctx, sql, r.query.Agent, from, to, r.layouts, r.positions, r.ids, maxPoints+1-r.rows)
	if err != nil {
		return err
	}
	var id int64
	var p Point
	_, err = pgx.ForEachRow(rows, []any{&p.Time, &id, &p.Last, &p.Min, &p.Max, &p.Sum, &p.Count}, func() error {
		p.Time = p.Time.UTC()
		r.points[id] = append(r.points[id], p)
		r.rows++
		return nil
	})
	if err == nil && r.rows > maxPoints {
		return sentinel.Errorf(sentinel.ResourceExhausted, "more than %d points: ask with a larger step", maxPoints)
	}
	return err
}

// merge sorts points and, with a step, makes one of all that fall into it.
func (r *rangeRead) merge(points []Point) []Point {
	slices.SortStableFunc(points, func(a, b Point) int { return a.Time.Compare(b.Time) })
	if r.query.Step == 0 {
		return points
	}
	out := points[:0]
	for _, p := range points {
		p.Time = floor(p.Time, r.query.Step)
		n := len(out) - 1
		if n < 0 || !out[n].Time.Equal(p.Time) {
			out = append(out, p)
			continue
		}
		o := &out[n]
		o.Last = p.Last
		o.Min, o.Max = min(o.Min, p.Min), max(o.Max, p.Max)
		o.Sum += p.Sum
		o.Count += p.Count
	}
	return out
}

// floor rounds down to a whole number of steps since 1970.
func floor(t time.Time, step time.Duration) time.Time {
	us := t.UnixMicro()
	return time.UnixMicro(us - mod(us, max(1, step.Microseconds()))).UTC()
}

func compareSeries(a, b StoredSeries) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.String(), b.String()), cmp.Compare(a.ID, b.ID))
}
