package alerting

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// prometheusAlert follows what Prometheus documents of alerting rules: an alert is
// active from the first evaluation whose expression has a result, pending until it
// has been active for `for`, then firing; it is gone at the first evaluation without
// a result, which for a firing one is put off until keep_firing_for has passed since
// the first evaluation without.
type prometheusAlert struct {
	hold, keep       time.Duration
	active, firing   bool
	activeAt, keepAt time.Time
	keeping          bool
}

func (p *prometheusAlert) eval(ts time.Time, result bool) string {
	switch {
	case result && !p.active:
		p.active, p.firing, p.keeping, p.activeAt = true, false, false, ts
	case result:
		p.keeping = false
	case p.active && p.firing && p.keep > 0:
		if !p.keeping {
			p.keeping, p.keepAt = true, ts
		}
		if ts.Sub(p.keepAt) < p.keep {
			return "firing"
		}
		p.active = false
	default:
		p.active = false
	}
	if !p.active {
		return "inactive"
	}
	if p.firing = p.firing || ts.Sub(p.activeAt) >= p.hold; p.firing {
		return "firing"
	}
	return "pending"
}

// TestForAndKeepFiringForAreThoseOfPrometheus walks both through random conditions.
func TestForAndKeepFiringForAreThoseOfPrometheus(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 9))
		p := prometheusAlert{hold: time.Duration(rng.IntN(8)) * 7 * time.Second, keep: time.Duration(rng.IntN(8)) * 7 * time.Second}
		e := New(mustRules(t, fmt.Sprintf("groups: [{name: g, rules: [{alert: x, series: a, condition: above 5, for: %s, keep_firing_for: %s}]}]", p.hold, p.keep)), DefaultOptions())
		state, hot := "inactive", false
		var course strings.Builder
		for i := range 120 {
			if rng.IntN(5) == 0 {
				hot = !hot
			}
			v := 0.0
			if hot {
				v = 9
			}
			now := testStart().Add(time.Duration(i) * 10 * time.Second)
			for _, tr := range append(e.Feed(cycle(now, v), now), e.Advance(now)...) {
				if state = string(tr.To); tr.To == Resolved {
					state = "inactive"
				}
			}
			want := p.eval(now, hot)
			fmt.Fprintf(&course, "%v ", hot)
			if state != want {
				t.Fatalf("seed %d, for %s, keep_firing_for %s: %s after %s, Prometheus says %s", seed, p.hold, p.keep, state, course.String(), want)
			}
		}
	}
}
