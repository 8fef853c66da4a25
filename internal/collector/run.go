package collector

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Run collects one cycle per interval, at the full multiples of the interval (plus
// the phase), and hands each to sink. It never catches up: where the host slept, or
// a cycle took too long, the cycles in between are counted and left out, and the
// next one is on time again. A set-back clock shortens or repeats one interval and
// no more. It returns nil when ctx ends, and the sink's error as soon as there is
// one. The first cycle is collected at once.
func (s *Set) Run(ctx context.Context, sink Sink) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	last, first := int64(0), true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		slot := s.slotOf(s.now())
		if first || slot != last {
			if missed := slot - last - 1; !first && missed > 0 {
				s.skipped.Add(uint64(missed))
				s.log.LogAttrs(ctx, slog.LevelInfo, "cycles were left out: the host slept or was too slow",
					slog.Int64("cycles", missed))
			}
			last, first = slot, false
			if err := s.once(ctx, sink); err != nil {
				return err
			}
		}
		timer.Reset(s.untilSlot(last + 1))
	}
}

func (s *Set) once(ctx context.Context, sink Sink) error {
	snap, err := s.Collect(ctx)
	if err != nil {
		return nil // ctx has ended, which Run sees next
	}
	if err := sink.Append(ctx, snap); err != nil && ctx.Err() == nil {
		return fmt.Errorf("hand a cycle over: %w", err)
	}
	return nil
}

// slotOf returns the number of the interval that t lies in. A quarter of an
// interval before its start counts as the next one: timers and the wall clock do
// not run exactly alike.
func (s *Set) slotOf(t time.Time) int64 {
	early := s.cfg.Interval / 4
	return floorDiv(t.Add(early-s.phase).UnixMilli(), s.cfg.Interval.Milliseconds())
}

// untilSlot returns how long it is until interval n starts. After a jump of the
// clock, either way, it is never more than the interval and the quarter by which
// slotOf is early, nor less than nothing.
func (s *Set) untilSlot(n int64) time.Duration {
	now := s.now()
	start := time.UnixMilli(n * s.cfg.Interval.Milliseconds()).Add(s.phase)
	if d := start.Sub(now); d <= s.cfg.Interval {
		return max(d, 0)
	}
	next := s.slotOf(now) + 1
	start = time.UnixMilli(next * s.cfg.Interval.Milliseconds()).Add(s.phase)
	return max(start.Sub(now), 0)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
