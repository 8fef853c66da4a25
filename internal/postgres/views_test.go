package postgres_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestViewsForPeople asks the views in the few lines that docs/querying.md promises.
func TestViewsForPeople(t *testing.T) {
	f := newFixture(t, 1)
	layout := sentinel.Layout{sentinel.NewSeries("node_load1", sentinel.Gauge, ""), sentinel.NewSeries("sentinel_host_cpu_used_percent", sentinel.Gauge, "percent"),
		sentinel.NewSeries("sentinel_host_uptime_seconds", sentinel.Gauge, "seconds"), sentinel.NewSeries("node_filesystem_avail_bytes", sentinel.Gauge, "bytes", "mountpoint", "/")}
	definition := []byte("host")
	id, err := f.EnsureLayout(t.Context(), f.agent, hashOf(definition), definition, layout)
	must(t, err)
	newAgent(t, f.DB)
	start := time.Now().Truncate(time.Hour).Add(-2 * time.Hour)
	b := postgres.Batch{Agent: f.agent, AgentName: f.name, Epoch: 1, First: 1, LayoutID: id, Envelope: []byte("e"), Received: time.Now()}
	for _, at := range []time.Time{start, start.Add(20 * time.Second), start.Add(40 * time.Second), start.Add(time.Minute), time.Now().Truncate(time.Millisecond)} {
		n := float64(len(b.Cycles) + 1)
		b.Cycles = append(b.Cycles, sentinel.Cycle{Time: at, Values: []float64{n, 10 * n, 3600, 1e9}})
		b.Digests = append(b.Digests, uint64(n))
	}
	b.Count = uint32(len(b.Cycles))
	f.commit(t, b)
	for done := false; !done; {
		stats, err := f.Rollup(t.Context(), time.Now())
		must(t, err)
		done = stats.Done
	}
	for sql, want := range map[string]string{
		`SELECT concat_ws(' ', agent, hostname, state, cpu_used_percent, load1, uptime, coalesce(disk_used_percent::text, 'no disk')) FROM hosts WHERE agent = $1`: string(f.name) + " host never seen 50 5 01:00:00 no disk",
		`SELECT string_agg(value::text, ' ' ORDER BY ts) FROM samples WHERE agent = $1 AND name = 'node_load1' AND ts > now() - interval '4 hours'`:                "1 2 3 4 5",
		`SELECT labels ->> 'mountpoint' || ' ' || value FROM latest WHERE agent = $1 AND name = 'node_filesystem_avail_bytes'`:                                     "/ 1000000000",
		`SELECT string_agg(concat_ws('/', min, max, avg, last, count), ' ' ORDER BY ts) FROM minutes WHERE agent = $1 AND name = 'node_load1'`:                     "1/3/2/3/3 4/4/4/4/1",
		`SELECT concat_ws('/', min, max, avg, last, count) FROM hours WHERE agent = $1 AND name = 'node_load1'`:                                                    "1/4/2.5/4/4",
		`SELECT count(*)::text FROM hosts WHERE $1 <> ''`: "2",
	} {
		got, err := postgres.One[string](t.Context(), f.DB, sql, f.name)
		must(t, err)
		if got != want {
			t.Errorf("%s gives %q, want %q", sql, got, want)
		}
	}
}
