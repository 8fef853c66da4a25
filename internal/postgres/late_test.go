package postgres_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

func (f *fixture) rollUp(t *testing.T, now time.Time) {
	t.Helper()
	for done := false; !done; {
		st, err := f.Rollup(t.Context(), now)
		must(t, err)
		done = st.Done
	}
}

func TestLateDataIsNoted(t *testing.T) {
	f := newFixture(t, 1)
	base := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	f.start = base
	must(t, f.Rewind(t.Context(), base))
	seq := uint64(1)
	store := func(from time.Time, n int) {
		t.Helper()
		b := f.batch(1, seq, seq+uint64(n)-1)
		for i := range b.Cycles {
			b.Cycles[i].Time = from.Add(time.Duration(i) * 10 * time.Second)
		}
		f.commit(t, b)
		seq += uint64(n)
	}
	late := func() []postgres.LateData {
		t.Helper()
		list, err := f.LateData(t.Context(), []int64{f.agent}, base, base.Add(2*time.Hour))
		must(t, err)
		return list
	}
	store(base, 60) // ten minutes, in time
	f.rollUp(t, base.Add(20*time.Minute))
	if list := late(); len(list) != 0 {
		t.Fatalf("in time, and yet late: %+v", list)
	}
	store(base.Add(12*time.Minute), 18) // three minutes, within what is closed
	f.rollUp(t, base.Add(20*time.Minute))
	list := late()
	if len(list) != 1 || list[0].Agent != f.name || !list[0].Since.Equal(base.Add(12*time.Minute)) || !list[0].Until.Equal(base.Add(15*time.Minute)) ||
		time.Since(list[0].NotedAt) > time.Minute {
		t.Fatalf("late: %+v", list)
	}
	// What goes on is the same stretch, what lies apart another.
	store(base.Add(15*time.Minute), 6)
	store(base.Add(5*time.Minute+5*time.Second), 1)
	f.rollUp(t, base.Add(20*time.Minute))
	list = late()
	if len(list) != 2 || !list[0].Since.Equal(base.Add(5*time.Minute)) || !list[1].Since.Equal(base.Add(12*time.Minute)) || !list[1].Until.Equal(base.Add(16*time.Minute)) {
		t.Fatalf("late: %+v", list)
	}
	_, err := f.Maintain(t.Context(), time.Now().Add(48*time.Hour), postgres.Retention{Minute: 24 * time.Hour})
	must(t, err)
	if list := late(); len(list) != 0 {
		t.Errorf("kept for ever: %+v", list)
	}
}
