package alerting

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const lateRules = `groups: [{name: g, rules: [
  {alert: now, series: a, condition: above 5},
  {alert: for, series: a, condition: above 5, for: 1m},
  {alert: avg, series: a, function: avg, window: 1m, condition: above 5},
  {alert: max, series: a, function: max, window: 30s, condition: above 5},
  {alert: keep, series: a, condition: above 5, keep_firing_for: 1m}]}]`

// TestP28OldDataNeverPages delays cycles by up to six hours and shuffles them. Whoever
// is paged is paged of what holds at that time, and what is said to be over is over.
func TestP28OldDataNeverPages(t *testing.T) {
	rules := mustRules(t, lateRules)
	pages, resolves, late := 0, 0, uint64(0)
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(seed, 28))
		type sent struct {
			cycle   Cycle
			arrives time.Time
		}
		var list []sent
		truth := map[int]bool{} // whether the condition holds in each 10 s
		hot, worst := false, []time.Duration{0, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}
		cut := time.Time{}
		mode := rng.IntN(3) // some cycles are late, all are, or the network is cut now and then
		for i := range 2400 {
			if rng.IntN(60) == 0 {
				hot = !hot
			}
			truth[i] = hot
			v := 1.0
			if hot {
				v = 9
			}
			at := testStart().Add(time.Duration(i) * 10 * time.Second)
			s := sent{cycle(at, v), at.Add(time.Duration(rng.IntN(900)) * time.Millisecond)}
			switch {
			case mode == 0 && rng.IntN(4) == 0, mode == 1 && i > 300:
				s.arrives = at.Add(time.Duration(rng.Int64N(int64(worst[rng.IntN(len(worst))]) + 1)))
			case mode == 2 && rng.IntN(300) == 0:
				cut = at.Add(time.Duration(rng.Int64N(int64(worst[rng.IntN(len(worst))]) + 1)))
			}
			if mode == 2 && at.Before(cut) {
				s.arrives = cut.Add(time.Duration(rng.IntN(60_000)) * time.Millisecond)
			}
			list = append(list, s)
		}
		slices.SortStableFunc(list, func(a, b sent) int { return a.arrives.Compare(b.arrives) })
		e := New(rules, DefaultOptions())
		now := testStart()
		// held reports whether the condition was as asked at some time of the last 100 s:
		// windows of a minute, and half a minute on the way.
		held := func(want bool) bool {
			i := int(now.Sub(testStart()) / (10 * time.Second))
			for j := max(0, i-10); j <= i; j++ {
				if hot, known := truth[j]; known && hot == want {
					return true
				}
			}
			return false
		}
		check := func(got []Transition) {
			for _, tr := range got {
				if !tr.Pages() {
					continue
				}
				if tr.To == Firing {
					pages++
				} else {
					resolves++
				}
				if now.Before(testStart().Add(24_000*time.Second)) && !held(tr.To == Firing) {
					t.Fatalf("seed %d, mode %d: %s is %s at %s for what was at %s", seed, mode, tr.Rule, tr.To, now, tr.At)
				}
				if now.After(testStart().Add(24_000*time.Second+30*time.Second)) && tr.To == Firing {
					t.Fatalf("seed %d, mode %d: %s is firing at %s, after all was over", seed, mode, tr.Rule, now)
				}
			}
		}
		for _, s := range list {
			for s.arrives.Sub(now) > 30*time.Second {
				now = now.Add(30 * time.Second)
				check(e.Advance(now))
			}
			now = s.arrives
			check(e.Feed(s.cycle, now))
			if rng.IntN(10) == 0 {
				check(e.Feed(s.cycle, now)) // delivered twice
			}
		}
		late += e.Stats().Late
	}
	if pages < 1000 || resolves < 1000 || late < 1000 {
		t.Errorf("%d pages, %d resolves, %d late cycles: the traces prove nothing", pages, resolves, late)
	}
	t.Logf("%d pages, %d resolves, %d late cycles", pages, resolves, late)
}

