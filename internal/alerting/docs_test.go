package alerting

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// promql answers expressions as the service does.
func promql(who Agent, layout sentinel.Layout, times []time.Time, values [][]float64) Asker {
	return query.Fixture(query.Host{Agent: who.ID, Hostname: who.Hostname, Labels: who.Labels}, layout, times, values)
}

// TestExamplesInDocs reads every example in docs/alerting.md, and runs its tests.
func TestExamplesInDocs(t *testing.T) {
	raw, err := os.ReadFile("../../docs/alerting.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, tests, checked := &RuleSet{}, []string{}, 0
	for _, block := range strings.Split(string(raw), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if strings.HasPrefix(text, "groups:") {
			if err := rules.parse("docs/alerting.md", []byte(text)); err != nil {
				t.Errorf("%v\nin\n%s", err, text)
			}
			if err := rules.CheckExprs("docs/alerting.md", query.CheckAlert); err != nil {
				t.Error(err)
			}
		} else {
			tests = append(tests, text)
		}
	}
	if len(rules.Rules) < 7 || len(tests) < 1 {
		t.Fatalf("found %d rules and %d files of tests", len(rules.Rules), len(tests))
	}
	if sentence := rules.Rules[0].String(); !strings.Contains(strings.Join(strings.Fields(string(raw)), " "), strings.ReplaceAll(sentence, `{fstype!~"tmpfs|overlay"}`, "")) {
		t.Errorf("the sentence of the first rule is %s", sentence)
	}
	for _, text := range tests {
		failures, n, err := RunTestsOn(t.Context(), rules, "docs/alerting.md", []byte(text), promql)
		if err != nil {
			t.Fatal(err)
		}
		checked += n
		for _, f := range failures {
			t.Error(f)
		}
	}
	if checked < 3 {
		t.Errorf("only %d expectations", checked)
	}
}
