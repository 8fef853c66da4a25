package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// errNothing says that the host has no such part: no sensor, no such file in this
// kernel.
var errNothing = errors.New("this host has no such part")

// errBusy says that a collector has not come back from an earlier cycle.
var errBusy = errors.New("it is still busy with an earlier cycle")

// slot is one collector and what surrounds it.
type slot struct {
	name string
	col  collector
	page page
	link link
	// done receives the outcome of the run under way. It has room for one, so that a
	// collector that was given up can still end.
	done    chan outcome
	running bool
	idle    bool // it came back in this cycle, so that its page may be read
	stale   bool // its page must be reset once it is idle
	failing bool
}

type outcome struct {
	err  error
	took time.Duration
}

func newSlot(name string, c collector, maxSeries int) *slot {
	s := &slot{name: name, col: c, done: make(chan outcome, 1)}
	s.page.init(maxSeries)
	return s
}

// run calls the collector and reports its outcome, a panic included.
func (s *slot) run(ctx context.Context) {
	start := time.Now()
	defer func() {
		var err error
		if p := recover(); p != nil {
			s.page.reset()
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			s.done <- outcome{err, time.Since(start)}
		}
	}()
	err := s.col.collect(ctx, &s.page)
	s.done <- outcome{err, time.Since(start)}
}

// collect runs the collector for at most timeout. The page may be read where it
// reports idle; otherwise the collector still owns it.
func (s *slot) collect(ctx context.Context, timeout time.Duration) (out outcome, idle bool) {
	if s.running {
		select {
		case <-s.done: // late; what it found belongs to another cycle
			s.running = false
		default:
			return outcome{err: errBusy}, false
		}
	}
	if s.stale {
		s.stale = false
		s.page.reset()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.page.begin()
	s.running = true
	go s.run(ctx)
	select {
	case out = <-s.done:
		s.running = false
		return out, true
	case <-ctx.Done():
	}
	// Most collectors heed ctx: those that end right now keep their samples.
	grace := time.NewTimer(timeout/10 + time.Millisecond)
	defer grace.Stop()
	select {
	case out = <-s.done:
		s.running = false
		return out, true
	case <-grace.C:
		return outcome{fmt.Errorf("it did not answer within %s", timeout), timeout}, false
	}
}

// Collect runs one cycle and returns its samples. A collector that fails has its
// own samples absent, node_scrape_collector_success 0, and a line in the log when
// it starts to fail and when it works again. The error is ctx's, once that has
// ended. The Values of the Snapshot are the caller's until the next call.
func (s *Set) Collect(ctx context.Context) (Snapshot, error) {
	now := s.now()
	s.self.begin()
	if s.rows == nil {
		s.defineSelf()
	}
	for _, row := range s.rows {
		s.self.touch(row)
	}
	for i, slot := range s.slots {
		if err := ctx.Err(); err != nil {
			return Snapshot{}, fmt.Errorf("collect: %w", err)
		}
		var out outcome
		out, slot.idle = slot.collect(ctx, s.cfg.Timeout)
		if ctx.Err() == nil {
			s.report(ctx, slot, i, out)
		}
		if slot.idle {
			s.reg.join(&slot.link, &slot.page, i, now)
		}
	}
	if err := ctx.Err(); err != nil {
		return Snapshot{}, fmt.Errorf("collect: %w", err)
	}
	s.self.set(s.rows[len(s.slots)][0], float64(s.skipped.Load()))
	s.reg.join(&s.link, &s.self, len(s.slots), now)
	if s.reg.full && !s.warned {
		s.warned = true
		s.log.LogAttrs(ctx, slog.LevelWarn, "the host has more series than one layout may hold; the rest is left out",
			slog.Int("limit", s.reg.lim.MaxSeries))
	}

	s.reg.layout()
	for i := range s.reg.values {
		s.reg.values[i] = sentinel.Absent()
	}
	for _, slot := range s.slots {
		if slot.idle {
			s.reg.fill(&slot.link, &slot.page, now)
		}
	}
	s.reg.fill(&s.link, &s.self, now)
	for _, group := range s.reg.expire(now) {
		if group < len(s.slots) {
			s.slots[group].stale = true
		}
	}
	return Snapshot{
		Cycle:  sentinel.Cycle{Layout: s.reg.hash, Time: now.Truncate(time.Millisecond).UTC(), Values: s.reg.values},
		Layout: s.reg.encoded,
	}, nil
}

// defineSelf names the series that speak of the collectors themselves.
func (s *Set) defineSelf() {
	cols := []column{
		gauge("node_scrape_collector_success", ""),
		gauge("node_scrape_collector_duration_seconds", "seconds"),
	}
	for _, slot := range s.slots {
		s.rows = append(s.rows, s.self.define(slot.name, cols, "collector", slot.name))
	}
	s.rows = append(s.rows, s.self.define("", []column{counter("sentinel_collector_skipped_cycles_total", "")}))
}

// report notes how a collector fared, in samples and, where that has changed, in
// the log.
func (s *Set) report(ctx context.Context, slot *slot, i int, out outcome) {
	failed := out.err != nil && !errors.Is(out.err, errNothing)
	success := 1.0
	if failed {
		success = 0
	}
	s.self.set(s.rows[i][0], success)
	s.self.set(s.rows[i][1], math.Round(out.took.Seconds()*1e6)/1e6)
	if failed == slot.failing {
		return
	}
	slot.failing = failed
	if failed {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a collector fails; its samples are absent",
			slog.String("collector", slot.name), slog.Any("error", out.err))
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "a collector works again", slog.String("collector", slot.name))
}