// TestP30ClocksPageNobody lets the clocks of agent and service step while a condition
// holds for less than its `for`, a counter rises evenly, and everything is there.
func TestP30ClocksPageNobody(t *testing.T) {
	rules := mustRules(t, `groups: [{name: g, rules: [
  {alert: for, series: a, condition: above 5, for: 5m},
  {alert: avg, series: a, function: avg, window: 10m, condition: above 5},
  {alert: rate, series: b, function: rate, window: 5m, condition: above 1.5},
  {alert: slow, series: b, function: rate, window: 5m, condition: below 0.5},
  {alert: delta, series: b, function: delta, window: 5m, condition: above 450},
  {alert: fc, kind: forecast, series: b, window: 10m, ahead: 1h, condition: above 1e6},
  {alert: gone, kind: absence, series: a, window: 2m},
  {alert: silent, kind: absence, window: 2m}]}]`)
	steps := []time.Duration{-24 * time.Hour, -9 * time.Minute, -4 * time.Minute, -50 * time.Second, 50 * time.Second, 4 * time.Minute, 9 * time.Minute, 24 * time.Hour}
	for _, service := range []bool{false, true} {
		for _, step := range steps {
			for _, back := range []int{0, 20, 90} { // cycles after which the clock is right again
				e := New(rules, DefaultOptions())
				var clock time.Duration
				for i := range 700 {
					if i == 200 {
						clock = step
					}
					if back > 0 && i == 200+back {
						clock = 0
					}
					real := testStart().Add(time.Duration(i) * 10 * time.Second)
					c := cycle(real, 1, float64(i*10))
					if i%60 >= 40 && i%60 < 60 { // 200 s of every 600 s
						c.Values[0] = 9
					}
					now := real
					if service {
						now = real.Add(clock)
					} else {
						c.Time = real.Add(clock)
					}
					for _, tr := range slices.Concat(e.Advance(now), e.Feed(c, now), e.Advance(now)) {
						if tr.Pages() {
							t.Fatalf("service %v, step %s, back after %d: %s is %s at %s", service, step, back, tr.Rule, tr.To, now)
						}
					}
				}
			}
		}
	}
}

// TestWatermarkIsOfTheAgent: two layouts of an agent share one watermark, with room for
// what is collected side by side.
func TestWatermarkIsOfTheAgent(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [{alert: a, series: a, condition: above 5}, {alert: b, series: b, condition: above 5}]}]`), DefaultOptions())
	now := testStart().Add(time.Hour)
	if got := e.Feed(cycle(now, 1), now); got != nil {
		t.Fatal(summary(got))
	}
	old := cycle(now.Add(-3*time.Minute), 1, 9)
	if got := e.Feed(old, now); got != nil || e.Stats().Late != 1 {
		t.Errorf("late data of another layout said %v", summary(got))
	}
	near := cycle(now.Add(-20*time.Second), 1, 9)
	if got := e.Feed(near, now); len(got) != 1 || got[0].To != Firing {
		t.Errorf("data of another layout beside the watermark said %v", summary(got))
	}
}

// TestP28SlowCatchUp: an agent was cut off for nine minutes and brings its data at twice
// the pace of time. What began and ended before it has caught up pages nobody; what
// lasts does, once it has.
func TestP28SlowCatchUp(t *testing.T) {
	for _, lasts := range []bool{false, true} {
		e := New(mustRules(t, `groups: [{name: g, rules: [{alert: hot, series: a, condition: above 5}]}]`), DefaultOptions())
		sent, pages := 0, []time.Duration{}
		for s := 0; s < 2400; s += 5 {
			now := testStart().Add(time.Duration(s) * time.Second)
			due := s/10 + 1
			switch {
			case s >= 600 && s < 1140: // cut off
				due = sent
			case s >= 1140: // two cycles for one
				due = min(due, sent+1)
			}
			for ; sent < due; sent++ {
				v, at := 1.0, sent*10
				if at >= 1230 && (at < 1290 || lasts) {
					v = 9
				}
				for _, tr := range e.Feed(cycle(testStart().Add(time.Duration(at)*time.Second), v), now) {
					if tr.Pages() {
						pages = append(pages, now.Sub(testStart()))
					}
				}
			}
			e.Advance(now)
		}
		if lasts && (len(pages) != 1 || pages[0] < 1290*time.Second || pages[0] > 1800*time.Second) || !lasts && len(pages) > 0 {
			t.Errorf("it lasts %v: paged after %v", lasts, pages)
		}
	}
}

// TestSlowClockStillPages: a clock that is four minutes behind for good is not taken
// for a backlog for ever.
func TestSlowClockStillPages(t *testing.T) {
	e := New(mustRules(t, `groups: [{name: g, rules: [{alert: hot, series: a, condition: above 5}]}]`), DefaultOptions())
	var pages []time.Duration
	for s := 0; s < 1200; s += 10 {
		now := testStart().Add(time.Duration(s) * time.Second)
		v := 1.0
		if s >= 60 {
			v = 9
		}
		for range e.Feed(cycle(now.Add(-4*time.Minute), v), now) {
			pages = append(pages, now.Sub(testStart()))
		}
	}
	if len(pages) != 1 || pages[0] > 6*time.Minute {
		t.Errorf("paged after %v, want once within patience", pages)
	}
}
