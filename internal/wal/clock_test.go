package wal

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// A clock that jumps, while the log is open or before it is opened again, costs no
// record.
func TestP30ClockJumpDropsNothing(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"years ahead": 5 * 365 * 24 * time.Hour, "back to 1970": -55 * 365 * 24 * time.Hour, "hours back": -5 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			dir := memDir(t)
			c := &clock{time.Now()}
			passed := time.Duration(0)
			opt := options{now: c.now, up: func() time.Duration { return passed }}
			l := mustOpenWith(t, dir, small(), opt)
			for n := range 10 {
				mustAppend(t, l, entry(n, 20))
			}
			l.Rotate()
			mustAppend(t, l, entry(10, 20))
			c.t = c.t.Add(jump)
			mustAppend(t, l, entry(11, 20))
			if n := l.Stats().Dropped[sentinel.LossAge]; n != 0 {
				t.Fatalf("%d records dropped when the clock jumped", n)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}

			c.t = c.t.Add(jump)
			l = mustOpenWith(t, dir, small(), opt)
			mustAppend(t, l, entry(12, 20))
			if n := l.Stats().Dropped[sentinel.LossAge]; n != 0 {
				t.Fatalf("%d records dropped when the log was opened after a jump", n)
			}
			if n := len(everything(t, l)); n != 13 {
				t.Fatalf("%d of 13 records are left", n)
			}
		})
	}
}

// Time that has really passed still counts, over restarts too.
func TestP5AgeOverRestarts(t *testing.T) {
	dir := memDir(t)
	cfg := small()
	c := &clock{time.Now()}
	dropped := uint64(0)
	for n := range 90 {
		l := mustOpenWith(t, dir, cfg, options{now: c.now})
		mustAppend(t, l, entry(n, 20))
		dropped += l.Stats().Dropped[sentinel.LossAge]
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		stamp(t, dir, c.t)
		c.t = c.t.Add(24 * time.Hour)
	}
	if dropped < 50 || dropped > 100 {
		t.Fatalf("%d records of 90 days dropped", dropped)
	}
}

// stamp gives the newest generation's files the time that the test's clock shows.
func stamp(t *testing.T, dir string, now time.Time) {
	t.Helper()
	gens, err := filepath.Glob(filepath.Join(dir, genPrefix+"*"))
	if err != nil || len(gens) == 0 {
		t.Fatalf("no generation: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(gens[len(gens)-1], "0*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chtimes(f, now, now); err != nil {
			t.Fatal(err)
		}
	}
}
