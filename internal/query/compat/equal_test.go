package compat

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

// expressions returns a few hundred queries of every kind.
func expressions() []string {
	selectors := []string{`g`, `g{zone="a"}`, `g{zone=~"a|b",host!="h1"}`, `{__name__=~"g|c",host=~"h[0-2]"}`, `c{zone!~"a.*"}`, `g{nothing=""}`, `c{zone=~".+"}`}
	over := []string{"avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time", "present_over_time",
		"stddev_over_time", "stdvar_over_time", "delta", "idelta", "deriv", "changes", "resets", "rate", "irate", "increase", "absent_over_time"}
	var out []string
	for i, f := range over {
		for j, r := range []string{"1m", "5m", "17m", "1h"} {
			s := selectors[(i+j)%len(selectors)]
			if s == selectors[3] {
				s = selectors[0] // names vanish, and would collide
			}
			out = append(out, fmt.Sprintf("%s(%s[%s])", f, s, r))
		}
	}
	for i, f := range []string{"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile(0.9, ", "topk(2, ", "bottomk(1, ", `count_values("v", `} {
		for j, by := range []string{"", " by (zone)", " without (host)", " by (zone, mode)"} {
			s := selectors[(i+j)%len(selectors)]
			if f[len(f)-1] == ' ' {
				out = append(out, f[:len(f)-1-len(f[indexOf(f, '('):])+1]+by+f[indexOf(f, '('):]+s+")")
			} else {
				out = append(out, f+by+"("+s+")")
			}
		}
	}
	for _, f := range []string{"abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "sort", "sort_desc", "timestamp", "sin", "cosh", "deg", "day_of_week", "hour", "minute"} {
		out = append(out, f+"(g)", f+"(c - 100)")
	}
	return append(out,
		`1+1`, `vector(time())`, `pi()`, `scalar(g{zone="a",host="h0",mode="x"})`, `"text"`, `-g`, `g * 2 + 1`, `g > 3`, `g > bool 3`, `g == g`, `g % 7`, `2 ^ (g / 10)`,
		`g + on(zone, host, mode) c`, `c / ignoring(mode) group_left sum without(mode) (c)`, `g and c`, `g and on(zone) c{mode="x"}`, `g or c`, `g unless on(host) c{host="h1"}`,
		`g offset 5m`, `g offset -5m`, `rate(c[5m] offset 10m)`, `g @ 1700003600`, `rate(c[10m] @ end())`, `sum_over_time(g[10m:1m])`, `max_over_time(rate(c[2m])[20m:3m])`,
		`avg_over_time((g offset 30s)[10m:2m])`, `min_over_time(deriv(g[3m])[15m:])`, `max_over_time(g[10m:1m] offset 7m)`, `avg_over_time(sum by (zone) (g)[10m:45s])`,
		`max_over_time((g offset 7s)[7m:33s])`, `sum_over_time(max_over_time(g[2m])[10m:90s])`, `predict_linear(g[10m], 3600)`, `quantile_over_time(0.9, g[10m])`,
		`double_exponential_smoothing(g[10m], 0.5, 0.5)`, `histogram_quantile(0.9, sum by (le) (rate(b_bucket[5m])))`, `histogram_quantile(0.5, rate(b_bucket[10m]))`,
		`label_replace(g, "zone2", "$1-$1", "zone", "(.*)")`, `label_join(g, "both", "-", "zone", "host")`, `clamp(g, 2, 5)`, `clamp_min(g, 3)`, `clamp_max(g, 3)`, `absent(nothing)`, `absent(g)`,
		`sum(rate(c[5m])) by (zone) / on(zone) count(c) by (zone)`, `topk by (zone) (1, g)`, `quantile by (host) (0.5, g)`, `count(g) > 0 or vector(0)`, `sum(g) / count(g) - avg(g)`,
		`c > on(host, zone, mode) g * 10`, `g{zone="a"} != g{zone="a"} offset 1m`, `(g > 2) and (g < 6)`, `sum(increase(c[1h]))`, `100 - avg by (host) (irate(c[1m])) * 100`,
		`holes`, `rate(holes[5m])`, `avg_over_time(holes[10m])`, `count(holes)`, `changes(holes[30m])`, `holes offset 3m`, `sum(holes) or vector(-1)`, `absent(holes)`)
}

func indexOf(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return len(s)
}

