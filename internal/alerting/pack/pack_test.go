package pack_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
)

func TestPack(t *testing.T) {
	failures, checked, err := alerting.RunTests(t.Context(), "tests.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range failures {
		t.Error(f)
	}
	if checked < 80 {
		t.Errorf("only %d expectations", checked)
	}
}

// TestEveryRuleIsTested wants each rule to be named in tests.yml and to have a summary.
func TestEveryRuleIsTested(t *testing.T) {
	rules, err := pack.Rules()
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("tests.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(rules.Rules) < 25 {
		t.Errorf("only %d rules", len(rules.Rules))
	}
	for _, r := range rules.Rules {
		if strings.Count(string(tests), "alertname: "+r.Alert+"\n") < 2 {
			t.Errorf("%s is not tested for firing and not firing", r.Alert)
		}
		if r.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", r.Alert)
		}
	}
}
