package postgres_test

import (
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

func TestRetentionIsMeasured(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	at := func(days float64) time.Time { return now.Truncate(day).Add(time.Duration(days * float64(day))) }
	parts := func(list ...float64) (out []postgres.SizedPart) { // begin, end, bytes
		for i := 0; i < len(list); i += 3 {
			out = append(out, postgres.NewSizedPart(at(list[i]), at(list[i+1]), int64(list[i+2])))
		}
		return out
	}
	for name, c := range map[string]struct {
		parts []postgres.SizedPart
		since time.Time
		want  float64
	}{
		"nothing":                            {nil, at(-3), 0},
		"since five minutes":                 {parts(0, 1, 1000), now.Add(-5 * time.Minute), 0},
		"since six hours":                    {parts(0, 1, 1000), now.Add(-6 * time.Hour), 4000},
		"whole days count":                   {parts(-2, -1, 500, -1, 0, 700, 0, 1, 1), at(-30), 600},
		"the newest week counts":             {parts(-20, -10, 1e6, -8, -1, 700, -1, 0, 100, 0, 1, 1), at(-30), 100},
		"a week that fills":                  {parts(-3, 4, 700), at(-1.5), 350},
		"what is older than the first agent": {parts(-20, -19, 5, -1, 0, 100, 0, 1, 1), at(-1), 100},
	} {
		if got := postgres.PerDay(c.parts, c.since, now); got != c.want {
			t.Errorf("%s: %v a day, want %v", name, got, c.want)
		}
	}
}

func TestRetentionOfTwoSources(t *testing.T) {
	of := func(configured, chosen time.Duration) (r postgres.RetentionOf) {
		if configured > 0 {
			r.Configured = &configured
		}
		if chosen > 0 {
			r.Chosen = &chosen
		}
		return r
	}
	// The file's minutes are shorter than the samples that were chosen.
	s := postgres.RetentionState{Raw: of(5, 50), Minute: of(20, 0), Hour: of(0, 0)}
	if got := s.Holds(); got != (postgres.Retention{Raw: 50, Minute: 50, Hour: 50}) {
		t.Errorf("holds %+v", got)
	}
}
