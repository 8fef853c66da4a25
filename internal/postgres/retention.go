package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// RetentionOf is how long one tier is kept, as two places say it; nil where they do not.
type RetentionOf struct {
	Configured *time.Duration // by the configuration file of the worker that maintained last
	Chosen     *time.Duration // by somebody, which goes before
}

// Holds returns what holds of both, or zero where there is neither.
func (r RetentionOf) Holds() time.Duration {
	switch {
	case r.Chosen != nil:
		return *r.Chosen
	case r.Configured != nil:
		return *r.Configured
	}
	return 0
}

// RetentionState is how long samples and roll-ups are kept, and who said so.
type RetentionState struct {
	Raw, Minute, Hour RetentionOf
	ChangedAt         time.Time // of what is chosen; zero: never
	ChangedBy         string
}

// Holds returns what holds: a coarser tier for as long as the finer one at the least,
// also where a file and a choice together would say something else.
func (s RetentionState) Holds() Retention {
	r := Retention{Raw: s.Raw.Holds(), Minute: s.Minute.Holds(), Hour: s.Hour.Holds()}
	r.Minute = max(r.Minute, r.Raw)
	r.Hour = max(r.Hour, r.Minute)
	return r
}

const retentionColumns = `configured_raw, configured_minute, configured_hour, chosen_raw, chosen_minute, chosen_hour, changed_at, changed_by`

func scanRetention(row pgx.Row) (s RetentionState, err error) {
	var changed *time.Time
	err = row.Scan(&s.Raw.Configured, &s.Minute.Configured, &s.Hour.Configured, &s.Raw.Chosen, &s.Minute.Chosen, &s.Hour.Chosen, &changed, &s.ChangedBy)
	s.ChangedAt = orZero(changed)
	return s, err
}

// Retention returns how long samples and roll-ups are kept.
func (db *DB) Retention(ctx context.Context) (RetentionState, error) {
	s, err := scanRetention(db.pool.QueryRow(ctx, `SELECT `+retentionColumns+` FROM retention`))
	return s, failed("read the retention", err)
}

// ConfigureRetention keeps what a worker's configuration file says, for people to see,
// and returns what it is together with what was chosen.
func (db *DB) ConfigureRetention(ctx context.Context, r Retention) (RetentionState, error) {
	s, err := scanRetention(db.pool.QueryRow(ctx, `UPDATE retention SET configured_raw = $1, configured_minute = $2, configured_hour = $3
		RETURNING `+retentionColumns, r.Raw, r.Minute, r.Hour))
	return s, failed("note the retention", err)
}

// ChooseRetention sets how long each tier is kept, whatever the configuration file says;
// with nil the file's holds again. Nothing is removed before Maintain runs.
func (db *DB) ChooseRetention(ctx context.Context, by Entry, raw, minute, hour *time.Duration) error {
	return db.audited(ctx, "change the retention", &by, func(tx pgx.Tx) error {
		none := raw == nil && minute == nil && hour == nil
		_, err := tx.Exec(ctx, `UPDATE retention SET chosen_raw = $1, chosen_minute = $2, chosen_hour = $3,
			changed_at = CASE WHEN $4 THEN NULL ELSE now() END, changed_by = $5`, raw, minute, hour, none, by.Actor.Name)
		return err
	})
}

// TierSize is what a tier takes on disk, its indexes included.
type TierSize struct {
	Bytes int64
	// PerDay is how much a day takes, as measured of the newest whole partitions, or of
	// the one that fills; zero where there is nothing to measure yet.
	PerDay float64
	// Besides, what of it is kept for a few days, whatever the retention.
	ExtraPerDay float64
	ExtraFor    time.Duration
	parts       []sizedPart
}

// sizedPart is a partition or chunk that holds something.
type sizedPart struct {
	begin, end time.Time
	bytes      int64
}

// Oldest is where the oldest partition that holds something begins; zero: there is none.
func (s TierSize) Oldest() time.Time {
	if len(s.parts) == 0 {
		return time.Time{}
	}
	return s.parts[0].begin
}

// Drop is what Maintain would remove.
type Drop struct {
	Before time.Time // all before this
	Bytes  int64
	Parts  int
}

