package alerting

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// testFile is a file of tests of rules, in promtool's form.
type testFile struct {
	RuleFiles          []string   `yaml:"rule_files"`
	EvaluationInterval span       `yaml:"evaluation_interval"`
	Tests              []ruleTest `yaml:"tests"`
}

type ruleTest struct {
	Name        string            `yaml:"name"`
	Interval    span              `yaml:"interval"`
	Agent       map[string]string `yaml:"agent"` // hostname and labels of the agent
	InputSeries []inputSeries     `yaml:"input_series"`
	Silence     []silence         `yaml:"silence"`
	AlertRules  []alertTest       `yaml:"alert_rule_test"`
	Lines       config.Lines      `yaml:"-"`
}

type inputSeries struct {
	Series string       `yaml:"series"`
	Values string       `yaml:"values"`
	Lines  config.Lines `yaml:"-"`
}

// silence is a time in which the agent has no session and sends nothing; with
// Backlog it sends all of it at the end.
type silence struct {
	From    span `yaml:"from"`
	To      span `yaml:"to"`
	Backlog bool `yaml:"backlog"`
}

type alertTest struct {
	EvalTime  span            `yaml:"eval_time"`
	Alertname string          `yaml:"alertname"`
	State     State           `yaml:"state"` // of the alerts that are expected; firing
	ExpAlerts []expectedAlert `yaml:"exp_alerts"`
	Lines     config.Lines    `yaml:"-"`
}

type expectedAlert struct {
	ExpLabels      map[string]string `yaml:"exp_labels"`
	ExpAnnotations map[string]string `yaml:"exp_annotations"`
}

// Failure is one expectation that did not hold.
type Failure struct {
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Test     string        `json:"test"`
	Alert    string        `json:"alert"`
	EvalTime time.Duration `json:"eval_time"`
	What     string        `json:"what"`
}

// String returns the failure in one line.
func (f Failure) String() string {
	return fmt.Sprintf("%s:%d: %s: %s at %s: %s", f.File, f.Line, f.Test, f.Alert, sentinel.FormatDuration(f.EvalTime), f.What)
}

// Bench makes what answers expressions over the series of a test: each has a value, or
// sentinel.Absent, at each of the times.
type Bench func(who Agent, layout sentinel.Layout, times []time.Time, values [][]float64) Asker

// RunTests runs the tests of one file through the engine and returns what does not
// hold, and how many expectations there were. rule_files are relative to the file.
// Errors are Invalid or NotFound: the file, or the rules it names, cannot be used.
func RunTests(ctx context.Context, path string, bench Bench) (failures []Failure, checked int, err error) {
	raw, err := readFile(path)
	if err != nil {
		return nil, 0, err
	}
	return runTests(ctx, path, raw, bench, func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return readFile(name)
	})
}

// RunTestsOn runs a file of tests on rules that are at hand; rule_files are not read.
func RunTestsOn(ctx context.Context, rules *RuleSet, name string, raw []byte, bench Bench) (failures []Failure, checked int, err error) {
	file, err := parseTests(name, raw)
	if err != nil {
		return nil, 0, err
	}
	return file.run(ctx, name, rules, bench)
}

func runTests(ctx context.Context, path string, raw []byte, bench Bench, read func(string) ([]byte, error)) ([]Failure, int, error) {
	file, err := parseTests(path, raw)
	if err != nil {
		return nil, 0, err
	}
	rules := &RuleSet{}
	for _, name := range file.RuleFiles {
		text, err := read(name)
		if err != nil {
			return nil, 0, err
		}
		if err := rules.parse(name, text); err != nil {
			return nil, 0, err
		}
	}
	if len(rules.Rules) == 0 {
		return nil, 0, sentinel.Errorf(sentinel.Invalid, "%s: rule_files: there are no rules to test", path)
	}
	return file.run(ctx, path, rules, bench)
}

