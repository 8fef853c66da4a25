package alerting

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

var traces = flag.Int("traces", 600, "random traces that the engine is compared with the reference on")

// propertyRules are of all kinds, with small windows so that short traces reach far.
const propertyRules = `
groups:
- name: p
  rules:
  - {alert: last, series: a, condition: above 5, for: 30s, keep_firing_for: 20s}
  - {alert: now, series: a, condition: above 5}
  - {alert: band, series: a, condition: above 6, recovery: below 3, for: 10s}
  - {alert: avg, series: a, function: avg, window: 1m, condition: above 5, for: 10s}
  - {alert: min, series: a, function: min, window: 45s, condition: above 2, keep_firing_for: 30s}
  - {alert: low, series: a, function: min, window: 2m, condition: at most 0}
  - {alert: max, series: a, function: max, window: 1m, condition: at least 9, for: 20s}
  - {alert: p95, series: a, function: p95, window: 3m, condition: above 7}
  - {alert: rate, series: c, function: rate, window: 1m, condition: above 0.35, for: 10s}
  - {alert: increase, series: c, function: increase, window: 2m, condition: above 30}
  - {alert: delta, series: a, function: delta, window: 1m, condition: outside 6}
  - {alert: odd, kind: anomaly, series: a, window: 10m, min_history: 3m, condition: outside 4, recovery: inside 2}
  - {alert: fc, kind: forecast, series: a, window: 2m, ahead: 5m, condition: above 10.0001, recovery: below 7.0001}
  - {alert: gone, kind: absence, series: a, window: 1m, for: 20s}
  - {alert: other, series: d, condition: above 5, for: 15s}
  - {alert: silent, kind: absence, window: 3m, keep_firing_for: 30s}
`

