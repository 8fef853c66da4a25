package postgres_test

import (
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestMigrateTwiceAndConcurrently(t *testing.T) {
	url := postgrestest.EmptyURL(t)
	var wg sync.WaitGroup
	for range 4 {
		db := postgrestest.Open(t, url)
		wg.Go(func() {
			if err := db.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
			if err := db.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db := postgrestest.Open(t, url)
	n, err := postgres.One[int](t.Context(), db, `SELECT count(*) FROM schema_checksums`)
	must(t, err)
	files, err := fs.Glob(postgres.EmbeddedMigrations(), "*.sql")
	must(t, err)
	if n != len(files) {
		t.Errorf("%d checksums for %d migrations", n, len(files))
	}
	engine, err := db.Engine(t.Context())
	must(t, err)
	t.Log("engine:", engine)
}

// copyOf returns the embedded migrations as files that a test may change.
func copyOf(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	names, err := fs.Glob(postgres.EmbeddedMigrations(), "*.sql")
	must(t, err)
	for _, n := range names {
		raw, err := fs.ReadFile(postgres.EmbeddedMigrations(), n)
		must(t, err)
		out[n] = &fstest.MapFile{Data: raw}
	}
	return out
}

func TestMigrateRefusesForeignHistories(t *testing.T) {
	db := postgrestest.New(t)
	edited := copyOf(t)
	edited["0001_fleet.sql"].Data = append(edited["0001_fleet.sql"].Data, "-- edited\n"...)
	err := db.MigrateFiles(t.Context(), edited)
	wantCode(t, err, sentinel.Conflict)
	if !strings.Contains(err.Error(), "edited") {
		t.Error(err)
	}
	windows := copyOf(t)
	windows["0001_fleet.sql"].Data = []byte(strings.ReplaceAll(string(windows["0001_fleet.sql"].Data), "\n", "\r\n"))
	must(t, db.MigrateFiles(t.Context(), windows))

	newer := copyOf(t)
	newer["0900_newer.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE newer (x int);")}
	must(t, db.MigrateFiles(t.Context(), newer))
	err = db.Migrate(t.Context())
	wantCode(t, err, sentinel.Conflict)
	if !strings.Contains(err.Error(), "0900_newer") || !strings.Contains(err.Error(), "does not know") {
		t.Error(err)
	}
}

// A migration that fails leaves nothing behind and can be tried again.
func TestMigrateFailureIsWhole(t *testing.T) {
	db := postgrestest.New(t)
	broken := copyOf(t)
	broken["0800_broken.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE half (x int); SELECT 1/0;")}
	if err := db.MigrateFiles(t.Context(), broken); err == nil {
		t.Fatal("no error")
	}
	n, err := postgres.One[int](t.Context(), db, `SELECT count(*) FROM pg_class WHERE relname = 'half'`)
	must(t, err)
	if n != 0 {
		t.Error("half a migration stays")
	}
	broken["0800_broken.sql"].Data = []byte("CREATE TABLE half (x int);")
	must(t, db.MigrateFiles(t.Context(), broken))
}

func TestOlderThan(t *testing.T) {
	for v, want := range map[string]bool{"2.17.2": true, "2.18": false, "2.18.0-dev": false, "2.9.1": true, "3": false, "1.99": true, "2": true, "2.100.0": false} {
		if postgres.OlderThan(v, "2.18") != want {
			t.Errorf("%s older than 2.18: want %v", v, want)
		}
	}
}

// Cycles at both ends of the window find or make their partitions, also several
// commits at once; retention drops whole partitions and commits go on.
func TestPartitionsOnDemand(t *testing.T) {
	f := newFixture(t, 1)
	limits := sentinel.DefaultLimits()
	now := time.Now()
	times := []time.Time{now.Add(-limits.MaxAge), now.Add(limits.MaxFuture), now.Add(-15 * 24 * time.Hour),
		now.UTC().Truncate(24 * time.Hour), now.UTC().Truncate(24 * time.Hour).Add(-time.Microsecond)}
	var wg sync.WaitGroup
	for e := range 4 {
		db := postgrestest.Open(t, f.url) // a process of its own, as far as caches go
		wg.Go(func() {
			b := f.batch(sentinel.Epoch(e+1), 1, uint64(len(times)))
			for i := range b.Cycles {
				b.Cycles[i].Time = times[i]
			}
			if _, err := db.Commit(t.Context(), []postgres.Batch{b}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM scrapes`)
	must(t, err)
	if n != 4*len(times) {
		t.Errorf("%d rows", n)
	}
	keep := postgres.Retention{Raw: 20 * 24 * time.Hour, Minute: 400 * 24 * time.Hour, Hour: 4000 * 24 * time.Hour, Letters: time.Hour}
	st, err := f.Maintain(t.Context(), now, keep)
	must(t, err)
	if len(st.Dropped) != 1 || len(st.Postponed) != 0 {
		t.Errorf("maintenance %+v", st)
	}
	n, err = postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM scrapes`)
	must(t, err)
	if n != 4*(len(times)-1) {
		t.Errorf("%d rows after retention", n)
	}
	// Another process dropped the partition that this one has seen: no poison.
	warm := postgrestest.Open(t, f.url)
	for i, seq := range []uint64{50, 51} {
		b := f.batch(1, seq, seq)
		b.Cycles[0].Time = now.Add(-limits.MaxAge)
		if _, err := warm.Commit(t.Context(), []postgres.Batch{b}, nil); err != nil {
			t.Fatalf("commit %d into a dropped partition: %v", i, err)
		}
		_, err := f.Maintain(t.Context(), now, keep)
		must(t, err)
	}
	st, err = f.Maintain(t.Context(), now, keep)
	if err != nil || len(st.Dropped) != 0 {
		t.Errorf("maintenance is not idempotent: %+v, %v", st, err)
	}
}

// A long query keeps retention waiting only briefly, and commits hardly at all.
func TestMaintainGivesWay(t *testing.T) {
	f := newFixture(t, 1)
	if e, _ := f.Engine(t.Context()); e != "native" {
		t.Skip("chunks are dropped by TimescaleDB")
	}
	b := f.batch(1, 1, 1)
	b.Cycles[0].Time = time.Now().Add(-25 * 24 * time.Hour)
	f.commit(t, b)
	locked, release := make(chan struct{}), make(chan struct{})
	finished := make(chan error, 1)
	go func() { finished <- f.Hold(background(), `LOCK TABLE scrapes IN ACCESS SHARE MODE`, locked, release) }()
	<-locked
	st, err := f.Maintain(t.Context(), time.Now(), postgres.Retention{Raw: 20 * 24 * time.Hour})
	close(release)
	must(t, err)
	must(t, <-finished)
	if len(st.Postponed) != 1 || len(st.Dropped) != 0 {
		t.Errorf("maintenance %+v", st)
	}
}

func TestLedgerIsPruned(t *testing.T) {
	f := newFixture(t, 1)
	f.commit(t, f.batch(1, 1, 1), f.batch(2, 1, 1), f.quarantine(3, 1, 1))
	must(t, f.Exec(t.Context(), `UPDATE ingest_ledger SET updated_at = now() - INTERVAL '60 days' WHERE epoch = 1`))
	must(t, f.Exec(t.Context(), `UPDATE ingest_ledger SET updated_at = now() - INTERVAL '90 days' WHERE epoch = 2`))
	must(t, f.Exec(t.Context(), `UPDATE dead_letters SET created_at = now() - INTERVAL '2 days'`))
	st, err := f.Maintain(t.Context(), time.Now(), postgres.Retention{Letters: 24 * time.Hour})
	must(t, err)
	if st.Ledger != 1 || st.Letters != 1 {
		t.Errorf("maintenance %+v", st)
	}
	if b := f.books(t); len(b.Epochs) != 2 {
		t.Errorf("%d epochs", len(b.Epochs))
	}
}
