package alerting_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/pack"
)

// TestRulesAreWrittenAsTheyWereRead takes every rule of the starter pack, and some
// that are hard to write, through text and back.
func TestRulesAreWrittenAsTheyWereRead(t *testing.T) {
	const hard = `groups:
- name: "odd: {group} #1"
  rules:
  - {alert: "a: 'b' \"c\" # d", series: '{__name__=~"x|y",a!="}\n\\"}', condition: outside 1e-300, recovery: inside 5e-301, max_series: 7, labels: {yes: "no", "on": "~"}, annotations: {summary: "first\nsecond: {{ value }} – ü"}}
  - {alert: gone, kind: absence, window: 90s, agents: '{site=~"fra|muc"}', severity: critical, for: 7d, keep_firing_for: 1h1m1s}
  - {alert: odd, kind: anomaly, series: x, floor: 0.25, window: 2h}
  - {alert: full, kind: forecast, series: x, window: 1h, ahead: 30d, condition: at most 0, runbook: "https://r.example/x?y=z#w"}
  - {alert: p, series: x, function: p95, window: 5m, condition: not 3, minus: y}
`
	for name, text := range map[string][]byte{"pack": pack.YAML(), "hard": []byte(hard)} {
		set, err := alerting.ParseRules(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range set.Rules {
			file := "groups:\n- name: " + string(mustJSON(t, r.Group)) + "\n  rules:\n  - " + strings.ReplaceAll(strings.TrimSpace(r.YAML()), "\n", "\n    ")
			back, err := alerting.ParseRules("written", []byte(file))
			if err != nil {
				t.Fatalf("%v\n%s", err, file)
			}
			if got, want := string(mustJSON(t, back.Rules[0])), string(mustJSON(t, r)); got != want || back.Rules[0].Hash() != r.Hash() {
				t.Errorf("%s became\n%s, was\n%s", file, got, want)
			}
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
