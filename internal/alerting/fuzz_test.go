package alerting

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// FuzzRules: whatever the text, it is refused as Invalid, or the rules work, say what
// they are, and read their own selectors and conditions back.
func FuzzRules(f *testing.F) {
	f.Add(propertyRules)
	f.Add(lateRules)
	f.Add("groups: [{name: g, rules: [{alert: x, series: 'a{b=~\"c|d\"}', condition: '>= 1e3'}]}]")
	f.Add("groups: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules("f.yml", []byte(text))
		if err != nil {
			if sentinel.CodeOf(err) != sentinel.Invalid {
				t.Errorf("code %v: %v", sentinel.CodeOf(err), err)
			}
			return
		}
		for _, r := range rules.Rules {
			back, err := ParseSelector(r.Series.String())
			if err != nil || back.String() != r.Series.String() {
				t.Errorf("selector %q comes back as %q, %v", r.Series, back, err)
			}
			var c Condition
			if err := c.UnmarshalText([]byte(r.Condition.String())); err != nil || c != r.Condition {
				t.Errorf("condition %q comes back as %q, %v", r.Condition, c, err)
			}
			if r.String() == "" || len(r.Hash()) != 16 {
				t.Errorf("%+v has no sentence or hash", r)
			}
		}
		e := New(rules, DefaultOptions())
		for i := range 20 {
			now := testStart().Add(time.Duration(i) * 10 * time.Second)
			e.Feed(cycle(now, float64(i%7), 3), now)
			e.Advance(now)
		}
	})
}

// FuzzIncident: what a stream holds is refused as Invalid, or can be taken over.
func FuzzIncident(f *testing.F) {
	rules := mustRules(f, propertyRules)
	e := New(rules, DefaultOptions())
	for i := range 9 {
		now := testStart().Add(time.Duration(i) * 10 * time.Second)
		e.Feed(cycle(now, 9), now)
	}
	for _, inc := range e.Incidents() {
		raw, _ := json.Marshal(inc)
		f.Add(raw)
	}
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		inc, err := ParseIncident(raw)
		if err != nil {
			if sentinel.CodeOf(err) != sentinel.Invalid {
				t.Errorf("code %v: %v", sentinel.CodeOf(err), err)
			}
			return
		}
		e := New(rules, DefaultOptions())
		e.Import(nil, []Incident{inc}, testStart())
		for i := range 100 {
			now := testStart().Add(time.Duration(i) * 10 * time.Second)
			e.Feed(cycle(now, float64(i%2*9)), now)
			e.Advance(now)
		}
		for _, inc := range e.Incidents() {
			if err := inc.check(); err != nil {
				t.Errorf("what was taken over cannot be handed on: %v", err)
			}
		}
	})
}

// FuzzTemplate: an annotation is refused, or written out whole or cut, as clean text.
func FuzzTemplate(f *testing.F) {
	f.Add("{{ value | percent }} on {{ $labels.a }}", "x", 1.5)
	f.Add("{{ eta | duration }}{{ value | bytes }}{{ value | humanize }}", "\xff\n", -1e308)
	f.Fuzz(func(t *testing.T, text, label string, v float64) {
		tpl, err := parseTemplate(text)
		if err != nil {
			return
		}
		got := tpl.write(map[string]float64{"value": v, "eta": v}, map[string]string{"a": label})
		if len(got) > maxAnnotation+8 || !utf8.ValidString(got) {
			t.Errorf("%d bytes, %q", len(got), got)
		}
	})
}

// FuzzTests: a file of tests is refused, or runs to its end.
func FuzzTests(f *testing.F) {
	f.Add("tests: [{interval: 1m, input_series: [{series: a, values: 0+1x9}], alert_rule_test: [{eval_time: 5m, alertname: now}]}]")
	f.Add("tests: [{interval: 1ms, alert_rule_test: [{eval_time: 300d, alertname: now}]}]")
	f.Add("tests: [{input_series: [{series: 'a{b=\"c\"}', values: '1 _x3 -2-1e3x4'}], silence: [{from: 1m, to: 2m, backlog: true}]}]")
	rules := mustRules(f, lateRules)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "x") > 20 || strings.Contains(text, "00") { // long, not wrong
			t.Skip()
		}
		if _, _, err := RunTestsOn(t.Context(), rules, "f.yml", []byte(text), promql); err != nil && sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("code %v: %v", sentinel.CodeOf(err), err)
		}
	})
}
