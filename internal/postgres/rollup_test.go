package postgres_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// recompute counts the differences between a roll-up and what the samples give.
const recompute = `WITH raw AS (
		SELECT date_trunc($1, s.ts, 'UTC') AS ts, s.agent_id, s.layout_id, u.i,
			min(u.v) mn, max(u.v) mx, sum(u.v) sm, count(u.v)::int4 ct,
			(array_agg(u.v ORDER BY s.ts DESC) FILTER (WHERE u.v IS NOT NULL))[1] la
		FROM scrapes s, unnest(s.vals) WITH ORDINALITY u(v, i)
		GROUP BY 1, 2, 3, 4
	), made AS (
		SELECT r.ts, r.agent_id, r.layout_id, u.i, u.mn, u.mx, u.sm, u.ct, u.la
		FROM %s r, unnest(r.mins, r.maxs, r.sums, r.counts, r.lasts) WITH ORDINALITY u(mn, mx, sm, ct, la, i)
	)
	SELECT count(*) FROM (SELECT * FROM raw WHERE ts < $2) raw
	FULL JOIN made USING (ts, agent_id, layout_id, i)
	WHERE (raw.mn, raw.mx, raw.sm, raw.ct, raw.la) IS DISTINCT FROM (made.mn, made.mx, made.sm, made.ct, made.la)`

// compareStrips counts the differences between strips and the minutes that they are made of.
const compareStrips = `WITH strips AS (
		SELECT s.ts + make_interval(mins => ((u.e - 1) % 60)::int) AS ts, s.agent_id, s.layout_id, s.part * 8 + (u.e - 1) / 60 + 1 AS i, u.mn, u.mx, u.sm, u.ct, u.la
		FROM strips_1m s, unnest(s.mins, s.maxs, s.sums, s.counts, s.lasts) WITH ORDINALITY u(mn, mx, sm, ct, la, e)
		WHERE s.present >> ((u.e - 1) % 60)::int & 1 = 1
	), made AS (
		SELECT r.ts, r.agent_id, r.layout_id, u.i, u.mn, u.mx, u.sm, u.ct, u.la
		FROM scrapes_1m r, unnest(r.mins, r.maxs, r.sums, r.counts, r.lasts) WITH ORDINALITY u(mn, mx, sm, ct, la, i)
		WHERE r.ts < (SELECT hours_to FROM storage) AND r.ts >= (SELECT strips_from FROM storage)
	)
	SELECT count(*) FROM strips FULL JOIN made USING (ts, agent_id, layout_id, i)
	WHERE (strips.mn, strips.mx, strips.sm, strips.ct, strips.la) IS DISTINCT FROM (made.mn, made.mx, made.sm, made.ct, made.la)`

func (f *fixture) checkRollups(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ table, unit, column string }{{"scrapes_1m", "minute", "minutes_to"}, {"scrapes_1h", "hour", "hours_to"}} {
		to, err := postgres.One[time.Time](t.Context(), f.DB, `SELECT `+c.column+` FROM storage`)
		must(t, err)
		diff, err := postgres.One[int](t.Context(), f.DB, replace(recompute, c.table), c.unit, to)
		must(t, err)
		rows, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM `+c.table)
		must(t, err)
		twice, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM (SELECT FROM `+c.table+` GROUP BY ts, agent_id, layout_id HAVING count(*) > 1) d`)
		must(t, err)
		if diff != 0 || twice != 0 || rows == 0 {
			t.Errorf("%s: %d differences from the samples, %d rows twice, %d rows up to %s", c.table, diff, twice, rows, to)
		}
		t.Logf("%s: %d rows", c.table, rows)
	}
	diff, err := postgres.One[int](t.Context(), f.DB, compareStrips)
	must(t, err)
	strips, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM strips_1m`)
	must(t, err)
	twice, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM (SELECT FROM strips_1m GROUP BY ts, agent_id, layout_id, part HAVING count(*) > 1) d`)
	must(t, err)
	if diff != 0 || twice != 0 || strips == 0 {
		t.Errorf("strips: %d differences from the minutes, %d of %d rows twice", diff, twice, strips)
	}
}