func parseTests(name string, raw []byte) (*testFile, error) {
	if len(raw) > maxFileBytes {
		return nil, sentinel.Errorf(sentinel.Invalid, "%s: larger than %d bytes", name, maxFileBytes)
	}
	file := &testFile{}
	if err := config.Parse(name, raw, file); err != nil {
		return nil, err
	}
	for i := range file.Tests {
		t := &file.Tests[i]
		if t.Name == "" {
			t.Name = fmt.Sprintf("test %d", i+1)
		}
		if t.Interval == 0 {
			t.Interval = max(file.EvaluationInterval, 0)
		}
		if t.Interval == 0 {
			t.Interval = span(time.Minute)
		}
	}
	return file, nil
}

func (f *testFile) run(ctx context.Context, name string, rules *RuleSet, bench Bench) (failures []Failure, checked int, err error) {
	for i := range f.Tests {
		list, n, err := f.Tests[i].run(ctx, name, rules, bench)
		if err != nil {
			return nil, 0, err
		}
		failures = append(failures, list...)
		checked += n
	}
	return failures, checked, nil
}

// testStart is when tests begin; any time would do.
func testStart() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// expressions asks the rules of kind expr of a test at their intervals.
type expressions struct {
	asker   Asker
	machine *Fleetwide
	next    map[*Rule]time.Time
}

func newExpressions(t *ruleTest, r *testRun, rules *RuleSet, opts Options, interval time.Duration, bench Bench) *expressions {
	e := &expressions{machine: NewFleetwide(rules, opts), next: map[*Rule]time.Time{}}
	if len(e.machine.Rules()) == 0 {
		return e
	}
	var times []time.Time
	values := make([][]float64, len(r.values))
	longest := 0
	for _, list := range r.values {
		longest = max(longest, len(list))
	}
	for step := range longest {
		at := time.Duration(step) * interval
		times = append(times, testStart().Add(at))
		quiet := slices.ContainsFunc(t.Silence, func(s silence) bool { return at >= time.Duration(s.From) && at < time.Duration(s.To) })
		for i, list := range r.values {
			v := sentinel.Absent()
			if step < len(list) && !quiet {
				v = list[step]
			}
			values[i] = append(values[i], v)
		}
	}
	e.asker = bench(r.agent, r.layout, times, values)
	return e
}

func (e *expressions) until(ctx context.Context, t time.Time) (out []Transition, err error) {
	for _, r := range e.machine.Rules() {
		if e.next[r].IsZero() {
			e.next[r] = testStart()
		}
		for ; !e.next[r].After(t); e.next[r] = e.next[r].Add(r.Interval) {
			answer, err := e.asker.Ask(ctx, r.Expr, e.next[r])
			if err == nil {
				var list []Transition
				list, err = e.machine.Answer(r, answer, e.next[r], e.next[r])
				out = append(out, list...)
			}
			if err != nil {
				return nil, sentinel.Errorf(sentinel.Invalid, "alert %.80q: expr: %w", r.Alert, err)
			}
		}
	}
	return out, nil
}

// testRun is one test on its way.
type testRun struct {
	engine *Engine
	agent  Agent
	layout sentinel.Layout
	values [][]float64
	alerts map[string]Transition // the last of each incident
}

