package query_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const (
	benchSeries   = 300 // on each host
	benchInterval = 15 * time.Second
	benchFleet    = 2000 // hosts with the last hour and more
	benchFleetFor = 75 * time.Minute
	benchDeep     = 100 // hosts, of these, with two days
)

// bench is a database with two million series-hours, and the time at which its
// samples end.
type bench struct {
	db  *postgres.DB
	end time.Time
}

// openBench opens the database in the folder that SENTINEL_BENCH_DIR names, which it
// fills when it is new: this takes minutes.
func openBench(b testing.TB) bench {
	b.Helper()
	dir := os.Getenv("SENTINEL_BENCH_DIR")
	if dir == "" {
		b.Skip("SENTINEL_BENCH_DIR is not set: make bench-query")
	}
	pg, err := localpg.Start(b.Context(), localpg.Config{Dir: dir})
	must(b, err)
	b.Cleanup(func() {
		if err := pg.Stop(b.Context()); err != nil {
			b.Log(err)
		}
	})
	db, err := postgres.Open(b.Context(), postgres.Config{URL: pg.URL()})
	must(b, err)
	b.Cleanup(db.Close)
	must(b, db.Migrate(b.Context()))
	end := time.Now().Truncate(time.Minute)
	agents, err := db.Agents(b.Context(), postgres.AgentFilter{Limit: 1})
	must(b, err)
	if len(agents) == 0 {
		fill(b, db, end)
		must(b, os.WriteFile(dir+".end", []byte(end.Format(time.RFC3339)), 0o600))
	}
	raw, err := os.ReadFile(dir + ".end")
	must(b, err)
	end, err = time.Parse(time.RFC3339, string(raw))
	must(b, err)
	return bench{db, end}
}

func benchLayout() sentinel.Layout {
	l := sentinel.Layout{sentinel.NewSeries("sentinel_host_cpu_used_percent", sentinel.Gauge, "percent"), sentinel.NewSeries("sentinel_host_memory_used_percent", sentinel.Gauge, "percent"),
		sentinel.NewSeries("sentinel_host_disk_used_percent", sentinel.Gauge, "percent"), sentinel.NewSeries("node_load1", sentinel.Gauge, "")}
	for cpu := range 14 {
		for _, mode := range []string{"idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"} {
			l = append(l, sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", strconv.Itoa(cpu), "mode", mode))
		}
	}
	for i := 0; len(l) < benchSeries; i++ {
		l = append(l, sentinel.NewSeries("node_metric_"+strconv.Itoa(i%40), sentinel.Gauge, "", "device", strconv.Itoa(i/40)))
	}
	return l
}

func fill(b testing.TB, db *postgres.DB, end time.Time) {
	b.Helper()
	layout := benchLayout()
	group, _ := errgroup.WithContext(b.Context())
	group.SetLimit(3)
	began := time.Now()
	for i := range benchFleet {
		h := newHost(b, db, fmt.Sprintf("host-%04d", i), sentinel.Label{Name: "site", Value: []string{"ber", "fra", "lon", "nyc"}[i%4]})
		group.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			from := end.Add(-benchFleetFor)
			if i < benchDeep {
				from = end.Add(-48 * time.Hour)
			}
			values := make([]float64, benchSeries)
			h.write(b, layout, every(benchInterval, from.Add(time.Duration(random.IntN(15000))*time.Millisecond), end, func(int) []float64 {
				for k := range values {
					switch {
					case k < 4:
						values[k] = float64(random.IntN(10000)) / 100
					case k < 116:
						values[k] += float64(random.IntN(1500)) / 100
					case k%3 == 0:
						values[k] += float64(random.IntN(3))
					case k%3 == 1:
						values[k] = float64(random.IntN(1 << 30))
					}
				}
				return slices.Clone(values)
			})...)
			return nil
		})
	}
	must(b, group.Wait())
	b.Logf("stored after %s", time.Since(began).Round(time.Second))
	for done := false; !done; {
		stats, err := db.Rollup(b.Context(), time.Now())
		must(b, err)
		done = stats.Done
	}
	b.Logf("rolled up after %s", time.Since(began).Round(time.Second))
}

