package alerting

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// carry writes incidents as they lie in a stream and reads them back.
func carry(t testing.TB, list []Incident) (out []Incident) {
	t.Helper()
	for _, inc := range list {
		raw, err := json.Marshal(inc)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseIncident(raw)
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		out = append(out, back)
	}
	return out
}

// TestP26HandOverChangesNothing cuts traces at every point: a new engine, warmed with
// the samples before, takes over the state, and the transitions are the same as if
// nothing had happened.
func TestP26HandOverChangesNothing(t *testing.T) {
	rules := mustRules(t, propertyRules)
	for seed := range uint64(4) {
		list := trace(rand.New(rand.NewPCG(seed, 2)), seed%2 == 0)
		whole := New(rules, DefaultOptions())
		var want [][]Transition
		for _, in := range list {
			want = append(want, play(whole, in))
		}
		for cut := range list {
			e := New(rules, DefaultOptions())
			before := New(rules, DefaultOptions())
			for _, in := range list[:cut] {
				play(before, in)
				if in.cycle != nil {
					e.Warm(*in.cycle, at(in.now))
				}
			}
			now := list[cut].now
			if got := e.Import(before.Agents(), carry(t, before.Incidents()), at(now)); len(got) > 0 {
				t.Fatalf("seed %d, cut at %d: import said %v", seed, cut, summary(got))
			}
			for i, in := range list[cut:] {
				if i > 60 && cut%7 != 0 { // the rest of the trace is the next cut's
					break
				}
				if differ(t, fmt.Sprintf("seed %d, cut at %d, input %d", seed, cut, cut+i), summary(play(e, in)), summary(want[cut+i])) {
					return
				}
			}
		}
	}
}

// TestP26HandOverFromTransitions hands over what a killed owner had written: the last
// transition of each incident, and nothing else.
func TestP26HandOverFromTransitions(t *testing.T) {
	rules := mustRules(t, propertyRules)
	for seed := range uint64(12) {
		list := trace(rand.New(rand.NewPCG(seed, 3)), false)
		whole := New(rules, DefaultOptions())
		written := map[string]Incident{}
		e := New(rules, DefaultOptions())
		var history []input
		for i, in := range list {
			want := play(whole, in)
			got := play(e, in)
			if differ(t, fmt.Sprintf("seed %d, input %d", seed, i), summary(got), summary(want)) {
				return
			}
			for _, tr := range got {
				written[tr.Fingerprint] = tr.Incident
			}
			history = append(history, in)
			if i%3 != 0 {
				continue
			}
			var incidents []Incident
			for _, fp := range sortedKeys(written) {
				incidents = append(incidents, written[fp])
			}
			agents := e.Agents()
			next := New(rules, DefaultOptions())
			for _, h := range history {
				if h.cycle != nil {
					next.Warm(*h.cycle, at(h.now))
				}
			}
			if said := next.Import(agents, carry(t, incidents), at(in.now)); len(said) > 0 {
				t.Fatalf("seed %d: import said %v", seed, summary(said))
			}
			e = next
		}
	}
}

// TestP26HandOverNeverResetsFor is the plainest case: an owner every 20 seconds.
func TestP26HandOverNeverResetsFor(t *testing.T) {
	rules := mustRules(t, `groups: [{name: g, rules: [{alert: hot, series: a, condition: above 5, for: 10m}]}]`)
	e := New(rules, DefaultOptions())
	start := testStart()
	fired := time.Time{}
	written := map[string]Incident{}
	for i := range 80 {
		now := start.Add(time.Duration(i) * 10 * time.Second)
		if i%2 == 1 { // without warming: the window is not needed
			next := New(rules, DefaultOptions())
			var list []Incident
			for _, inc := range written {
				list = append(list, inc)
			}
			next.Import(nil, carry(t, list), now)
			e = next
		}
		for _, tr := range append(e.Feed(cycle(now, 9), now), e.Advance(now)...) {
			written[tr.Fingerprint] = tr.Incident
			if tr.To == Firing && fired.IsZero() {
				fired = now
			}
		}
	}
	if want := start.Add(10 * time.Minute); !fired.Equal(want) {
		t.Errorf("fired at %s, want %s", fired, want)
	}
}

