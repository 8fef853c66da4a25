package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// rollupLag is how long a minute stays open after its end: what arrives
	// within it is rolled up in the first pass.
	rollupLag = 90 * time.Second
	// maxSlices bounds the work of one call of Rollup.
	maxSlices = 240
)

// RollupStats says what one call of Rollup did.
type RollupStats struct {
	Busy    bool          // another process is rolling up: nothing was done
	Done    bool          // nothing is left to do for now
	Minutes int           // of wall time rolled up for the first time
	Hours   int           // of wall time rolled up for the first time
	Late    int           // buckets made again because rows came late
	Rows    int           // written
	Behind  time.Duration // from the newest rolled-up minute to now
}

// Rollup makes the roll-ups follow the samples: scrapes_1m from scrapes, and
// scrapes_1h from scrapes_1m. Once it answers Done, and no commit came in
// between, they hold exactly what a recomputation of all samples up to about now
// minus 90 seconds would give, late ones included. It may be called at any time
// from any number of processes (one works, the others are told Busy), should be
// called every few seconds to a minute, and may be stopped anywhere: each step is
// a transaction of its own that can be made again.
//
// Samples that come later than raw retention allows are not rolled up.
func (db *DB) Rollup(ctx context.Context, now time.Time) (RollupStats, error) {
	r := &roller{db: db}
	busy, err := r.advance(ctx, now.Add(-rollupLag).Truncate(time.Minute))
	if err != nil || busy {
		return RollupStats{Busy: busy}, failed("roll up", err)
	}
	for _, pass := range []func(context.Context) (bool, error){
		func(ctx context.Context) (bool, error) { return r.fresh(ctx, minuteTier()) },
		func(ctx context.Context) (bool, error) { return r.late(ctx, minuteTier()) },
		func(ctx context.Context) (bool, error) { return r.fresh(ctx, hourTier()) },
		func(ctx context.Context) (bool, error) { return r.late(ctx, hourTier()) },
	} {
		done, err := pass(ctx)
		if err != nil {
			return r.stats, failed("roll up", err)
		}
		if !done {
			return r.stats, nil
		}
	}
	st, err := r.state(ctx, db.pool)
	if err != nil {
		return r.stats, failed("roll up", err)
	}
	r.stats.Done = true
	r.stats.Behind = now.Sub(st.minutesTo)
	return r.stats, nil
}

// tier is one kind of roll-up.
type tier struct {
	name   string // in rollup_dirty
	table  table
	step   time.Duration
	source string // the query that reads what it is made from
	most   int    // buckets that are built in memory at one time
}

func minuteTier() tier {
	return tier{name: "1m", table: bigTables()[1], step: time.Minute, source: readRaw, most: 1024} // at about 8 KB each for a layout of 200 series
}

func hourTier() tier {
	return tier{name: "1h", table: bigTables()[2], step: time.Hour, source: readMinutes, most: 24} // at about 500 KB each, strips included
}

// roller is one call of Rollup.
type roller struct {
	db         *DB
	slices     int
	stats      RollupStats
	stripsFrom time.Time // as the transaction that is under way found it
}

// state is the row of table storage.
type state struct {
	dirtyBelow, minutesTo, hoursTo time.Time
	rawFrom, minutesFrom           time.Time
	stripsFrom                     time.Time
}

func (r *roller) state(ctx context.Context, q querier) (st state, err error) {
	// -infinity becomes a time that any other is after.
	err = q.QueryRow(ctx, `SELECT dirty_below, minutes_to, hours_to,
			greatest(raw_from, '0001-01-01'), greatest(minutes_from, '0001-01-01'), greatest(strips_from, '0001-01-01') FROM storage`).
		Scan(&st.dirtyBelow, &st.minutesTo, &st.hoursTo, &st.rawFrom, &st.minutesFrom, &st.stripsFrom)
	return st, err
}

// from returns how far the tier is made, to how far it could be.
func (st state) window(t tier) (from, to time.Time) {
	if t.step == time.Hour {
		return st.hoursTo, st.minutesTo.Truncate(time.Hour)
	}
	return st.minutesTo, st.dirtyBelow
}

