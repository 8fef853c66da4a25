package postgres_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// fleet makes agents with one layout each.
func fleet(b *testing.B, f *fixture, n int) (agents, layouts []int64) {
	b.Helper()
	for range n {
		id, _ := newAgent(b, f.DB)
		agents = append(agents, id)
		layouts = append(layouts, newLayout(b, f.DB, id, "m", f.width))
	}
	return agents, layouts
}

// BenchmarkCommit stores groups of 500 batches of 500 agents, each one cycle of
// 200 series: the fleet of 5,000 agents is one such group a second.
func BenchmarkCommit(b *testing.B) {
	f := newFixture(b, 200)
	const group = 500
	agents, layouts := fleet(b, f, group)
	seq := uint64(0)
	cycles := f.batch(1, 1, 1).Cycles
	samples := 0
	b.ReportAllocs()
	for b.Loop() {
		seq++
		batches := make([]postgres.Batch, group)
		for i := range batches {
			c := cycles[0]
			c.Time = f.start.Add(time.Duration(seq) * time.Second)
			batches[i] = postgres.Batch{Agent: agents[i], Epoch: sentinel.Epoch(i + 1), First: seq, Count: 1, LayoutID: layouts[i],
				Cycles: []sentinel.Cycle{c}, Digests: []uint64{seq}}
		}
		out, err := f.Commit(b.Context(), batches, nil)
		must(b, err)
		for _, o := range out {
			samples += o.StoredSamples
		}
	}
	b.ReportMetric(float64(samples)/b.Elapsed().Seconds(), "samples/s")
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/commit")
}

// day stores 24 h of one agent, a cycle every 10 s, and rolls it up.
func day(b *testing.B) *fixture {
	b.Helper()
	f := newFixture(b, 200)
	f.start = time.Now().UTC().Truncate(time.Hour).Add(-25 * time.Hour)
	must(b, f.Rewind(b.Context(), f.start))
	for first := uint64(1); first <= 8640; first += 128 {
		batch := f.batch(1, first, first+127)
		for i := range batch.Cycles {
			batch.Cycles[i].Time = f.start.Add(time.Duration(first+uint64(i)) * 10 * time.Second)
		}
		f.commit(b, batch)
	}
	for {
		st, err := f.Rollup(b.Context(), time.Now())
		must(b, err)
		if st.Done {
			break
		}
	}
	must(b, f.Exec(b.Context(), `ANALYZE`))
	return f
}

func BenchmarkLatest(b *testing.B) {
	f := day(b)
	for b.Loop() {
		got, err := f.Latest(b.Context(), f.agent, 5*time.Minute)
		must(b, err)
		if len(got) != 200 {
			b.Fatal(len(got))
		}
	}
}

func BenchmarkRange24h(b *testing.B) {
	f := day(b)
	for name, step := range map[string]time.Duration{"raw": 0, "5m": 5 * time.Minute, "1h": time.Hour} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				got, err := f.Range(b.Context(), postgres.RangeQuery{Agent: f.agent, Name: "m_7", From: f.start, To: f.start.Add(24 * time.Hour), Step: step})
				must(b, err)
				if len(got) != 1 {
					b.Fatal(len(got))
				}
			}
		})
	}
}

// BenchmarkRollup rolls up one minute of 500 agents with six cycles each.
func BenchmarkRollup(b *testing.B) {
	f := newFixture(b, 200)
	agents, layouts := fleet(b, f, 500)
	base := f.start.Add(-24 * time.Hour)
	must(b, f.Rewind(b.Context(), base))
	minute, seq := 0, uint64(0)
	for b.Loop() {
		b.StopTimer()
		for range 6 {
			seq++
			batches := make([]postgres.Batch, len(agents))
			for i := range batches {
				c := f.cycle(1, 1)
				c.Time = base.Add(time.Duration(minute)*time.Minute + time.Duration(seq%6)*10*time.Second)
				batches[i] = postgres.Batch{Agent: agents[i], Epoch: 1, First: seq, Count: 1, LayoutID: layouts[i], Cycles: []sentinel.Cycle{c}}
			}
			f.commit(b, batches...)
		}
		minute++
		b.StartTimer()
		st, err := f.Rollup(b.Context(), base.Add(time.Duration(minute)*time.Minute+90*time.Second))
		must(b, err)
		if st.Rows < len(agents) {
			b.Fatalf("%+v", st)
		}
	}
	b.ReportMetric(float64(b.N*len(agents)*6*200)/b.Elapsed().Seconds(), "samples/s")
}
