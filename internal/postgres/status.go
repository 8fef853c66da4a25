package postgres

import (
	"context"
	"time"
)

// Status is the state of the database and what the books of all agents add up to.
type Status struct {
	Now      time.Time // by the database's clock
	Version  string    // of PostgreSQL
	Engine   string
	Schema   int64 // version of the newest migration
	Bytes    int64
	Agents   map[AgentState]int
	Book     Book   // of all agents, without its Lost
	Lost     uint64 // records that are rejected or declared lost, for whatever reason
	Letters  int64
	Orphans  int64 // of Letters
	Sessions int64
}

// Bytes returns what the database takes on disk.
func (db *DB) Bytes(ctx context.Context) (n int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&n)
	return n, failed("measure the database", err)
}

// Status reads it; the sums are those of one moment.
func (db *DB) Status(ctx context.Context) (s Status, err error) {
	if s.Engine, err = db.Engine(ctx); err != nil {
		return s, err
	}
	var up, silent, unseen, disabled, lost, inFlight, appended, cycles, reports, quarantined, samples int64
	err = db.pool.QueryRow(ctx, `SELECT now(), current_setting('server_version'), pg_database_size(current_database()),
			(SELECT coalesce(max(version_id), 0) FROM `+versionTable+` WHERE is_applied),
			a.up, a.silent, a.unseen, a.disabled, l.appended, l.cycles, l.reports, l.quarantined, l.lost, l.samples,
			l.appended - l.cycles - l.reports - l.quarantined - l.lost,
			(SELECT count(*) FROM dead_letters), (SELECT count(*) FROM dead_letters WHERE agent_id IS NULL),
			(SELECT count(*) FROM sessions WHERE expires_at > now() AND used_at > now() - $2::interval)
		FROM (SELECT count(*) FILTER (WHERE disabled_at IS NULL AND last_seen_at >= now() - $1::interval) AS up,
				count(*) FILTER (WHERE disabled_at IS NULL AND last_seen_at < now() - $1::interval) AS silent,
				count(*) FILTER (WHERE disabled_at IS NULL AND last_seen_at IS NULL) AS unseen,
				count(disabled_at) AS disabled FROM agents WHERE NOT synthetic) a,
			(SELECT coalesce(sum(appended), 0)::int8 AS appended, coalesce(sum(stored_cycles), 0)::int8 AS cycles,
				coalesce(sum(stored_reports), 0)::int8 AS reports, coalesce(sum(quarantined), 0)::int8 AS quarantined,
				coalesce(sum(lost_bytes + lost_age + lost_disk_full + lost_damaged + lost_rejected), 0)::int8 AS lost,
				coalesce(sum(stored_samples), 0)::int8 AS samples FROM ingest_ledger WHERE agent_id NOT IN (SELECT id FROM agents WHERE synthetic)) l`, SilentAfter, SessionIdle).
		Scan(&s.Now, &s.Version, &s.Bytes, &s.Schema, &up, &silent, &unseen, &disabled, &appended, &cycles, &reports, &quarantined,
			&lost, &samples, &inFlight, &s.Letters, &s.Orphans, &s.Sessions)
	if err != nil {
		return s, failed("read the status", err)
	}
	s.Agents = map[AgentState]int{AgentUp: int(up), AgentSilent: int(silent), AgentUnseen: int(unseen), AgentDisabled: int(disabled)}
	s.Book = Book{Appended: uint64(appended), StoredCycles: uint64(cycles), StoredReports: uint64(reports), Quarantined: uint64(quarantined),
		InFlight: uint64(max(0, inFlight)), StoredSamples: uint64(samples)}
	s.Lost = uint64(lost)
	return s, nil
}
