package query_test

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// TestTiersAnswerAsSamplesDo asks the same once with roll-ups and once without, and
// again when the samples are gone.
func TestTiersAnswerAsSamplesDo(t *testing.T) {
	url := postgrestest.URL(t)
	db := postgrestest.Open(t, url)
	end := time.Now().Add(-time.Hour).Truncate(time.Hour)
	start := end.Add(-26 * time.Hour)
	h := newHost(t, db, "web-1")
	layout := sentinel.Layout{sentinel.NewSeries("g", sentinel.Gauge, ""), sentinel.NewSeries("c", sentinel.Counter, ""), sentinel.NewSeries("holes", sentinel.Gauge, "")}
	count := 0.0
	// Samples lie within minutes, never between two: so buckets hold what ranges do.
	h.write(t, layout, every(20*time.Second, start.Add(5*time.Second), end.Add(30*time.Minute), func(i int) []float64 {
		if count += float64(i % 7); i%2000 == 1000 {
			count = 0
		}
		hole := sentinel.Absent()
		if i/400%2 == 0 {
			hole = float64(i)
		}
		return []float64{10 + 5*math.Sin(float64(i)/100), count, hole}
	})...)
	for done := false; !done; {
		stats, err := db.Rollup(t.Context(), time.Now())
		must(t, err)
		done = stats.Done
	}
	e := query.New(db, query.DefaultLimits(), slog.New(slog.DiscardHandler))

	type ask struct {
		expr      string
		step      time.Duration
		tolerance float64 // relative
	}
	const same = 1e-9
	asks := []ask{
		{"avg_over_time(g[10m])", 10 * time.Minute, same}, {"min_over_time(g[10m])", 10 * time.Minute, same},
		{"max_over_time(g[10m])", 5 * time.Minute, same}, {"sum_over_time(g[10m])", time.Minute, same},
		{"count_over_time(holes[30m])", 10 * time.Minute, same}, {"avg_over_time(holes[30m])", 10 * time.Minute, same},
		{"last_over_time(g[10m])", 10 * time.Minute, same}, {"g", time.Minute, same}, {"holes", 5 * time.Minute, same}, {"g", time.Hour, same},
		{"avg_over_time(g[6h])", time.Hour, same}, {"max_over_time(g[6h])", time.Hour, same}, {"count_over_time(holes[5h])", time.Hour, same},
		{"sum(avg_over_time(g[5m])) by (job)", 5 * time.Minute, same},
		// Of a counter the first bucket of a range gives its end alone: what is measured
		// is shorter by a bucket.
		{"increase(c[30m])", 30 * time.Minute, 0.02}, {"rate(c[1h])", time.Hour, 0.02}, {"rate(c[10m])", 10 * time.Minute, 0.12}, {"increase(c[12h] offset 12h)", time.Hour, 0.05},
		// What needs the samples themselves gets them.
		{"stddev_over_time(g[10m])", 10 * time.Minute, same}, {"changes(g[10m])", 10 * time.Minute, same}, {"rate(c[2m])", time.Minute, same},
		{"quantile_over_time(0.9, g[1h])", time.Hour, same}, {"irate(c[10m])", 10 * time.Minute, same}, {"timestamp(g)", 10 * time.Minute, same},
		// So does what would cut buckets.
		{"avg(avg_over_time(g[10m]))", 10 * time.Minute, same}, {"max(last_over_time(c[10m]))", time.Minute, same}, {"avg(sum_over_time(g[6h]))", time.Hour, same}, {"max(g)", time.Hour, same},
		{"max(avg_over_time(g[10m] offset 17s))", time.Hour, same}, {"max(avg_over_time(g[630s]))", time.Hour, same}, {"max_over_time((g offset 11s)[30m:1m])", time.Hour, same},
		// At one time a long range is cut nowhere.
		{"avg_over_time(g[20h])", 0, same}, {"increase(c[20h])", 0, 0.001}, {"max_over_time(g[3h])", 0, same}, {"count_over_time(holes[23h])", 0, same},
	}
	from := func(a ask) time.Time {
		switch {
		case strings.Contains(a.expr, "offset 12h"):
			return start.Add(15 * time.Hour)
		case strings.HasPrefix(a.expr, "avg(") || strings.HasPrefix(a.expr, "max("): // between two buckets
			return start.Add(17*time.Minute + 23*time.Second)
		}
		return start
	}
	check := func(name string, want map[string]promql.Matrix) {
		for _, a := range asks {
			key := fmt.Sprint(a.expr, a.step)
			if want[key] == nil {
				continue
			}
			got := evaluate(t, e, a.expr, from(a), end, a.step)
			if worst, err := differ(got, want[key]); err != nil || worst > a.tolerance {
				t.Errorf("%s: %s step %s: differs by %g (%v), at most %g is right", name, a.expr, a.step, worst, err, a.tolerance)
			}
		}
	}
	want := make(map[string]promql.Matrix)
	for _, a := range asks {
		want[fmt.Sprint(a.expr, a.step)] = evaluate(t, e.Exactly(), a.expr, from(a), end, a.step)
	}
	check("with samples", want)
	// Of the older hours the strips are not there, as after an upgrade.
	cut := end.Add(-11*time.Hour - 20*time.Minute).UTC().Format(time.RFC3339)
	postgrestest.Exec(t, url, fmt.Sprintf(`UPDATE storage SET strips_from = '%s'; DELETE FROM strips_1m WHERE ts < date_trunc('hour', '%[1]s'::timestamptz, 'UTC')`, cut))
	check("with some strips", want)
	postgrestest.Exec(t, url, `UPDATE strips_1m SET lasts = array_fill(-1::float8, ARRAY[cardinality(lasts)])`)
	minutes := ask{expr: "g", step: time.Minute}
	if worst, err := differ(evaluate(t, e, minutes.expr, from(minutes), end, minutes.step), want["g1m0s"]); err != nil || worst == 0 {
		t.Error("strips are not read: the test proves nothing about them")
	}
	postgrestest.Exec(t, url, `UPDATE storage SET strips_from = '2100-01-01'`)

	// The database forgets the older samples, as retention does.
	gone := end.Add(-2 * time.Hour)
	postgrestest.Exec(t, url, fmt.Sprintf(`DELETE FROM scrapes WHERE ts < '%s'`, gone.UTC().Format(time.RFC3339)))
	postgrestest.Exec(t, url, fmt.Sprintf(`UPDATE storage SET raw_from = '%s'`, gone.UTC().Format(time.RFC3339)))
	for i := range asks {
		switch asks[i].expr { // from buckets there is no telling
		case "avg(avg_over_time(g[10m]))", "max(last_over_time(c[10m]))", "avg(sum_over_time(g[6h]))", "max(g)", "max(avg_over_time(g[10m] offset 17s))", "max(avg_over_time(g[630s]))", "max_over_time((g offset 11s)[30m:1m])",
			"stddev_over_time(g[10m])", "changes(g[10m])", "rate(c[2m])", "quantile_over_time(0.9, g[1h])", "irate(c[10m])", "timestamp(g)":
			delete(want, fmt.Sprint(asks[i].expr, asks[i].step))
		case "avg_over_time(g[20h])", "increase(c[20h])", "max_over_time(g[3h])", "count_over_time(holes[23h])":
			asks[i].tolerance = 0.01 // cut to whole minutes
		}
	}
	check("without samples", want)
}