// TestAnswersEqualPrometheus asks Prometheus' engine the same over its own storage
// and over ours, with the same samples in both: at single times and over time, with
// steps that fit and that do not.
func TestAnswersEqualPrometheus(t *testing.T) {
	t.Parallel()
	db, _ := newDatabase(t)
	ours, theirs := newStore(t, db), teststorage.New(t)
	const start, every, cycles = int64(1_700_000_000_000), int64(15_000), 600
	random := rand.New(rand.NewPCG(1, 2))
	into := []storage.AppenderV2{ours.AppenderV2(t.Context()), theirs.AppenderV2(t.Context())}
	add := func(ls labels.Labels, at int64, v float64) {
		for _, a := range into {
			_, err := a.Append(0, ls, 0, at, v, nil, nil, storage.AppendV2Options{})
			must(t, err)
		}
	}
	for z, zone := range []string{"a", "b", "ab"} {
		for h := range 3 {
			for _, mode := range []string{"x", "y"} {
				set := []string{"zone", zone, "host", fmt.Sprint("h", h), "mode", mode}
				g, c := labels.FromStrings(append([]string{"__name__", "g"}, set...)...), labels.FromStrings(append([]string{"__name__", "c"}, set...)...)
				holes := labels.FromStrings(append([]string{"__name__", "holes"}, set...)...)
				count, present := 0.0, false
				for i := range cycles {
					at := start + int64(i)*every + int64(z*1000+h)
					add(g, at, math.Round(1000*(4+float64(h)+3*math.Sin(float64(i)/20)+random.Float64()))/1000)
					if count += random.Float64() * 10; random.IntN(150) == 0 {
						count = random.Float64()
					}
					add(c, at, count)
					// Now and then a series ends for some time, and both are told so.
					switch gone := (i/40)%3 == h; {
					case !gone:
						add(holes, at, float64(i))
						present = true
					case present:
						add(holes, at, math.Float64frombits(value.StaleNaN))
						present = false
					}
				}
			}
			for i := range cycles {
				for b, le := range []string{"0.1", "1", "10", "+Inf"} {
					add(labels.FromStrings("__name__", "b_bucket", "zone", zone, "host", fmt.Sprint("h", h), "le", le), start+int64(i)*every, float64(i*(b+1)*(h+1)))
				}
			}
		}
	}
	for _, a := range into {
		must(t, a.Commit())
	}

	all := expressions()
	if len(all) < 200 {
		t.Fatalf("%d expressions, want 200 or more", len(all))
	}
	e := engine{promqltest.NewTestEngine(t, false, 0, 50_000_000)}
	end := time.UnixMilli(start + (cycles-30)*every)
	type ask struct {
		from, to time.Time
		step     time.Duration
	}
	asks := []ask{
		{end, end, 0},
		{end.Add(-37*time.Minute - 123*time.Millisecond), end.Add(-37*time.Minute - 123*time.Millisecond), 0},
		{end.Add(-time.Hour).Truncate(time.Hour), end, 10 * time.Minute}, // evaluations far apart: what lies between is not read
		{end.Add(-90 * time.Minute), end, 7*time.Minute + 13*time.Second},
		{end.Add(-20 * time.Minute), end, 15 * time.Second},
	}
	answers := 0
	for n, expr := range all {
		for m, a := range asks {
			if sparse > 1 && n%len(asks) != m {
				continue
			}
			var results [2]*promql.Result
			for i, q := range []storage.Queryable{ours, theirs} {
				var query promql.Query
				var err error
				if a.step == 0 {
					query, err = e.NewInstantQuery(t.Context(), q, nil, expr, a.from)
				} else {
					query, err = e.NewRangeQuery(t.Context(), q, nil, expr, a.from, a.to, a.step)
				}
				if a.step > 0 && expr == `"text"` {
					continue // a text has no range
				}
				if err != nil {
					t.Fatalf("%s: %v", expr, err)
				}
				defer query.Close()
				results[i] = query.Exec(t.Context())
			}
			if results[0] == nil {
				continue
			}
			if err := equal(results[0], results[1]); err != nil {
				t.Errorf("%s from %s to %s step %s: %v", expr, a.from.UTC().Format(time.StampMilli), a.to.UTC().Format(time.StampMilli), a.step, err)
			}
			answers++
		}
	}
	t.Logf("%d expressions, %d answers", len(all), answers)
}

// equal compares our answer with theirs.
func equal(ours, theirs *promql.Result) error {
	if (ours.Err == nil) != (theirs.Err == nil) {
		return fmt.Errorf("our error is %v, theirs %v", ours.Err, theirs.Err)
	}
	if ours.Err != nil {
		return nil
	}
	switch want := theirs.Value.(type) {
	case promql.Vector:
		got, ok := ours.Value.(promql.Vector)
		if !ok {
			return fmt.Errorf("we give a %s", ours.Value.Type())
		}
		return equalMatrix(matrixOf(got), matrixOf(want))
	case promql.Matrix:
		got, ok := ours.Value.(promql.Matrix)
		if !ok {
			return fmt.Errorf("we give a %s", ours.Value.Type())
		}
		return equalMatrix(got, want)
	case promql.Scalar:
		if got, ok := ours.Value.(promql.Scalar); !ok || !near(got.V, want.V) {
			return fmt.Errorf("we give %v, they %v", ours.Value, want)
		}
	case promql.String:
		if ours.Value.String() != want.String() {
			return fmt.Errorf("we give %v, they %v", ours.Value, want)
		}
	}
	return nil
}

func matrixOf(v promql.Vector) promql.Matrix {
	m := make(promql.Matrix, 0, len(v))
	for _, s := range v {
		m = append(m, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: s.T, F: s.F}}})
	}
	return m
}

func equalMatrix(ours, theirs promql.Matrix) error {
	for _, m := range []promql.Matrix{ours, theirs} {
		slices.SortFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	}
	if len(ours) != len(theirs) {
		return fmt.Errorf("we give %d series, they %d", len(ours), len(theirs))
	}
	for i, want := range theirs {
		got := ours[i]
		if !labels.Equal(got.Metric, want.Metric) || len(got.Floats) != len(want.Floats) {
			return fmt.Errorf("we give %s with %d points, they %s with %d", got.Metric, len(got.Floats), want.Metric, len(want.Floats))
		}
		for j, w := range want.Floats {
			if g := got.Floats[j]; g.T != w.T || !near(g.F, w.F) {
				return fmt.Errorf("%s: we give %v at %d, they %v at %d", want.Metric, g.F, g.T, w.F, w.T)
			}
		}
	}
	return nil
}

func near(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) || math.IsInf(a, 0) || math.IsInf(b, 0) {
		return math.IsNaN(a) && math.IsNaN(b) || a == b
	}
	return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}