// sourceFrom returns before which time the tier's source is gone.
func (st state) sourceFrom(t tier) time.Time {
	if t.step == time.Hour {
		return st.minutesFrom
	}
	return st.rawFrom
}

// advance moves the watermark to at least to. Commits hold its lock shared while
// they store, so once we hold it alone every row from before the watermark is
// visible, and every later one will find its minute below it and mark it.
func (r *roller) advance(ctx context.Context, to time.Time) (busy bool, err error) {
	err = pgx.BeginFunc(ctx, r.db.pool, func(tx pgx.Tx) error {
		if busy, err = r.lock(ctx, tx); err != nil || busy {
			return err
		}
		// While we wait for a slow commit, all new ones wait behind us. Better to
		// try again in the next call.
		if _, err := tx.Exec(ctx, `SET LOCAL lock_timeout = '1s'`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockWatermark); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE storage SET dirty_below = $1 WHERE dirty_below < $1`, to)
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55P03" { // lock_not_available
		r.db.log.DebugContext(ctx, "roll-up watermark stays: commits are slow")
		return false, nil
	}
	return busy, err
}

// lock makes this transaction the only one that rolls up.
func (r *roller) lock(ctx context.Context, tx pgx.Tx) (busy bool, err error) {
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = '5min'`); err != nil {
		return false, err
	}
	var got bool
	err = tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, lockRollup).Scan(&got)
	return !got, err
}

// fresh rolls up what the watermark has passed, slice by slice.
func (r *roller) fresh(ctx context.Context, t tier) (done bool, err error) {
	length := t.step
	for {
		st, err := r.state(ctx, r.db.pool)
		if err != nil {
			return false, err
		}
		from, limit := st.window(t)
		if !from.Before(limit) {
			return true, nil
		}
		if r.slices++; r.slices > maxSlices {
			return false, nil
		}
		to := from.Add(length)
		if to.After(limit) {
			to = limit
		}
		if err := r.ensure(ctx, t, st, from, to); err != nil {
			return false, err
		}
		rows, busy, err := r.slice(ctx, t, from, to)
		if err != nil || busy {
			return false, err
		}
		// Nothing there: the service was off. Take larger steps over the gap.
		if rows == 0 {
			length = min(2*length, 24*time.Hour)
		} else {
			length = t.step
		}
	}
}

// ensure makes the partitions that the buckets at these times go to.
func (r *roller) ensure(ctx context.Context, t tier, st state, times ...time.Time) error {
	if err := r.db.ensurePartitions(ctx, t.table, times...); err != nil || t.step != time.Hour {
		return err
	}
	return r.db.ensurePartitions(ctx, stripTable(), slices.DeleteFunc(slices.Clone(times), st.stripsFrom.After)...)
}

// slice rolls up [from, to) for all agents, unless another process did it first.
func (r *roller) slice(ctx context.Context, t tier, from, to time.Time) (rows int, busy bool, err error) {
	err = pgx.BeginFunc(ctx, r.db.pool, func(tx pgx.Tx) error {
		if busy, err = r.lock(ctx, tx); err != nil || busy {
			return err
		}
		st, err := r.state(ctx, tx)
		if err != nil {
			return err
		}
		if at, _ := st.window(t); !at.Equal(from) {
			busy = true
			return nil
		}
		ids, err := tx.Query(ctx, `SELECT id FROM agents ORDER BY id`)
		if err != nil {
			return err
		}
		agents, err := pgx.CollectRows(ids, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		r.stripsFrom = st.stripsFrom
		spans := make([]span, len(agents))
		for i, a := range agents {
			spans[i] = span{a, from, to}
		}
		if rows, err = r.make(ctx, tx, t, spans); err != nil {
			return err
		}
		column := "minutes_to"
		if t.step == time.Hour {
			column = "hours_to"
		}
		_, err = tx.Exec(ctx, `UPDATE storage SET `+column+` = $1`, to)
		return err
	})
	if err == nil && !busy {
		r.stats.Rows += rows
		if t.step == time.Hour {
			r.stats.Hours += int(to.Sub(from) / t.step)
		} else {
			r.stats.Minutes += int(to.Sub(from) / t.step)
		}
	}
	return rows, busy, err
}
