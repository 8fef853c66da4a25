package postgres_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// waitBlocked returns when n sessions of the test's database wait for a lock.
func (f *fixture) waitBlocked(t *testing.T, n int) {
	t.Helper()
	for {
		blocked, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`)
		must(t, err)
		if blocked >= n {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// hold runs sql in a transaction and returns what ends it.
func (f *fixture) hold(t *testing.T, sql string) (release func()) {
	t.Helper()
	locked, free, finished := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { finished <- f.Hold(background(), sql, locked, free) }()
	<-locked
	return func() {
		t.Helper()
		close(free)
		must(t, <-finished)
	}
}

// A commit has read the watermark and is slow to finish: the roller must not
// pass the minutes that it is about to fill.
func TestRollerWaitsForSlowCommit(t *testing.T) {
	f := newFixture(t, 1)
	base := f.start
	must(t, f.Rewind(t.Context(), base))
	f.commit(t, f.batch(1, 1, 60)) // makes the partition and something to roll up
	release := f.hold(t, `LOCK TABLE scrapes IN SHARE MODE`)
	slow := make(chan error, 1)
	go func() {
		_, err := f.Commit(background(), []postgres.Batch{f.batch(1, 61, 70)}, nil)
		slow <- err
	}()
	f.waitBlocked(t, 1) // at the COPY, after it has read the watermark
	st, err := f.Rollup(t.Context(), base.Add(30*time.Minute))
	must(t, err)
	if st.Minutes != 0 {
		t.Errorf("the roller passed a commit in flight: %+v", st)
	}
	release()
	must(t, <-slow)
	for !st.Done || st.Behind > 3*time.Minute {
		st, err = f.Rollup(t.Context(), base.Add(30*time.Minute))
		must(t, err)
	}
	f.checkMinutes(t)
}

// The roller moves the watermark while a commit waits to read it: the commit
// must see where it went.
func TestCommitSeesMovedWatermark(t *testing.T) {
	f := newFixture(t, 1)
	must(t, f.Rewind(t.Context(), f.start))
	f.commit(t, f.batch(1, 1, 60))
	release := f.hold(t, `SELECT pg_advisory_xact_lock(`+postgres.WatermarkLock+`);
		UPDATE storage SET dirty_below = dirty_below + INTERVAL '30 minutes'`)
	waiting := make(chan error, 1)
	go func() {
		_, err := f.Commit(background(), []postgres.Batch{f.batch(1, 61, 70)}, nil)
		waiting <- err
	}()
	f.waitBlocked(t, 1)
	release()
	must(t, <-waiting)
	n, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM rollup_dirty`)
	must(t, err)
	if n == 0 {
		t.Error("late rows are not marked")
	}
}

// An hour of a large fleet takes the roller longer than a statement may take.
func TestMaintenanceWaitsForTheRoller(t *testing.T) {
	f := newFixture(t, 1)
	hasty, err := postgres.Open(t.Context(), postgres.Config{URL: f.url, StatementTimeout: 100 * time.Millisecond})
	must(t, err)
	defer hasty.Close()
	release := f.hold(t, `SELECT pg_advisory_xact_lock(`+postgres.RollupLock+`)`)
	maintained := make(chan error, 1)
	go func() {
		_, err := hasty.Maintain(background(), time.Now(), postgres.Retention{Raw: 24 * time.Hour})
		maintained <- err
	}()
	f.waitBlocked(t, 1)
	select {
	case err := <-maintained:
		t.Errorf("maintenance did not wait: %v", err)
		release()
	case <-time.After(300 * time.Millisecond): // three times as long as its statements may take
		release()
		must(t, <-maintained)
	}
}

func (f *fixture) checkMinutes(t *testing.T) {
	t.Helper()
	to, err := postgres.One[time.Time](t.Context(), f.DB, `SELECT minutes_to FROM storage`)
	must(t, err)
	diff, err := postgres.One[int](t.Context(), f.DB, replace(recompute, "scrapes_1m"), "minute", to)
	must(t, err)
	if diff != 0 {
		t.Errorf("%d differences from the samples", diff)
	}
}