func TestImportEndsWhatRulesNoLongerHave(t *testing.T) {
	rules := mustRules(t, `groups: [{name: g, rules: [{alert: hot, series: a, condition: above 5, severity: critical}]}]`)
	e := New(rules, DefaultOptions())
	if got := e.Feed(cycle(testStart(), 9), testStart()); len(got) != 1 || got[0].To != Firing {
		t.Fatalf("got %v", summary(got))
	}
	for _, tt := range []struct {
		rules  string
		reason Reason
	}{
		{`groups: [{name: g, rules: [{alert: cold, series: a, condition: below 5}]}]`, RuleRemoved},
		{`groups: [{name: g, rules: [{alert: hot, series: a, condition: above 50}]}]`, RuleChanged},
	} {
		next := New(mustRules(t, tt.rules), DefaultOptions())
		got := next.Import(e.Agents(), carry(t, e.Incidents()), testStart())
		if len(got) != 1 || got[0].To != Resolved || got[0].Reason != tt.reason || got[0].Labels["alertname"] != "hot" {
			t.Errorf("%s: got %+v", tt.reason, got)
		}
		if left := next.Incidents(); len(left) != 0 {
			t.Errorf("%s: %+v is left", tt.reason, left)
		}
	}
}

// TestHandOverWithoutWarming: a window that is not full resolves and fires nothing.
func TestHandOverWithoutWarming(t *testing.T) {
	rules := mustRules(t, `groups: [{name: g, rules: [
  {alert: high, series: a, function: avg, window: 5m, condition: above 5},
  {alert: low, series: a, function: avg, window: 5m, condition: below 2}]}]`)
	e := New(rules, DefaultOptions())
	now := testStart()
	for range 60 {
		now = now.Add(10 * time.Second)
		e.Feed(cycle(now, 9), now)
	}
	next := New(rules, DefaultOptions())
	if got := next.Import(e.Agents(), carry(t, e.Incidents()), now); len(got) > 0 {
		t.Fatal(summary(got))
	}
	took := now
	for range 40 {
		now = now.Add(10 * time.Second)
		for _, tr := range append(next.Feed(cycle(now, 1), now), next.Advance(now)...) {
			if now.Sub(took) < 5*time.Minute {
				t.Errorf("%s is %s %s after the hand-over", tr.Rule, tr.To, now.Sub(took))
			}
		}
	}
	if left := next.Incidents(); len(left) != 1 || left[0].Rule != "g/low" {
		t.Errorf("%+v is left", left)
	}
}

// TestP26NobodyLookedIsNotSilence: agents are not silent because no owner was there.
// Those that are silent still page within the rule's window.
func TestP26NobodyLookedIsNotSilence(t *testing.T) {
	rules := mustRules(t, `groups: [{name: g, rules: [{alert: silent, kind: absence, window: 5m}]}]`)
	e := New(rules, DefaultOptions())
	e.SetPresence(Presence{Agent: testAgent(), Connected: true}, testStart())
	e.SetPresence(Presence{Agent: testAgent()}, testStart())
	e.Advance(testStart().Add(2 * time.Minute))
	for _, down := range []time.Duration{10 * time.Second, time.Hour} {
		back := testStart().Add(2*time.Minute + down)
		next := New(rules, DefaultOptions())
		next.Import(e.Agents(), nil, back)
		fired := time.Duration(0)
		for i := range 60 {
			now := back.Add(time.Duration(i) * 10 * time.Second)
			for _, tr := range next.Advance(now) {
				if tr.To == Firing {
					fired = now.Sub(back)
				}
			}
		}
		want := 3*time.Minute - min(down, time.Minute)
		if fired != want {
			t.Errorf("nobody looked for %s: silent after %s, want %s", down, fired, want)
		}
	}
}
