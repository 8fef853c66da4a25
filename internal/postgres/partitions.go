package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// table is one of the big tables and how it is cut by time.
type table struct {
	name  string
	begin func(time.Time) time.Time // start of the partition that holds t
	next  func(time.Time) time.Time // start of the partition after the one that starts at t
	ahead time.Duration             // how far ahead partitions are made
}

func bigTables() []table {
	day := 24 * time.Hour
	return []table{
		{"scrapes", startOfDay, addDays(1), 3 * day},
		{"scrapes_1m", startOfWeek, addDays(7), 8 * day},
		{"scrapes_1h", startOfMonth, func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }, 35 * day},
	}
}

// stripTable is the second form of the newest minutes.
func stripTable() table {
	return table{"strips_1m", startOfDay, addDays(1), 3 * 24 * time.Hour}
}

func startOfDay(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func startOfWeek(t time.Time) time.Time {
	d := startOfDay(t)
	return d.AddDate(0, 0, -(int(d.Weekday())+6)%7) // Monday
}

func startOfMonth(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func addDays(n int) func(time.Time) time.Time {
	return func(t time.Time) time.Time { return t.AddDate(0, 0, n) }
}

// partition names the partition that starts at begin. The name carries the
// date, so that retention can read it back.
func (t table) partition(begin time.Time) string { return t.name + "_p" + begin.Format("20060102") }

// ensurePartitions makes the partitions of tbl that hold the given times and do
// not exist yet. It is idempotent, and concurrent callers wait for each other.
// With TimescaleDB, which makes its own chunks, it does nothing.
func (db *DB) ensurePartitions(ctx context.Context, tbl table, times ...time.Time) error {
	e, err := db.storageEngine(ctx)
	if err != nil || e == timescale {
		return err
	}
	missing := make(map[string]time.Time)
	db.mu.Lock()
	for _, t := range times {
		begin := tbl.begin(t)
		if name := tbl.partition(begin); !has(db.partitions, name) {
			missing[name] = begin
		}
	}
	db.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockPartitions); err != nil {
			return err
		}
		for name, begin := range missing {
			if err := makePartition(ctx, tx, tbl, name, begin); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return failed("make partitions", err)
	}
	db.mu.Lock()
	for name := range missing {
		db.partitions[name] = struct{}{}
	}
	db.mu.Unlock()
	return nil
}

// makePartition creates the table first and attaches it then: that lets readers
// and writers of the parent go on, where CREATE TABLE … PARTITION OF stops them.
func makePartition(ctx context.Context, tx pgx.Tx, tbl table, name string, begin time.Time) error {
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&exists); err != nil || exists {
		return err
	}
	const stamp = "2006-01-02 15:04:05Z07:00"
	from, to := begin.Format(stamp), tbl.next(begin).Format(stamp)
	_, err := tx.Exec(ctx, fmt.Sprintf(`
		CREATE TABLE %[1]s (LIKE %[2]s INCLUDING ALL);
		ALTER TABLE %[1]s ADD CONSTRAINT bounds CHECK (ts >= '%[3]s' AND ts < '%[4]s');
		ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s');
		ALTER TABLE %[1]s DROP CONSTRAINT bounds;`, name, tbl.name, from, to))
	return err
}

// makePartitionsAhead makes the partitions of the near future, so that the first
// commit of a new day need not wait.
func (db *DB) makePartitionsAhead(ctx context.Context) error {
	now := time.Now()
	for _, tbl := range append(bigTables(), stripTable()) {
		var times []time.Time
		for t := tbl.begin(now); t.Before(now.Add(tbl.ahead)); t = tbl.next(t) {
			times = append(times, t)
		}
		if err := db.ensurePartitions(ctx, tbl, times...); err != nil {
			return err
		}
	}
	return nil
}

// forgetPartitions makes the next commit look again which partitions exist.
func (db *DB) forgetPartitions() {
	db.mu.Lock()
	clear(db.partitions)
	db.mu.Unlock()
}

func has[K comparable, V any](m map[K]V, k K) bool { _, ok := m[k]; return ok }