// Drop returns what a retention would remove at a time; nothing where it is zero, for
// ever.
func (s TierSize) Drop(now time.Time, keep time.Duration) (d Drop) {
	for _, p := range s.parts {
		if keep > 0 && !p.end.After(now.Add(-keep)) {
			d.Before, d.Bytes, d.Parts = p.end, d.Bytes+p.bytes, d.Parts+1
		}
	}
	return d
}

// Projected returns what the tier will take once it is as old as it is kept.
func (s TierSize) Projected(keep time.Duration) int64 {
	const day = float64(24 * time.Hour)
	return int64(s.PerDay*float64(keep)/day + s.ExtraPerDay*float64(min(keep, s.ExtraFor))/day)
}

// TierSizes measures samples, minutes and hours, in this order.
func (db *DB) TierSizes(ctx context.Context, now time.Time) ([]TierSize, error) {
	e, err := db.storageEngine(ctx)
	if err != nil {
		return nil, err
	}
	// Samples may be older than the first agent, by what that had in its log.
	var since *time.Time
	if err := db.pool.QueryRow(ctx, `SELECT min(created_at) FROM agents WHERE NOT synthetic`).Scan(&since); err != nil {
		return nil, failed("measure the tiers", err)
	}
	var out []TierSize
	for _, tbl := range append(bigTables(), stripTable()) {
		parts, err := db.sizedParts(ctx, e, tbl)
		if err != nil {
			return nil, failed("measure "+tbl.name, err)
		}
		s := TierSize{PerDay: perDay(parts, orZero(since), now), parts: parts}
		for _, p := range parts {
			s.Bytes += p.bytes
		}
		out = append(out, s)
	}
	// Strips are minutes too.
	strips := out[3]
	out[1].Bytes += strips.Bytes
	out[1].ExtraPerDay, out[1].ExtraFor = strips.PerDay, stripsFor+24*time.Hour
	return out[:3], nil
}

// sizedParts returns the partitions or chunks that hold something, oldest first.
func (db *DB) sizedParts(ctx context.Context, e engine, tbl table) ([]sizedPart, error) {
	if e == timescale {
		rows, err := db.pool.Query(ctx, `SELECT c.range_start, c.range_end, s.total_bytes::int8 FROM timescaledb_information.chunks c
			JOIN chunks_detailed_size($1::text::regclass) s ON s.chunk_schema = c.chunk_schema AND s.chunk_name = c.chunk_name
			WHERE c.hypertable_schema = current_schema() AND c.hypertable_name = $1 ORDER BY c.range_start`, tbl.name)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p sizedPart, err error) {
			err = row.Scan(&p.begin, &p.end, &p.bytes)
			return p, err
		})
	}
	rows, err := db.pool.Query(ctx, `SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::text::regclass AND pg_relation_size(c.oid) > 0`, tbl.name)
	if err != nil {
		return nil, err
	}
	var parts []sizedPart
	var name string
	var bytes int64
	_, err = pgx.ForEachRow(rows, []any{&name, &bytes}, func() error {
		if begin, err := time.Parse("20060102", strings.TrimPrefix(name, tbl.name+"_p")); err == nil { // else it is none of ours
			parts = append(parts, sizedPart{begin, tbl.next(begin), bytes})
		}
		return nil
	})
	slices.SortFunc(parts, func(a, b sizedPart) int { return a.begin.Compare(b.begin) })
	return parts, err
}

const (
	measureOver  = 7 * 24 * time.Hour // of partitions that are over
	measureAtAll = 10 * time.Minute   // of the one that fills
)

// perDay measures how much a day takes. since is when the first agent came.
func perDay(parts []sizedPart, since, now time.Time) float64 {
	var bytes int64
	var over time.Duration
	later := func(a, b time.Time) time.Time {
		if a.After(b) {
			return a
		}
		return b
	}
	for _, p := range slices.Backward(parts) {
		if begin := later(p.begin, since); p.end.Before(now) && over < measureOver && p.end.After(begin) {
			bytes, over = bytes+p.bytes, over+p.end.Sub(begin)
		}
	}
	if over < 24*time.Hour { // nothing is whole yet: what fills is the better measure
		bytes, over = 0, 0
		for _, p := range parts {
			begin, end := later(p.begin, since), p.end
			if end.After(now) {
				end = now
			}
			if end.After(begin) {
				bytes, over = bytes+p.bytes, over+end.Sub(begin)
			}
		}
	}
	if over < measureAtAll {
		return 0
	}
	return float64(bytes) / over.Hours() * 24
}
