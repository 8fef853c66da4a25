package alerting

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestP26JudgingAgainSaysNothingTwice hands over to an owner that begins a few inputs
// before the one at which the owner before was killed: what that one had said is in
// the incidents, and is not said again; what comes is as if nothing had happened.
func TestP26JudgingAgainSaysNothingTwice(t *testing.T) {
	rules := mustRules(t, propertyRules)
	for seed := range uint64(4) {
		list := trace(rand.New(rand.NewPCG(seed, 9)), false)
		whole := New(rules, DefaultOptions())
		var want [][]Transition
		for _, in := range list {
			want = append(want, play(whole, in))
		}
		for cut := 5; cut < len(list); cut += 11 {
			again := 1 + cut%4 // inputs that are judged again
			before, e := New(rules, DefaultOptions()), New(rules, DefaultOptions())
			written := map[string]Incident{}
			var agents []AgentState
			for i, in := range list[:cut] {
				for _, tr := range play(before, in) {
					written[tr.Fingerprint] = tr.Incident
				}
				if i < cut-again && in.cycle != nil {
					e.Warm(*in.cycle, at(in.now))
				}
				if i == cut-again {
					agents = before.Agents()
				}
			}
			var incidents []Incident
			for _, fp := range sortedKeys(written) {
				incidents = append(incidents, written[fp])
			}
			if said := e.Import(agents, carry(t, incidents), at(list[cut-again].now)); len(said) > 0 {
				t.Fatalf("seed %d, cut %d: import said %v", seed, cut, summary(said))
			}
			for i, in := range list[cut-again:] {
				if in.cycle == nil && i < again {
					continue // the clock does not run again, and is not to say anything
				}
				got, exp := play(e, in), []Transition(nil)
				if n := cut - again + i; n >= cut {
					exp = want[n]
				}
				if i > 60 {
					break
				}
				if differ(t, fmt.Sprintf("seed %d, cut %d, %d again, input %d", seed, cut, again, i), summary(got), summary(exp)) {
					return
				}
			}
		}
	}
}
