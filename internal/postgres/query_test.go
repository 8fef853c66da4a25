package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func replace(sql, table string) string { return strings.ReplaceAll(sql, "%s", table) }

func postgresEpoch(w int) sentinel.Epoch { return sentinel.Epoch(w + 1) }

// checkRange compares ranges of all steps, whatever tables they read, with the
// samples.
func (f *fixture) checkRange(t *testing.T, from, to time.Time) {
	t.Helper()
	raw, err := f.Range(t.Context(), postgres.RangeQuery{Agent: f.agent, Name: "m_1", From: from.Add(-time.Hour), To: to})
	must(t, err)
	if len(raw) != 1 || len(raw[0].Points) == 0 {
		t.Fatalf("%d series", len(raw))
	}
	n, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM samples WHERE agent = $1 AND name = 'm_1' AND labels = '{"cpu": "1"}' AND ts < $2`, f.name, to)
	must(t, err)
	if n != len(raw[0].Points) {
		t.Errorf("%d samples, %d points", n, len(raw[0].Points))
	}
	for _, step := range []time.Duration{10 * time.Second, time.Minute, 7 * time.Minute, time.Hour, 2 * time.Hour} {
		got, err := f.Range(t.Context(), postgres.RangeQuery{Agent: f.agent, Name: "m_1", Labels: []sentinel.Label{{Name: "cpu", Value: "1"}},
			From: from.Add(-time.Hour), To: to, Step: step})
		must(t, err)
		want := map[int64]postgres.Point{}
		for _, p := range raw[0].Points {
			key := p.Time.UnixNano() / int64(step) * int64(step)
			w, ok := want[key]
			if !ok {
				w = postgres.Point{Min: p.Last, Max: p.Last}
			}
			w.Last, w.Min, w.Max = p.Last, min(w.Min, p.Last), max(w.Max, p.Last)
			w.Sum += p.Last
			w.Count++
			want[key] = w
		}
		if len(got) != 1 || len(got[0].Points) != len(want) {
			t.Fatalf("step %s: %d series, want %d points", step, len(got), len(want))
		}
		for _, p := range got[0].Points {
			w := want[p.Time.UnixNano()]
			w.Time = p.Time
			if p != w {
				t.Errorf("step %s: %+v, want %+v", step, p, w)
			}
		}
	}
}

func TestLatestOverSeveralLayouts(t *testing.T) {
	f := newFixture(t, 3)
	other := newLayout(t, f.DB, f.agent, "m", 5) // the same series and two more
	f.commit(t, f.batch(1, 1, 50))
	b := f.batch(2, 60, 60)
	b.LayoutID = other
	b.Cycles[0].Values = []float64{1, nan(), 3, 4, 5}
	f.commit(t, b)
	got, err := f.Latest(t.Context(), f.agent, time.Minute)
	must(t, err)
	want := []float64{1, value(1, 50, 1), 3, 4, 5}
	if len(got) != 5 {
		t.Fatalf("%d samples", len(got))
	}
	for i, s := range got {
		if s.Value != want[i] || s.Series.Labels[0].Name != "cpu" {
			t.Errorf("%s = %v, want %v", s.Series, s.Value, want[i])
		}
	}
	got, err = f.Latest(t.Context(), f.agent, time.Second) // the first layout is too old
	must(t, err)
	if len(got) != 4 {
		t.Errorf("%d samples", len(got))
	}
	silent, _ := newAgent(t, f.DB)
	got, err = f.Latest(t.Context(), silent, time.Minute)
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	none, err := f.Range(t.Context(), postgres.RangeQuery{Agent: f.agent, Name: "nothing", From: f.start, To: f.start.Add(time.Hour)})
	if err != nil || none != nil {
		t.Errorf("%v, %v", none, err)
	}
}

func TestLatestView(t *testing.T) {
	f := newFixture(t, 3)
	f.start = time.Now().Add(-time.Minute).Truncate(time.Second)
	f.commit(t, f.batch(1, 1, 5))
	n, err := postgres.One[float64](t.Context(), f.DB, `SELECT sum(value) FROM latest WHERE agent = $1`, f.name)
	must(t, err)
	if want := value(1, 5, 0) + value(1, 5, 1) + value(1, 5, 2); n != want {
		t.Errorf("sum %v, want %v", n, want)
	}
}