// Writers store samples of all ages while the clock and the roller go on.
func TestRollupsEqualRecomputation(t *testing.T) {
	f := newFixture(t, 4)
	second := newLayout(t, f.DB, f.agent, "other", 4)
	base := time.Now().UTC().Truncate(24 * time.Hour).Add(-26 * time.Hour) // a day's end lies in between
	must(t, f.Rewind(t.Context(), base))
	var clock atomic.Int64 // minutes since base
	const minutes, writers, batches = 200, 3, 250
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			for n := range uint64(batches) {
				b := f.batch(postgresEpoch(w), 3*n+1, 3*n+3)
				if rng.IntN(3) == 0 {
					b.LayoutID = second
				}
				for i := range b.Cycles {
					age := time.Duration(rng.ExpFloat64() * float64(10*time.Minute))
					if rng.IntN(2) == 0 {
						age = time.Duration(rng.Int64N(int64(3 * time.Minute))) // around the watermark
					}
					// Microseconds that no other record has: two samples of one time
					// would make "last" ambiguous.
					at := base.Add(time.Duration(clock.Load()) * time.Minute).Add(-age).Truncate(10 * time.Millisecond)
					b.Cycles[i].Time = at.Add(time.Duration(3*n+uint64(i))*writers*time.Microsecond + time.Duration(w)*time.Microsecond)
					for j := range b.Cycles[i].Values {
						b.Cycles[i].Values[j] = float64(rng.IntN(1000))
						if rng.IntN(5) == 0 {
							b.Cycles[i].Values[j] = nan()
						}
					}
				}
				if _, err := f.Commit(t.Context(), []postgres.Batch{b}, nil); err != nil {
					t.Error(err)
					return
				}
				if w == 0 {
					clock.Store(int64(n) * minutes / batches)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { wg.Wait(); close(written) }()
	late, calls := 0, 0
	for more := true; more; calls++ {
		select {
		case <-written:
			more = false
		default:
		}
		st, err := f.Rollup(t.Context(), base.Add(time.Duration(clock.Load())*time.Minute))
		must(t, err)
		late += st.Late
	}
	end := base.Add((minutes + 5) * time.Minute)
	for {
		st, err := f.Rollup(t.Context(), end)
		must(t, err)
		if st.Done {
			if st.Behind > 3*time.Minute {
				t.Errorf("behind by %s", st.Behind)
			}
			break
		}
	}
	if late == 0 {
		t.Error("nothing came late: the test proves nothing")
	}
	marks, err := postgres.One[int](t.Context(), f.DB, `SELECT count(*) FROM rollup_dirty`)
	must(t, err)
	if marks != 0 {
		t.Errorf("%d marks are left", marks)
	}
	f.checkRollups(t)
	f.checkRange(t, base, end.Add(3*time.Hour)) // beyond what is rolled up
	t.Logf("%d calls, %d buckets made again", calls, late)
}

// Several rollers at once get in nobody's way.
func TestConcurrentRollers(t *testing.T) {
	f := newFixture(t, 2)
	base := f.start.Add(-3 * time.Hour)
	must(t, f.Rewind(t.Context(), base))
	b := f.batch(1, 1, 100)
	for i := range b.Cycles {
		b.Cycles[i].Time = base.Add(time.Duration(i-30) * 2 * time.Minute)
	}
	f.commit(t, b)
	var wg sync.WaitGroup
	var done atomic.Int32
	for range 4 {
		wg.Go(func() {
			for range 10 {
				st, err := f.Rollup(t.Context(), f.start)
				if err != nil {
					t.Error(err)
				}
				if st.Done {
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if done.Load() == 0 {
		t.Error("none finished")
	}
	f.checkRollups(t)
}

// A late sample whose neighbours retention has removed must not replace the
// roll-up that was made from them.
func TestRollupKeepsWhatRetentionRemoved(t *testing.T) {
	f := newFixture(t, 1)
	base := time.Now().UTC().Truncate(24 * time.Hour).Add(-10 * 24 * time.Hour)
	must(t, f.Rewind(t.Context(), base))
	b := f.batch(1, 1, 3)
	for i := range b.Cycles {
		b.Cycles[i].Time = base.Add(time.Minute + time.Duration(i)*time.Second)
	}
	f.commit(t, b)
	for {
		st, err := f.Rollup(t.Context(), time.Now())
		must(t, err)
		if st.Done {
			break
		}
	}
	st, err := f.Maintain(t.Context(), time.Now(), postgres.Retention{Raw: 5 * 24 * time.Hour})
	must(t, err)
	if len(st.Dropped) == 0 {
		t.Fatalf("nothing dropped: %+v", st)
	}
	late := f.batch(1, 4, 4)
	late.Cycles[0].Time = base.Add(time.Minute + 30*time.Second)
	f.commit(t, late) // makes the dropped partition again
	_, err = f.Rollup(t.Context(), time.Now())
	must(t, err)
	n, err := postgres.One[int](t.Context(), f.DB, `SELECT counts[1] FROM scrapes_1m WHERE ts = $1`, base.Add(time.Minute))
	must(t, err)
	if n != 3 {
		t.Errorf("the roll-up counts %d samples, want the 3 it had", n)
	}
}
