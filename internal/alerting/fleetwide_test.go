package alerting

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

const fleetRule = `groups:
- name: web
  interval: 10s
  rules:
  - alert: TooFew
    expr: count by (site) (up == 1) < 3
    for: 30s
    keep_firing_for: 20s
    labels: {severity: critical, team: web}
    annotations: {summary: "only {{ $value }} at {{ $labels.site }}"}
`

func sample(site string, v float64) sentinel.Labelled {
	return sentinel.Labelled{Labels: []sentinel.Label{{Name: "site", Value: site}}, Value: v}
}

// asking is a Fleetwide with one rule whose answers a test gives every ten seconds.
type asking struct {
	t    *testing.T
	f    *Fleetwide
	rule *Rule
	at   time.Time
	all  []Transition
}

func newAsking(t *testing.T) *asking {
	rules := mustRules(t, fleetRule)
	return &asking{t: t, f: NewFleetwide(rules, DefaultOptions()), rule: rules.Rules[0], at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (f *asking) answer(list ...sentinel.Labelled) {
	f.t.Helper()
	f.at = f.at.Add(f.rule.Interval)
	out, err := f.f.Answer(f.rule, list, f.at, f.at)
	if err != nil {
		f.t.Fatal(err)
	}
	f.all = append(f.all, out...)
}

func (f *asking) fail() {
	f.at = f.at.Add(f.rule.Interval)
	f.all = append(f.all, f.f.Failed(f.rule, f.at)...)
}

// handOver makes another owner of what was written so far.
func (f *asking) handOver() {
	f.t.Helper()
	last, asked := map[string]Incident{}, map[string]time.Time{f.rule.ID(): f.f.Asked(f.rule.ID())}
	for _, tr := range f.all {
		raw, err := json.Marshal(tr)
		if err != nil {
			f.t.Fatal(err)
		}
		in, err := ParseIncident(raw)
		if err != nil {
			f.t.Fatal(err)
		}
		last[in.Fingerprint] = in
	}
	rules := mustRules(f.t, fleetRule)
	f.f, f.rule = NewFleetwide(rules, DefaultOptions()), rules.Rules[0]
	var list []Incident
	for _, fp := range sortedKeys(last) {
		list = append(list, last[fp])
	}
	f.all = append(f.all, f.f.Import(list, asked, f.at)...)
}

func (f *asking) lines() (list []string) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tr := range f.all {
		list = append(list, fmt.Sprintf("%s %s %s>%s %s %g", tr.At.Sub(begin), tr.Labels["site"], tr.From, tr.To, tr.Reason, tr.Value))
	}
	return list
}

func (f *asking) want(want ...string) {
	f.t.Helper()
	if got := f.lines(); !slices.Equal(got, want) {
		f.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestP26ExpressionsAreJudgedAsByPrometheus: for, keep_firing_for and labels, the same
// with an owner for all of it and with another one after every answer.
func TestP26ExpressionsAreJudgedAsByPrometheus(t *testing.T) {
	for _, handOvers := range []bool{false, true} {
		f := newAsking(t)
		for i := range 12 {
			switch {
			case i < 1, i > 7:
				f.answer()
			case i == 3:
				f.answer(sample("fra", 4), sample("ams", 1)) // ams comes and goes while it is pending
			default:
				f.answer(sample("fra", 4))
			}
			if handOvers {
				f.handOver()
			}
		}
		f.want("20s fra inactive>pending condition_met 4",
			"40s ams inactive>pending condition_met 1",
			"50s ams pending>inactive condition_ended 1",
			"50s fra pending>firing condition_met 4",
			"1m30s fra firing>firing recovering 4",
			"1m50s fra firing>resolved condition_ended 4")
		fired := f.all[3]
		if fired.Agent != "" || fired.Severity != "critical" || fired.Annotations["summary"] != "only 4 at fra" {
			t.Errorf("fired as %+v", fired)
		}
		if want := map[string]string{"alertname": "TooFew", "severity": "critical", "team": "web", "site": "fra"}; fmt.Sprint(fired.Labels) != fmt.Sprint(want) {
			t.Errorf("labels %v, want %v", fired.Labels, want)
		}
	}
}

// TestP26AnExpressionThatFailsChangesNothing and makes what was the case unknown after
// a while; the time without answers counts for nothing.
func TestP26AnExpressionThatFailsChangesNothing(t *testing.T) {
	f := newAsking(t)
	for range 4 {
		f.answer(sample("fra", 1), sample("ams", 2))
	}
	f.answer(sample("fra", 1), sample("ams", 2), sample("lon", 1)) // is pending when the database goes
	before := len(f.all)
	for range 59 {
		f.fail()
	}
	if len(f.all) != before {
		t.Errorf("in ten minutes without answers: %v", f.lines()[before:])
	}
	f.fail()
	f.fail()
	f.answer(sample("fra", 1), sample("lon", 1))
	f.answer(sample("fra", 1), sample("lon", 1))
	f.answer(sample("fra", 1), sample("lon", 1))
	f.answer(sample("fra", 1), sample("lon", 1))
	pages := []string{}
	for _, tr := range f.all[before:] {
		if tr.From != tr.To {
			pages = append(pages, fmt.Sprintf("%s %s>%s %s", tr.Labels["site"], tr.From, tr.To, tr.Reason))
		}
	}
	slices.Sort(pages)
	want := []string{"ams firing>resolved condition_ended", "ams firing>unknown query_failed", "ams unknown>firing data_back",
		"fra firing>unknown query_failed", "fra unknown>firing data_back", "lon pending>firing condition_met", "lon pending>unknown query_failed", "lon unknown>pending data_back"}
	if !slices.Equal(pages, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(pages, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestWhatIsNoAnswerChangesNothing(t *testing.T) {
	f := newAsking(t)
	for range 4 {
		f.answer(sample("fra", 1))
	}
	before := len(f.all)
	f.at = f.at.Add(f.rule.Interval)
	if out, err := f.f.Answer(f.rule, []sentinel.Labelled{sample("ams", 1), sample("ams", 2)}, f.at, f.at); sentinel.CodeOf(err) != sentinel.Invalid || len(out) > 0 {
		t.Errorf("a series twice: %v, %v", out, err)
	}
	f.rule.MaxSeries = 2
	if out, err := f.f.Answer(f.rule, []sentinel.Labelled{sample("a", 1), sample("b", 2), sample("c", 3)}, f.at, f.at); sentinel.CodeOf(err) != sentinel.ResourceExhausted || len(out) > 0 {
		t.Errorf("too many series: %v, %v", out, err)
	}
	if out, err := f.f.Answer(f.rule, nil, f.at.Add(-time.Hour), f.at); err != nil || len(out) > 0 {
		t.Errorf("an old answer: %v, %v", out, err)
	}
	f.answer(sample("fra", 1))
	if len(f.all) != before {
		t.Errorf("said %v", f.lines()[before:])
	}
}

func TestExpressionsComeAndGo(t *testing.T) {
	f := newAsking(t)
	for range 5 {
		f.answer(sample("fra", 1))
	}
	f.all = nil
	softer := mustRules(t, strings.Replace(fleetRule, "severity: critical", "severity: info", 1))
	f.all = append(f.all, f.f.SetRules(softer, f.at)...)
	f.want()
	other := mustRules(t, strings.Replace(fleetRule, "< 3", "< 4", 1))
	f.all = append(f.all, f.f.SetRules(other, f.at)...)
	f.want("50s fra firing>resolved rule_changed 1")
	f.all, f.rule = nil, other.Rules[0]
	for range 5 {
		f.answer(sample("fra", 1))
	}
	f.all = f.f.SetRules(&RuleSet{}, f.at)
	f.want("1m40s fra firing>resolved rule_removed 1")
}

// TestExpressionsAreCheckedWithLineAndField and say where in them the fault is.
func TestExpressionsAreCheckedWithLineAndField(t *testing.T) {
	for expr, want := range map[string]string{
		"up ==":   `r.yml:5: alert "x": expr: 1:6: parse error: unexpected end of input`,
		"rate(a)": `r.yml:5: alert "x": expr: 1:6: parse error: expected type range vector in call to function "rate"`,
		"a[5m]":   `r.yml:5: alert "x": expr: gives a range vector, want series with one value each`,
		"'text'":  `r.yml:5: alert "x": expr: gives a string`,
	} {
		rules := mustRules(t, "groups:\n- name: g\n  rules:\n  - alert: x\n    expr: \""+expr+"\"\n")
		err := rules.CheckExprs("r.yml", query.CheckAlert)
		if err == nil || !strings.HasPrefix(err.Error(), want) || sentinel.CodeOf(err) != sentinel.Invalid {
			t.Errorf("%s: %v, want %s", expr, err, want)
		}
	}
	fine := mustRules(t, fleetRule)
	if err := fine.CheckExprs("r.yml", query.CheckAlert); err != nil {
		t.Error(err)
	}
	if r := fine.Rules[0]; r.Kind != Expr || r.Interval != 10*time.Second || r.Severity != "critical" || r.String() != "count by (site) (up == 1) < 3 has a result, asked every 10s for 30s, at least 20s longer" {
		t.Errorf("%+v: %s", r, r)
	}
	again, err := ParseRule("y", "web", []byte(fine.Rules[0].YAML()))
	if err != nil || again.Hash() != fine.Rules[0].Hash() || again.YAML() != fine.Rules[0].YAML() {
		t.Errorf("%v: what is written is read as\n%s\nof\n%s", err, again.YAML(), fine.Rules[0].YAML())
	}
	if err := fine.CheckExprs("r.yml", func(string) error { return errors.New("no") }); err == nil {
		t.Error("what check finds is no error")
	}
}

// TestExpressionsInTests runs a file of tests through the real query engine, in
// promtool's form.
func TestExpressionsInTests(t *testing.T) {
	rules := mustRules(t, fleetRule+`
  - alert: Gone
    expr: absent(up{site="fra"})
`)
	text := `tests:
- interval: 10s
  input_series:
  - {series: 'up{site="fra",instance="a"}', values: 1x30}
  - {series: 'up{site="fra",instance="b"}', values: 1x30}
  - {series: 'up{site="fra",instance="c"}', values: 1x5 0x10 1x13}
  alert_rule_test:
  - {eval_time: 1m20s, alertname: TooFew, state: pending, exp_alerts: [{exp_labels: {site: fra}}]}
  - {eval_time: 1m20s, alertname: TooFew}
  - {eval_time: 1m40s, alertname: TooFew, exp_alerts: [{exp_labels: {site: fra, severity: critical}, exp_annotations: {summary: only 2 at fra}}]}
  - {eval_time: 4m, alertname: TooFew}
  - {eval_time: 4m, alertname: Gone}
  - {eval_time: 12m, alertname: Gone, exp_alerts: [{exp_labels: {site: fra}}]}
`
	failures, n, err := RunTestsOn(t.Context(), rules, "t.yml", []byte(text), promql)
	if err != nil || n != 6 {
		t.Fatal(n, err)
	}
	for _, f := range failures {
		t.Error(f)
	}
	wrong := strings.Replace(text, "only 2 at fra", "only 3 at fra", 1)
	if failures, _, err := RunTestsOn(t.Context(), rules, "t.yml", []byte(wrong), promql); err != nil || len(failures) != 1 {
		t.Errorf("a test that must fail: %v, %v", failures, err)
	}
}
