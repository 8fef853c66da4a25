package collector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Run collects one cycle of each group per its interval, at the full multiples of
// the interval (plus the phase), and hands each to sink. It never catches up: where
// the host slept, or a cycle took too long, the cycles in between are counted and
// left out, and the next one is on time again. A set-back clock shortens or repeats
// one interval and no more. It returns nil when ctx ends, and the sink's error as
// soon as there is one. The first cycle of each group is collected at once.
//
// One timer serves all groups of collectors: those that are due together are
// collected after one wake-up. Each source has a timer and a goroutine of its own.
func (s *Set) Run(ctx context.Context, sink Sink) error {
	if len(s.sources) == 0 {
		return s.run(ctx, s.groups, sink)
	}
	defer s.close()
	sink = &oneByOne{sink: sink}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan error)
	go func() { ends <- s.run(ctx, s.groups, sink) }()
	for i := range s.sources {
		go func() { ends <- s.run(ctx, s.sources[i:i+1], sink) }()
	}
	var first error
	for range 1 + len(s.sources) {
		if err := <-ends; err != nil && first == nil {
			first = err
			stop()
		}
	}
	return first
}

// oneByOne lets one of several groups at a time into a Sink.
type oneByOne struct {
	mu   sync.Mutex
	sink Sink
}

func (o *oneByOne) Append(ctx context.Context, s Snapshot) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sink.Append(ctx, s)
}

// run is Run for some of the groups, one after the other.
func (s *Set) run(ctx context.Context, groups []*group, sink Sink) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, g := range groups {
		g.turn = turn{interval: g.interval, phase: s.phase}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for _, g := range groups {
			if !s.due(ctx, g) {
				continue
			}
			if err := s.once(ctx, g, sink); err != nil {
				return err
			}
		}
		timer.Reset(s.arm(groups))
	}
}

// due reports whether a cycle of the group is due, and counts those that were
// missed.
func (s *Set) due(ctx context.Context, g *group) bool {
	missed, due := g.turn.take(s.now())
	if missed > 0 {
		s.skipped.Add(uint64(missed))
		s.log.LogAttrs(ctx, slog.LevelInfo, "cycles were left out: the host slept or was too slow",
			slog.String("group", g.name), slog.Int64("cycles", missed))
	}
	return due
}

func (s *Set) once(ctx context.Context, g *group, sink Sink) error {
	snap, err := g.collect(ctx)
	if err != nil {
		return nil // ctx has ended, which Run sees next
	}
	if err := sink.Append(ctx, snap); err != nil && ctx.Err() == nil {
		return fmt.Errorf("hand a cycle over: %w", err)
	}
	return nil
}

// arm returns how long it is until a group is due, and notes which ones are then.
func (s *Set) arm(groups []*group) time.Duration {
	now := s.now()
	least := groups[0].turn.wait(now)
	for _, g := range groups[1:] {
		least = min(least, g.turn.wait(now))
	}
	for _, g := range groups {
		g.turn.armed = g.turn.wait(now) == least
	}
	return least
}

// turn says when the cycles of a group are due. Its interval is numbered from the
// epoch on, moved by the phase.
type turn struct {
	interval, phase time.Duration
	last            int64 // number of the interval of the last cycle
	begun           bool  // there was a cycle
	armed           bool  // the timer was set for this group
}

// take reports whether a cycle is due at now, which is then taken as collected, and
// how many before it were missed.
func (t *turn) take(now time.Time) (missed int64, due bool) {
	n := t.number(now, t.armed || !t.begun)
	switch {
	case !t.begun:
	case n == t.last, !t.armed && n < t.last:
		return 0, false
	default:
		missed = max(n-t.last-1, 0)
	}
	t.last, t.begun = n, true
	return missed, true
}

// number returns the number of the interval that now lies in. Where the timer was
// set for its start, a quarter of an interval before that counts as the next one
// already: timers and the wall clock do not run exactly alike.
func (t *turn) number(now time.Time, early bool) int64 {
	if early {
		now = now.Add(t.interval / 4)
	}
	return floorDiv(now.Add(-t.phase).UnixMilli(), t.interval.Milliseconds())
}

// wait returns how long it is until the next interval starts. After a jump of the
// clock, either way, it is never more than the interval and the quarter by which
// number may be early, nor less than nothing.
func (t *turn) wait(now time.Time) time.Duration {
	if d := t.start(t.last + 1).Sub(now); d <= t.interval {
		return max(d, 0)
	}
	return max(t.start(t.number(now, true)+1).Sub(now), 0)
}

func (t *turn) start(n int64) time.Time {
	return time.UnixMilli(n * t.interval.Milliseconds()).Add(t.phase)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