// BenchmarkQuery answers over HTTP what dashboards ask, and reports the 95th
// percentile; the comments say what it may be.
func BenchmarkQuery(b *testing.B) {
	d := openBench(b)
	handler := query.HTTP{Engine: query.New(d.db, query.DefaultLimits(), slog.New(slog.DiscardHandler)), Metadata: d.db, Log: slog.New(slog.DiscardHandler)}.Handler()
	agents, err := d.db.Agents(b.Context(), postgres.AgentFilter{Limit: 100})
	must(b, err)
	hundred := ""
	for _, a := range agents {
		hundred += "|" + string(a.Name)
	}
	one := string(agents[3].Name)
	day := func(expr string) string {
		return "/query_range?" + url.Values{"query": {expr}, "start": {unix(d.end.Add(-24 * time.Hour))}, "end": {unix(d.end)}, "step": {"60"}}.Encode()
	}
	now := func(expr string) string {
		return "/query?" + url.Values{"query": {expr}, "time": {unix(d.end)}}.Encode()
	}
	for _, c := range []struct {
		name, path string
		series     int
	}{
		{"day/100-hosts", day(`node_load1{agent=~"` + hundred[1:] + `"}`), 100}, // 300 ms
		{"day/100-series-of-a-host", day(`node_cpu_seconds_total{agent="` + one + `",cpu=~"[0-9]|1[0-2]",mode!~"i.*"}`), 65},
		{"day/rate-of-100-series-of-a-host", day(`rate(node_cpu_seconds_total{agent="` + one + `"}[5m])`), 112}, // 300 ms
		{"day/avg-of-100-hosts", day(`avg_over_time(sentinel_host_cpu_used_percent{agent=~"` + hundred[1:] + `"}[5m])`), 100},
		{"now/one-host", now(`{agent="` + one + `"}`), benchSeries},
		{"now/fleet", now(`avg by (site) (sentinel_host_cpu_used_percent)`), 4},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				rec := httptest.NewRecorder()
				handler.ServeHTTP(rec, httptest.NewRequest("GET", query.Prefix+"/api/v1"+c.path, nil))
				took = append(took, time.Since(start))
				var a struct {
					Data struct{ Result []json.RawMessage }
				}
				if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || len(a.Data.Result) != c.series {
					b.Fatalf("%d series (%v), want %d: %.300s", len(a.Data.Result), err, c.series, rec.Body)
				}
			}
			report(b, took)
		})
	}
}

// BenchmarkPages gathers what the web interface's pages show.
func BenchmarkPages(b *testing.B) {
	d := openBench(b)
	agents, err := d.db.Agents(b.Context(), postgres.AgentFilter{Limit: 100})
	must(b, err)
	view := api.NewFleetView(d.db)
	for name, f := range map[string]func() (int, error){
		"fleet": func() (int, error) { // 200 ms
			f, err := view.Read(b.Context(), postgres.AgentFilter{Limit: 1000}, d.end)
			if err == nil && (f.Hosts[7].CPU == nil || f.Hosts[1999].Spark == nil) {
				err = fmt.Errorf("a host is without values: %+v", f.Hosts[7])
			}
			return len(f.Hosts), err
		},
		"fleet-for-the-first-time": func() (int, error) {
			f, err := api.NewFleetView(d.db).Read(b.Context(), postgres.AgentFilter{Limit: 1000}, d.end)
			return len(f.Hosts), err
		},
		"last-values-of-a-host": func() (int, error) { // 10 ms
			s, err := d.db.Latest(b.Context(), agents[50].ID, 10*time.Minute)
			return len(s), err
		},
		"day-of-112-series-in-720-steps": func() (int, error) {
			found, err := d.db.FindSeries(b.Context(), []postgres.SeriesMatch{{Field: postgres.FieldName, Values: []string{"node_cpu_seconds_total"}}, {Field: postgres.FieldAgent, Values: []string{string(agents[5].Name)}}}, 200)
			if err != nil {
				return 0, err
			}
			s, err := d.db.ReadBuckets(b.Context(), postgres.BucketRead{Series: found, From: d.end.Add(-24 * time.Hour), Step: 2 * time.Minute, Steps: 720, MaxSamples: 5_000_000})
			return len(s), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				n, err := f()
				took = append(took, time.Since(start))
				if err != nil || n == 0 {
					b.Fatalf("%d of them, %v", n, err)
				}
			}
			report(b, took)
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}
