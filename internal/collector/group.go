package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// group is what is collected together: its collectors run in the same cycle, one
// after the other, and their samples have one layout. Groups share nothing, so
// that one's things that come and go make no new layout for another. Nor do they
// know each other's series: no two may say the same one.
type group struct {
	name     string // in the log
	source   bool   // it is one of Sources
	interval time.Duration
	timeout  time.Duration // of one collector
	log      *slog.Logger
	now      func() time.Time
	slots    []*slot
	skipped  func() uint64 // the Set's count, in the one group that says it
	turn     turn

	reg    registry
	self   page
	link   link   // of self
	rows   [][]id // in self: success and duration of each slot, then the count of skipped cycles
	warned bool   // that the layout is full
}

func newGroup(name string, interval, timeout time.Duration, lim sentinel.Limits, log *slog.Logger, now func() time.Time) *group {
	g := &group{name: name, interval: interval, timeout: timeout, log: log, now: now, reg: newRegistry(lim)}
	g.self.init(lim.MaxSeries)
	return g
}

// collect runs one cycle. The error is ctx's, once that has ended. The Values of
// the Snapshot are the caller's until the next call.
func (g *group) collect(ctx context.Context) (Snapshot, error) {
	now := g.now()
	g.self.begin()
	if g.rows == nil {
		g.defineSelf()
		g.reg.join(&g.link, &g.self, len(g.slots), now) // first, so that no collector takes its series
	}
	for _, row := range g.rows {
		g.self.touch(row)
	}
	r := newRunner()
	defer func() { close(r) }()
	for i, slot := range g.slots {
		if err := ctx.Err(); err != nil {
			return Snapshot{}, fmt.Errorf("collect: %w", err)
		}
		var out outcome
		if out, slot.idle = slot.collect(ctx, r, g.timeout); !slot.idle {
			close(r) // it may be with the collector for long
			r = newRunner()
		}
		if ctx.Err() == nil {
			g.report(ctx, slot, i, out)
		}
		if slot.idle {
			g.reg.join(&slot.link, &slot.page, i, now)
			g.warn(ctx, slot.page.full, slot.page.max)
		}
	}
	if err := ctx.Err(); err != nil {
		return Snapshot{}, fmt.Errorf("collect: %w", err)
	}
	if g.skipped != nil {
		g.self.set(g.rows[len(g.slots)][0], float64(g.skipped()))
	}
	g.reg.join(&g.link, &g.self, len(g.slots), now)
	g.warn(ctx, g.reg.full, g.reg.lim.MaxSeries)
	return g.snapshot(now), nil
}

// warn says once that series are left out.
func (g *group) warn(ctx context.Context, full bool, limit int) {
	if full && !g.warned {
		g.warned = true
		g.log.LogAttrs(ctx, slog.LevelWarn, "there are more series than one layout may hold; the rest is left out",
			slog.String("group", g.name), slog.Int("limit", limit))
	}
}

// snapshot puts the pages of this cycle into one.
func (g *group) snapshot(now time.Time) Snapshot {
	g.reg.layout()
	for i := range g.reg.values {
		g.reg.values[i] = sentinel.Absent()
	}
	for _, slot := range g.slots {
		if slot.idle {
			g.reg.fill(&slot.link, &slot.page, now)
		}
	}
	g.reg.fill(&g.link, &g.self, now)
	for _, page := range g.reg.expire(now) {
		if page < len(g.slots) {
			g.slots[page].stale = true
		}
	}
	return Snapshot{
		Group:  g.name,
		Source: g.source,
		Cycle:  sentinel.Cycle{Layout: g.reg.hash, Time: now.Truncate(time.Millisecond).UTC(), Values: g.reg.values},
		Layout: g.reg.encoded,
	}
}

// defineSelf names the series that speak of the collectors themselves.
func (g *group) defineSelf() {
	for _, slot := range g.slots {
		g.rows = append(g.rows, g.self.define(slot.name, slot.about, slot.labels...))
	}
	if g.skipped != nil {
		g.rows = append(g.rows, g.self.define("", []column{counter("sentinel_collector_skipped_cycles_total", "")}))
	}
}

// report notes how a collector fared, in samples and, where that has changed, in
// the log.
func (g *group) report(ctx context.Context, slot *slot, i int, out outcome) {
	failed := out.err != nil && !errors.Is(out.err, errNothing)
	success := 1.0
	if failed {
		success = 0
	}
	g.self.set(g.rows[i][0], success)
	g.self.set(g.rows[i][1], math.Round(out.took.Seconds()*1e6)/1e6)
	if failed == slot.failing {
		return
	}
	slot.failing = failed
	if failed {
		g.log.LogAttrs(ctx, slog.LevelWarn, "a collector fails; its samples are absent",
			slog.String("collector", slot.name), slog.Any("error", out.err))
		return
	}
	g.log.LogAttrs(ctx, slog.LevelInfo, "a collector works again", slog.String("collector", slot.name))
}