func mustRules(t testing.TB, text string) *RuleSet {
	t.Helper()
	rules, err := ParseRules("rules.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func testAgent() Agent {
	return Agent{ID: "ag-1", Hostname: "web-1", Labels: []sentinel.Label{{Name: "site", Value: "fra"}}}
}

// trace makes a random history of one agent. wild traces have delays, holes,
// repeats, backlogs and clock steps; others only noise and phases.
func trace(rng *rand.Rand, wild bool) []input {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	series := sentinel.Layout{sentinel.NewSeries("a", sentinel.Gauge, "", "x", "1"), sentinel.NewSeries("c", sentinel.Counter, "")}
	other := sentinel.Layout{sentinel.NewSeries("d", sentinel.Gauge, "")}
	interval := []int64{5_000, 10_000, 15_000}[rng.IntN(3)]
	var list []input
	level, counter, slope, clock := 3, 0, 1, int64(0)
	cut := int64(0)    // the network is cut until
	absent := int64(0) // the metric a is not there until
	var kept []input
	n := 60 + rng.IntN(200)
	now := start
	for range n {
		now += interval + rng.Int64N(300)
		if rng.IntN(12) == 0 {
			level = rng.IntN(12) - 1
		}
		if rng.IntN(20) == 0 {
			slope = rng.IntN(8)
		}
		if counter += slope; rng.IntN(40) == 0 {
			counter = rng.IntN(3)
		}
		values := []float64{float64(level + rng.IntN(2)), float64(counter)}
		if rng.IntN(80) == 0 {
			absent = now + rng.Int64N(1_000_000)
		}
		if now < absent || rng.IntN(30) == 0 {
			values[0] = sentinel.Absent()
		}
		if wild {
			switch rng.IntN(150) {
			case 0:
				clock += rng.Int64N(1_500_000) - 700_000
			case 1:
				clock = 0
			case 2:
				cut = now + rng.Int64N(2_000_000)
				list = append(list, input{now: now, presence: &Presence{Agent: testAgent()}})
			case 3: // nothing collected for a while
				now += rng.Int64N(1_800_000)
			}
		}
		c := input{now: now + rng.Int64N(2_000), cycle: &Cycle{Agent: testAgent(), Series: series, Time: time.UnixMilli(now + clock), Values: values}}
		if now < cut {
			kept = append(kept, c)
		} else {
			if len(kept) > 0 {
				list = append(list, input{now: now, presence: &Presence{Agent: testAgent(), Connected: true, Backlog: true}})
				if rng.IntN(2) == 0 { // fresh data first
					list = append(list, c)
				}
				for _, k := range kept {
					k.now = now
					list = append(list, k)
				}
				kept = nil
			}
			list = append(list, c)
			if wild && rng.IntN(20) == 0 {
				back := list[max(0, len(list)-1-rng.IntN(8))]
				back.now = now
				list = append(list, back) // delivered again
			}
			if wild && rng.IntN(30) == 0 && len(list) > 2 {
				list[len(list)-1], list[len(list)-2] = list[len(list)-2], list[len(list)-1]
			}
		}
		if now >= cut && rng.IntN(3) == 0 { // another layout of the same agent, a little older
			list = append(list, input{now: now + 1_000, cycle: &Cycle{Agent: testAgent(), Layout: sentinel.LayoutHash{1}, Series: other,
				Time: time.UnixMilli(now + clock - rng.Int64N(3_000)), Values: []float64{values[0] + 2}}})
		}
		list = append(list, input{now: now + 2_000})
		if gap := now - start; gap > 0 && rng.IntN(3) == 0 {
			list = append(list, input{now: now + 3_000})
		}
	}
	// The service's clock runs on in order, and it is asked often enough.
	var out []input
	last := start
	for _, in := range list {
		for in.now-last > 50_000 {
			last += 50_000
			out = append(out, input{now: last})
		}
		in.now = max(in.now, last)
		last = in.now
		out = append(out, in)
	}
	return out
}

// play runs one input through an engine.
func play(e *Engine, in input) []Transition {
	switch {
	case in.cycle != nil:
		return e.Feed(*in.cycle, at(in.now))
	case in.presence != nil:
		return e.SetPresence(*in.presence, at(in.now))
	}
	return e.Advance(at(in.now))
}

// summary is what two transitions must agree in; those of one input may come in any order.
func summary(list []Transition) []string {
	var out []string
	for _, tr := range list {
		out = append(out, fmt.Sprintf("%s %s %s→%s at %s start %s fired %s", tr.Now.Format("15:04:05.000"), tr.Rule+tr.Series, tr.From, tr.To,
			tr.At.Format("15:04:05.000"), tr.StartsAt.Format("15:04:05.000"), tr.FiredAt.Format("15:04:05.000")))
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(a[:12]+ruleOf(a), b[:12]+ruleOf(b)) })
	return out
}

func ruleOf(line string) string {
	var rule string
	_, _ = fmt.Sscanf(line[12:], "%s", &rule)
	return rule
}

func differ(t *testing.T, what string, got, want []string) bool {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s: transition %d\n got %s\nwant %s", what, i, g, w)
			return true
		}
	}
	return false
}

// TestP26EngineAgreesWithReference compares the engine with an implementation that
// computes everything from the full history, on random traces.
func TestP26EngineAgreesWithReference(t *testing.T) {
	rules := mustRules(t, propertyRules)
	transitions, seen := 0, map[string]int{}
	for seed := range uint64(*traces) {
		rng := rand.New(rand.NewPCG(seed, 1))
		e, ref := New(rules, DefaultOptions()), newReference(rules)
		var got []Transition
		for _, in := range trace(rng, seed%3 != 0) {
			got = append(got, play(e, in)...)
			ref.step(in)
		}
		if differ(t, fmt.Sprintf("seed %d", seed), summary(got), summary(ref.out)) {
			return
		}
		transitions += len(got)
		for _, tr := range got {
			seen[tr.Rule+" "+string(tr.To)]++
		}
	}
	for _, r := range rules.Rules {
		for _, to := range []State{Firing, Resolved, Unknown} {
			if seen[r.ID()+" "+string(to)] == 0 && (r.Kind != Absence || !r.ofAgent() || to != Unknown) {
				t.Errorf("%s was never %s: the traces prove nothing about it", r.ID(), to)
			}
		}
	}
	t.Logf("%d traces, %d transitions: %v", *traces, transitions, seen)
}
