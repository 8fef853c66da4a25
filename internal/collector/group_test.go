package collector

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/wire"
)

// grouped returns a Set of four collectors of which two have intervals of their
// own.
func grouped(t *testing.T, opts ...Option) *Set {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Timeout = 50 * time.Millisecond
	cfg.Intervals["cpu"], cfg.Intervals["load"], cfg.Intervals["time"] = time.Minute, 15*time.Second, 10*time.Second
	opts = append(opts, with("memory", says("plain", 1), "cpu", says("slow", 2), "load", says("odd", 3), "time", says("same", 4)))
	s, err := New(cfg, slog.New(slog.DiscardHandler), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// said returns the series of a snapshot that are not about collectors.
func said(t *testing.T, snap Snapshot) (list []string) {
	t.Helper()
	layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range layout {
		if !strings.HasPrefix(s.Name, "node_scrape_") {
			list = append(list, s.Name)
		}
	}
	return list
}

func TestCollectorsOfOneIntervalShareALayout(t *testing.T) {
	all, err := grouped(t).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seen := make(map[string]bool)
	for _, snap := range all {
		got = append(got, strings.Join(said(t, snap), " "))
		layout, err := wire.DecodeLayout(snap.Layout, sentinel.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for _, series := range layout {
			if seen[series.String()] {
				t.Errorf("%s stands in two layouts", series)
			}
			seen[series.String()] = true
		}
	}
	if want := []string{"plain same sentinel_collector_skipped_cycles_total", "slow", "odd"}; !slices.Equal(got, want) {
		t.Errorf("layouts of %q, want %q", got, want)
	}
	for _, name := range []string{"memory", "cpu", "load", "time"} {
		if !seen[`node_scrape_collector_success{collector="`+name+`"}`] {
			t.Errorf("nothing says how %s fares", name)
		}
	}
}

func TestEachGroupKeepsToItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const phase = sec
		zero := time.Now().Add(phase) // a full multiple of every interval, and the phase
		time.Sleep(4 * sec)
		s := grouped(t, WithPhase(phase))
		at := make(map[string][]time.Duration)
		ctx, cancel := context.WithTimeout(t.Context(), 122*sec)
		defer cancel()
		err := s.Run(ctx, sinkFunc(func(snap Snapshot) error {
			name := said(t, snap)[0]
			at[name] = append(at[name], time.Since(zero))
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		for name, step := range map[string]time.Duration{"plain": 10 * sec, "odd": 15 * sec, "slow": time.Minute} {
			want := []time.Duration{3 * sec} // the first at once
			for next := step; next < 125*sec; next += step {
				want = append(want, next)
			}
			wantTimes(t, at[name], want...)
		}
		if s.Skipped() != 0 {
			t.Errorf("%d cycles counted as skipped", s.Skipped())
		}
	})
}

// The host sleeps for an hour: every group is collected once at its next turn.
func TestGroupsOverSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &skewed{}
		s := grouped(t, clocked(k))
		k.jumpAfter(12*sec, time.Hour)
		count := make(map[string]int)
		ctx, cancel := context.WithTimeout(t.Context(), 29*sec)
		defer cancel()
		err := s.Run(ctx, sinkFunc(func(snap Snapshot) error {
			count[said(t, snap)[0]]++
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		// odd is due at 15 s and wakes the others, which are an hour late.
		if count["plain"] != 4 || count["odd"] != 2 || count["slow"] != 2 {
			t.Errorf("collected %v, want plain 4 times, odd and slow twice", count)
		}
		if want := uint64(359 + 240 + 59); s.Skipped() != want {
			t.Errorf("%d cycles counted as skipped, want %d", s.Skipped(), want)
		}
	})
}

// A clock that is set back a little while a group waits makes no cycle in between.
func TestGroupsOverAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now().Round(0)
		k := &skewed{}
		s := grouped(t, clocked(k))
		k.jumpAfter(62*sec, -11*sec)
		var slow []time.Duration
		ctx, cancel := context.WithTimeout(t.Context(), 140*sec)
		defer cancel()
		err := s.Run(ctx, sinkFunc(func(snap Snapshot) error {
			if said(t, snap)[0] == "slow" {
				slow = append(slow, snap.Cycle.Time.Sub(zero))
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		wantTimes(t, slow, 0, time.Minute, 2*time.Minute)
	})
}