func evaluate(t *testing.T, e *query.Engine, expr string, from, to time.Time, step time.Duration) promql.Matrix {
	t.Helper()
	if step == 0 {
		r, err := e.Instant(t.Context(), expr, to.Add(-1234*time.Millisecond))
		must(t, err)
		defer r.Close()
		var m promql.Matrix
		for _, s := range r.Value.(promql.Vector) {
			m = append(m, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: s.T, F: s.F}}})
		}
		return m
	}
	r, err := e.Range(t.Context(), expr, from, to, step)
	must(t, err)
	defer r.Close()
	var m promql.Matrix
	for _, s := range r.Value.(promql.Matrix) {
		m = append(m, promql.Series{Metric: s.Metric, Floats: append([]promql.FPoint(nil), s.Floats...)})
	}
	return m
}

// differ returns the largest relative difference of two answers with the same points.
func differ(got, want promql.Matrix) (worst float64, err error) {
	if len(got) != len(want) || len(want) == 0 {
		return 0, fmt.Errorf("%d series, want %d", len(got), len(want))
	}
	for i := range want {
		if len(got[i].Floats) != len(want[i].Floats) {
			return 0, fmt.Errorf("%d points, want %d", len(got[i].Floats), len(want[i].Floats))
		}
		for j, w := range want[i].Floats {
			if got[i].Floats[j].T != w.T {
				return 0, fmt.Errorf("point %d is at %d, want %d", j, got[i].Floats[j].T, w.T)
			}
			worst = max(worst, math.Abs(got[i].Floats[j].F-w.F)/max(1e-9, math.Abs(w.F)))
		}
	}
	return worst, nil
}