func (t *ruleTest) run(ctx context.Context, file string, rules *RuleSet, bench Bench) ([]Failure, int, error) {
	fail := func(line int, format string, args ...any) error {
		return sentinel.Errorf(sentinel.Invalid, "%s:%d: %s: %s", file, line, t.Name, fmt.Sprintf(format, args...))
	}
	opts := DefaultOptions()
	opts.Patience = max(opts.Patience, 5*time.Duration(t.Interval)) // as for agents that collect so rarely
	r := testRun{engine: New(rules, opts), agent: t.who(), alerts: map[string]Transition{}}
	longest := 0
	for _, in := range t.InputSeries {
		series, err := parseSeries(in.Series)
		if err != nil {
			return nil, 0, fail(in.Lines.Of("series"), "series: %s", err)
		}
		values, err := expand(in.Values)
		if err != nil {
			return nil, 0, fail(in.Lines.Of("values"), "values: %s", err)
		}
		r.layout, r.values = append(r.layout, series), append(r.values, values)
		longest = max(longest, len(values))
	}
	interval := time.Duration(t.Interval)
	checks := slices.Clone(t.AlertRules)
	slices.SortStableFunc(checks, func(a, b alertTest) int { return int(min(max(a.EvalTime-b.EvalTime, -1), 1)) })
	end := interval * time.Duration(longest)
	for _, c := range checks {
		if c.Alertname == "" || !slices.ContainsFunc(rules.Rules, func(r *Rule) bool { return r.Alert == c.Alertname }) {
			return nil, 0, fail(c.Lines.Of("alertname"), "no rule is named %.80q", c.Alertname)
		}
		end = max(end, time.Duration(c.EvalTime))
	}
	if end/interval > maxTestValues {
		return nil, 0, fail(t.Lines.Of("interval"), "more than %d intervals", maxTestValues)
	}
	tick := min(interval, 15*time.Second)
	if end/tick > 10*maxTestValues {
		return nil, 0, fail(t.Lines.Of("interval"), "lasts longer than can be tested with this interval")
	}
	expressions := newExpressions(t, &r, rules, opts, interval, bench)
	var failures []Failure
	for at, step := time.Duration(0), 0; at <= end; at += tick {
		for ; time.Duration(step)*interval <= at; step++ {
			r.cycle(t, step, interval)
		}
		r.note(r.engine.Advance(testStart().Add(at)))
		said, err := expressions.until(ctx, testStart().Add(at))
		if err != nil {
			return nil, 0, fail(t.Lines.Of(""), "%s", err)
		}
		r.note(said)
		for len(checks) > 0 && time.Duration(checks[0].EvalTime) < at+tick {
			for _, what := range r.check(&checks[0]) {
				failures = append(failures, Failure{File: file, Line: checks[0].Lines.Of("eval_time"), Test: t.Name,
					Alert: checks[0].Alertname, EvalTime: time.Duration(checks[0].EvalTime), What: what})
			}
			checks = checks[1:]
		}
	}
	return failures, len(t.AlertRules), nil
}

// cycle feeds the samples of one interval, or what a silence kept back.
func (r *testRun) cycle(t *ruleTest, step int, interval time.Duration) {
	at := time.Duration(step) * interval
	now := testStart().Add(at)
	for _, s := range t.Silence {
		if at >= time.Duration(s.From) && at < time.Duration(s.To) {
			r.note(r.engine.SetPresence(Presence{Agent: r.agent}, now))
			return
		}
		if s.Backlog && at >= time.Duration(s.To) && at-interval < time.Duration(s.To) {
			r.note(r.engine.SetPresence(Presence{Agent: r.agent, Connected: true, Backlog: true}, now))
			for i := int(time.Duration(s.From) / interval); i < step; i++ {
				if time.Duration(i)*interval >= time.Duration(s.From) {
					r.feed(i, interval, now)
				}
			}
		}
	}
	r.note(r.engine.SetPresence(Presence{Agent: r.agent, Connected: true}, now))
	r.feed(step, interval, now)
}

func (r *testRun) feed(step int, interval time.Duration, now time.Time) {
	if len(r.layout) == 0 {
		return
	}
	values := make([]float64, len(r.layout))
	for i, list := range r.values {
		values[i] = sentinel.Absent()
		if step < len(list) {
			values[i] = list[step]
		}
	}
	r.note(r.engine.Feed(Cycle{Agent: r.agent, Series: r.layout, Time: testStart().Add(time.Duration(step) * interval), Values: values}, now))
}

