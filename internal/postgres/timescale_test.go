package postgres_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
)

// stubs have the signatures of TimescaleDB's functions, from its reference, and
// leave the tables plain. The columnstore needs the extension itself, so the
// stubs call themselves its Apache edition.
const stubs = `
	CREATE FUNCTION by_range(column_name name, partition_interval interval) RETURNS text LANGUAGE sql
		RETURN column_name || ' ' || partition_interval;
	CREATE TABLE hypertables (relation regclass, dimension text);
	CREATE FUNCTION create_hypertable(relation regclass, dimension text, create_default_indexes bool DEFAULT true, if_not_exists bool DEFAULT false)
		RETURNS void LANGUAGE sql AS 'INSERT INTO hypertables VALUES (relation, dimension)';
	CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
		BEGIN
			EXECUTE format('DELETE FROM %s WHERE ts < $1', relation) USING older_than;
			RETURN NEXT relation || '_chunk';
		END $$;
	CREATE SCHEMA timescaledb_information;
	CREATE VIEW timescaledb_information.chunks AS
		SELECT 'public'::name AS hypertable_schema, h.relation::text::name AS hypertable_name, 'inner'::name AS chunk_schema, (h.relation || '_chunk')::name AS chunk_name,
			date_trunc('day', now()) AS range_start, date_trunc('day', now()) + interval '1 day' AS range_end FROM hypertables h;
	CREATE FUNCTION chunks_detailed_size(hypertable regclass) RETURNS TABLE (chunk_schema name, chunk_name name, total_bytes int8) LANGUAGE sql
		AS $$ SELECT 'inner'::name, (hypertable || '_chunk')::name, 1000::int8 $$;`

// Where the tests have no TimescaleDB, at least our side of that engine runs:
// the migration's branch, commits without partitions, late roll-ups, retention.
// On a server with TimescaleDB every other test runs on the real one.
func TestTimescaleBranch(t *testing.T) {
	url := postgrestest.EmptyURL(t)
	db := postgrestest.Open(t, url)
	must(t, db.Exec(t.Context(), stubs))
	must(t, db.MigrateAs(t.Context(), "timescale"))
	must(t, db.Migrate(t.Context())) // the database says what it is from now on
	n, err := postgres.One[int](t.Context(), db, `SELECT count(*) FROM hypertables`)
	must(t, err)
	if e, _ := db.Engine(t.Context()); e != "timescale" || n != 4 {
		t.Fatalf("engine %s, %d hypertables", e, n)
	}
	f := &fixture{DB: db, url: url, width: 2, start: time.Now().Add(-2 * time.Hour).Truncate(time.Hour)}
	f.agent, f.name = newAgent(t, db)
	f.layout = newLayout(t, db, f.agent, "m", 2)
	must(t, f.Rewind(t.Context(), f.start))
	for range 2 {
		f.commit(t, f.batch(1, 1, 100))
	}
	for _, seq := range []uint64{101, 201, 301} { // the second and third come late
		f.commit(t, f.batch(2, seq, seq+99))
		for done := false; !done; {
			st, err := f.Rollup(t.Context(), f.start.Add(90*time.Minute))
			must(t, err)
			done = st.Done
		}
		f.checkRollups(t)
	}
	sizes, err := f.TierSizes(t.Context(), time.Now())
	must(t, err)
	if len(sizes) != 3 || sizes[0].Bytes != 1000 || sizes[1].Bytes != 2000 || sizes[2].Bytes != 1000 { // strips are minutes
		t.Errorf("sizes %+v", sizes)
	}
	st, err := f.Maintain(t.Context(), time.Now(), postgres.Retention{Raw: time.Minute})
	must(t, err)
	if len(st.Dropped) != 2 { // samples and strips
		t.Errorf("maintenance %+v", st)
	}
}
