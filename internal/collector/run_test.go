package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sinkFunc is a Sink that a test writes itself.
type sinkFunc func(Snapshot) error

func (f sinkFunc) Append(_ context.Context, s Snapshot) error { return f(s) }

// skewed is the time with a jump that a test can make: the wall clock, while the
// timers go on as before.
type skewed struct{ by atomic.Int64 }

func (k *skewed) now() time.Time { return time.Now().Round(0).Add(time.Duration(k.by.Load())) }

// jumpAfter moves the clock once, while Run waits.
func (k *skewed) jumpAfter(wait, jump time.Duration) {
	time.AfterFunc(wait, func() { k.by.Store(int64(jump)) })
}

func clocked(k *skewed) Option { return func(s *settings) { s.host.now = k.now } }

// runFor runs a Set and returns the times of its cycles, relative to the start.
func runFor(t *testing.T, d time.Duration, s *Set, during func(at time.Duration)) []time.Duration {
	t.Helper()
	start := time.Now()
	var times []time.Duration
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	err := s.Run(ctx, sinkFunc(func(snap Snapshot) error {
		at := time.Since(start)
		times = append(times, at)
		if during != nil {
			during(at)
		}
		return nil
	}))
	if err != nil {
		t.Fatalf("Run ended with %v", err)
	}
	return times
}

func wantTimes(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("cycles at %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("cycles at %v, want %v", got, want)
		}
	}
}

const sec = time.Second

func TestRunKeepsToTheInterval(t *testing.T) {
	// Inside a bubble the clock starts at a full multiple of 10 s.
	for _, c := range []struct {
		name  string
		start time.Duration
		phase time.Duration
		want  []time.Duration
	}{
		{"on time", 0, 0, []time.Duration{0, 10 * sec, 20 * sec, 30 * sec}},
		{"in between", 4 * sec, 0, []time.Duration{0, 6 * sec, 16 * sec, 26 * sec}},
		{"shortly before", 9 * sec, 0, []time.Duration{0, 11 * sec, 21 * sec, 31 * sec}},
		{"with a phase", 0, 3 * sec, []time.Duration{0, 3 * sec, 13 * sec, 23 * sec, 33 * sec}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(c.start)
				s := stubSet(t, slog.New(slog.DiscardHandler), with("a", says("a", 1)), WithPhase(c.phase))
				wantTimes(t, runFor(t, 34*sec, s, nil), c.want...)
				if s.Skipped() != 0 {
					t.Errorf("%d cycles counted as skipped", s.Skipped())
				}
			})
		})
	}
}

func TestASlowSinkIsNeverCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stubSet(t, slog.New(slog.DiscardHandler), with("a", says("a", 1)))
		times := runFor(t, 72*sec, s, func(at time.Duration) {
			if at == 10*sec {
				time.Sleep(33 * sec)
			}
		})
		// 20, 30 and (begun late) 40: the one under way is collected at once.
		wantTimes(t, times, 0, 10*sec, 43*sec, 50*sec, 60*sec, 70*sec)
		if s.Skipped() != 2 {
			t.Errorf("%d cycles counted as skipped, want 2", s.Skipped())
		}
	})
}

func TestRunOverSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &skewed{}
		s := stubSet(t, slog.New(slog.DiscardHandler), with("a", says("a", 1)), clocked(k))
		// The host sleeps for an hour and 3 s in the middle of an interval: timers stand
		// still, the wall clock does not.
		k.jumpAfter(13*sec, time.Hour+3*sec)
		wantTimes(t, runFor(t, 35*sec, s, nil), 0, 10*sec, 20*sec, 27*sec)
		if s.Skipped() != 360 {
			t.Errorf("%d cycles counted as skipped in an hour, want 360", s.Skipped())
		}
	})
}

func TestRunOverAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &skewed{}
		s := stubSet(t, slog.New(slog.DiscardHandler), with("a", says("a", 1)), clocked(k))
		k.jumpAfter(13*sec, -24*time.Hour-2*sec)
		wantTimes(t, runFor(t, 45*sec, s, nil), 0, 10*sec, 20*sec, 32*sec, 42*sec)
		if s.Skipped() != 0 {
			t.Errorf("%d cycles counted as skipped, want 0", s.Skipped())
		}
	})
}

func TestRunHandsTheSinksErrorOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no room")
		s := stubSet(t, slog.New(slog.DiscardHandler), with("a", says("a", 1)))
		err := s.Run(t.Context(), sinkFunc(func(Snapshot) error { return full }))
		if !errors.Is(err, full) {
			t.Errorf("Run ended with %v, want the sink's error", err)
		}
	})
}