func (r *testRun) note(list []Transition) {
	for _, tr := range list {
		if tr.From == tr.To && tr.To == Firing {
			tr.Annotations = r.alerts[tr.Fingerprint].Annotations
		}
		r.alerts[tr.Fingerprint] = tr
	}
}

func (t *ruleTest) who() Agent {
	a := Agent{ID: "ag-test", Hostname: "test"}
	for _, name := range slices.Sorted(maps.Keys(t.Agent)) {
		if name == "hostname" {
			a.Hostname = t.Agent[name]
		} else {
			a.Labels = append(a.Labels, sentinel.Label{Name: name, Value: t.Agent[name]})
		}
	}
	return a
}

// check compares the alerts of one rule with what is expected.
func (r *testRun) check(c *alertTest) (wrong []string) {
	state := c.State
	if state == "" {
		state = Firing
	}
	var got []Transition
	for _, fp := range sortedKeys(r.alerts) {
		if tr := r.alerts[fp]; tr.Labels["alertname"] == c.Alertname && tr.State == state {
			got = append(got, tr)
		}
	}
	matched := make([]bool, len(got))
	for _, want := range c.ExpAlerts {
		found := slices.IndexFunc(got, func(tr Transition) bool { return within(want.ExpLabels, tr.Labels) })
		for i := range got {
			if !matched[i] && within(want.ExpLabels, got[i].Labels) && within(want.ExpAnnotations, got[i].Annotations) {
				found = i
				break
			}
		}
		switch {
		case found < 0:
			wrong = append(wrong, fmt.Sprintf("want an alert that is %s with %s; %s", state, pairs(want.ExpLabels), r.sum(got, c, state)))
			continue
		case !within(want.ExpAnnotations, got[found].Annotations):
			wrong = append(wrong, fmt.Sprintf("want annotations %s, got %s", pairs(want.ExpAnnotations), pairs(got[found].Annotations)))
		case matched[found]:
			wrong = append(wrong, fmt.Sprintf("want one more alert that is %s with %s", state, pairs(want.ExpLabels)))
		}
		matched[found] = true
	}
	for i, tr := range got {
		if !matched[i] {
			wrong = append(wrong, fmt.Sprintf("want no further alert that is %s, got %s (value %s)", state, pairs(tr.Labels), figure(tr.Value)))
		}
	}
	return wrong
}

// sum says what there is instead.
func (r *testRun) sum(got []Transition, c *alertTest, state State) string {
	if len(got) > 0 {
		return "got " + pairs(got[0].Labels)
	}
	for _, fp := range sortedKeys(r.alerts) {
		if tr := r.alerts[fp]; tr.Labels["alertname"] == c.Alertname {
			return fmt.Sprintf("it is %s (%s)", tr.State, tr.Reason)
		}
	}
	return fmt.Sprintf("none is %s", state)
}

// within reports whether got has everything that is wanted; it may have more.
func within(want, got map[string]string) bool {
	for name, value := range want {
		if got[name] != value {
			return false
		}
	}
	return true
}

func pairs(m map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%s=%q", name, m[name]))
	}
	return "{" + strings.Join(list, ", ") + "}"
}

// parseSeries reads name{label="value"}.
func parseSeries(text string) (sentinel.Series, error) {
	sel, err := ParseSelector(text)
	if err != nil {
		return sentinel.Series{}, err
	}
	labels := map[string]string{}
	for _, m := range sel.Matchers {
		if m.Op != "=" {
			return sentinel.Series{}, sentinel.Errorf(sentinel.Invalid, "%.80q is no series: only = fits", text)
		}
		labels[m.Label] = m.Value
	}
	s := sentinel.Series{Name: sel.Metric, Kind: sentinel.Gauge}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		s.Labels = append(s.Labels, sentinel.Label{Name: name, Value: labels[name]})
	}
	lim := sentinel.DefaultLimits()
	return s, lim.CheckLayout(sentinel.Layout{s})
}
