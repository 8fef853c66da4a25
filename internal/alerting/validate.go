package alerting

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Bounds of rules.
const (
	MaxWindow        = 24 * time.Hour
	minWindow        = time.Second
	maxFor           = 7 * 24 * time.Hour
	maxRules         = 10_000
	maxNameBytes     = 128
	maxTextBytes     = 4096
	maxLabels        = 32
	defaultMaxSeries = 200
	defaultInterval  = time.Minute
	minInterval      = time.Second
	maxInterval      = time.Hour
	maxMaxSeries     = 5_000
)

// Severities returns the words a rule's severity may be, the mildest first.
func Severities() []string { return []string{"info", "warning", "critical"} }

func (set *RuleSet) parse(name string, raw []byte) error {
	if len(raw) > maxFileBytes {
		return sentinel.Errorf(sentinel.Invalid, "%s: larger than %d bytes", name, maxFileBytes)
	}
	var file ruleFile
	if err := config.Parse(name, raw, &file); err != nil {
		return err
	}
	v := validator{file: name, seen: map[string]bool{}}
	for _, r := range set.Rules {
		v.seen[r.ID()] = true
	}
	for gi := range file.Groups {
		g := &file.Groups[gi]
		if why := nameProblem(g.Name); why != "" {
			v.add(g.Lines.Of("name"), "group", "name", "%s", why)
		}
		for ri := range g.Rules {
			r := &g.Rules[ri]
			r.Group = g.Name
			if r.Expr != "" && r.Interval == 0 {
				r.Interval = g.Interval
			}
			v.rule(r)
			set.Rules = append(set.Rules, r)
		}
	}
	if len(set.Rules) > maxRules {
		v.add(1, "file", "groups", "more than %d rules", maxRules)
	}
	if len(v.problems) > 0 {
		return sentinel.Errorf(sentinel.Invalid, "%s", strings.Join(v.problems, "\n"))
	}
	return nil
}

// Validate checks a rule that did not come from a file, and fills in its defaults.
// Errors are Invalid and name the fields.
func (r *Rule) Validate() error {
	v := validator{file: "rule", seen: map[string]bool{}}
	if why := nameProblem(r.Group); why != "" {
		v.add(0, r.Alert, "group", "%s", why)
	}
	v.rule(r)
	if len(v.problems) > 0 {
		return sentinel.Errorf(sentinel.Invalid, "%s", strings.Join(v.problems, "\n"))
	}
	return nil
}

type validator struct {
	file     string
	seen     map[string]bool
	problems []string
}

func (v *validator) add(line int, who, field, format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf("%s:%d: %s: %s: %s", v.file, line, who, field, fmt.Sprintf(format, args...)))
}

func (v *validator) rule(r *Rule) {
	bad := func(field, format string, args ...any) {
		v.add(r.Lines.Of(field), fmt.Sprintf("alert %.80q", r.Alert), field, format, args...)
	}
	if why := nameProblem(r.Alert); why != "" {
		bad("alert", "%s", why)
	}
	if v.seen[r.ID()] {
		bad("alert", "group %q has this alert already", r.Group)
	}
	v.seen[r.ID()] = true
	if r.Kind == "" {
		if r.Kind = Threshold; r.Expr != "" {
			r.Kind = Expr
		}
	}
	v.scope(r, bad)
	switch r.Kind {
	case Threshold:
		v.threshold(r, bad)
	case Absence:
		v.absence(r, bad)
	case Anomaly:
		v.anomaly(r, bad)
	case Forecast:
		v.forecast(r, bad)
	case Expr:
		v.expr(r, bad)
	default:
		bad("kind", "want threshold, absence, anomaly, forecast or expr, not %.40q", r.Kind)
	}
	v.only(r, bad)
	if r.For < 0 || r.For > maxFor {
		bad("for", "want 0s to %s", sentinel.FormatDuration(maxFor))
	}
	if r.KeepFiringFor < 0 || r.KeepFiringFor > maxFor {
		bad("keep_firing_for", "want 0s to %s", sentinel.FormatDuration(maxFor))
	}
	v.texts(r, bad)
}

type complain func(field, format string, args ...any)

// scope checks what a rule looks at.
func (v *validator) scope(r *Rule, bad complain) {
	if r.Agents.Metric != "" {
		bad("agents", `want matchers in braces such as {site="fra"}, not the name %.60q`, r.Agents.Metric)
	}
	if r.Kind != Absence && r.Kind != Expr && r.Series.Metric == "" && !slices.ContainsFunc(r.Series.Matchers, func(m Matcher) bool { return m.Label == "__name__" }) {
		bad("series", `want a metric such as node_load1, with or without {matchers}`)
	}
	if r.DividedBy != "" && r.Minus != "" {
		bad("minus", "cannot stand beside divided_by")
	}
	for field, name := range map[string]string{"divided_by": r.DividedBy, "minus": r.Minus} {
		if name != "" && prefix(name, true) != len(name) {
			bad(field, "want the name of a metric, not %.60q", name)
		}
	}
	if r.MaxSeries == 0 {
		r.MaxSeries = defaultMaxSeries
	}
	if r.MaxSeries < 1 || r.MaxSeries > maxMaxSeries {
		bad("max_series", "want 1 to %d", maxMaxSeries)
	}
}

func (v *validator) threshold(r *Rule, bad complain) {
	if r.Function == "" {
		r.Function = Last
	}
	switch r.Function {
	case Last:
		if r.Window != 0 {
			bad("window", "the function last looks at no window")
		}
	case Avg, Min, Max, P95, Rate, Increase, Delta:
		v.window(r, bad)
	default:
		bad("function", "want last, avg, min, max, p95, rate, increase or delta, not %.40q", r.Function)
	}
	v.conditions(r, bad)
}

// expr checks all of an expression but its language, which is the query engine's; see
// RuleSet.CheckExprs.
func (v *validator) expr(r *Rule, bad complain) {
	switch {
	case r.Expr == "":
		bad("expr", "is missing; want PromQL such as up == 0")
	case len(r.Expr) > maxTextBytes || !clean(r.Expr):
		bad("expr", "is longer than %d bytes, or no clean text", maxTextBytes)
	}
	if r.Interval == 0 {
		r.Interval = defaultInterval
	}
	if r.Interval < minInterval || r.Interval > maxInterval {
		bad("interval", "want %s to %s", minInterval, sentinel.FormatDuration(maxInterval))
	}
	if r.Series.String()+r.Agents.String()+r.DividedBy+r.Minus != "" {
		bad("series", "an expression names its series itself, without series, agents, divided_by and minus")
	}
	if r.Condition.Op != NoOp || r.Recovery.Op != NoOp || r.Window != 0 {
		bad("condition", "an expression holds it itself, such as > 90, without condition, recovery and window")
	}
	if severity := r.Labels["severity"]; severity != "" && r.Severity == "" { // as Prometheus' rules have it
		r.Severity, r.Labels = severity, maps.Clone(r.Labels)
		delete(r.Labels, "severity")
	}
}

// CheckExprs has check read every expression. The errors it finds are Invalid, and
// name file, line, rule and field.
func (set *RuleSet) CheckExprs(name string, check func(expr string) error) error {
	v := validator{file: name}
	for _, r := range set.Rules {
		if r.Kind != Expr {
			continue
		}
		if err := check(r.Expr); err != nil {
			v.add(r.Lines.Of("expr"), fmt.Sprintf("alert %.80q", r.Alert), "expr", "%s", err)
		}
	}
	if len(v.problems) > 0 {
		return sentinel.Errorf(sentinel.Invalid, "%s", strings.Join(v.problems, "\n"))
	}
	return nil
}

func (v *validator) absence(r *Rule, bad complain) {
	v.window(r, bad)
	if r.Condition.Op != NoOp {
		bad("condition", "absence has none: window says how long something must be missing")
	}
	if r.Recovery.Op != NoOp {
		bad("recovery", "absence has none: it ends when what is missing is back")
	}
	if r.DividedBy != "" || r.Minus != "" {
		bad("series", "absence looks at one metric, without divided_by and minus")
	}
}

func (v *validator) anomaly(r *Rule, bad complain) {
	if r.Window == 0 {
		r.Window = MaxWindow
	}
	v.window(r, bad)
	if r.Condition.Op == NoOp {
		r.Condition = Condition{Outside, 6}
	}
	v.conditions(r, bad)
	if r.MinHistory == 0 {
		r.MinHistory = r.Window / 4
	}
	if r.MinHistory < minWindow || r.MinHistory > r.Window {
		bad("min_history", "want %s up to the window", minWindow)
	}
	if r.Floor < 0 || r.Floor-r.Floor != 0 {
		bad("floor", "want a positive number")
	}
}

func (v *validator) forecast(r *Rule, bad complain) {
	v.window(r, bad)
	v.conditions(r, bad)
	if !r.Condition.upward() && !r.Condition.downward() {
		bad("condition", "a forecast is about above, at least, below or at most")
	}
	if r.Ahead <= 0 || r.Ahead > 30*24*time.Hour {
		bad("ahead", "want a duration up to 30d")
	}
}

// only refuses fields that belong to other kinds.
func (v *validator) only(r *Rule, bad complain) {
	if r.Kind != Threshold && r.Function != "" {
		bad("function", "only a threshold has one")
	}
	if r.Kind != Forecast && r.Ahead != 0 {
		bad("ahead", "only a forecast has it")
	}
	if r.Kind != Anomaly && r.MinHistory != 0 {
		bad("min_history", "only an anomaly has it")
	}
	if r.Kind != Expr && r.Expr != "" {
		bad("expr", "only the kind expr has one")
	}
	if r.Kind != Expr && r.Interval != 0 {
		bad("interval", "only an expression has one")
	}
	if r.Kind != Anomaly && r.Floor != 0 {
		bad("floor", "only an anomaly has it")
	}
}

func (v *validator) window(r *Rule, bad complain) {
	if r.Window < minWindow || r.Window > MaxWindow {
		bad("window", "want %s to %s", minWindow, sentinel.FormatDuration(MaxWindow))
	}
}

func (v *validator) conditions(r *Rule, bad complain) {
	if r.Condition.Op == NoOp {
		bad("condition", "is missing; want one such as \"above 90\"")
	}
	if v, both := overlap(r.Condition, r.Recovery); both {
		bad("recovery", "%s and %s hold at the same time, as at %g", r.Recovery, r.Condition, v)
	}
}

// overlap returns a value at which both conditions hold.
func overlap(a, b Condition) (float64, bool) {
	for _, bound := range [...]float64{a.Bound, b.Bound, -a.Bound, -b.Bound, (a.Bound + b.Bound) / 2, 1e300, -1e300} {
		for _, v := range [...]float64{bound, math.Nextafter(bound, math.Inf(1)), math.Nextafter(bound, math.Inf(-1))} {
			if a.Holds(v) && b.Holds(v) {
				return v, true
			}
		}
	}
	return 0, false
}

func (v *validator) texts(r *Rule, bad complain) {
	if r.Severity == "" {
		r.Severity = "warning"
	}
	if !slices.Contains(Severities(), r.Severity) {
		bad("severity", "want info, warning or critical, not %.40q", r.Severity)
	}
	if len(r.Labels) > maxLabels || len(r.Annotations) > maxLabels {
		bad("labels", "more than %d labels or annotations", maxLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		value := r.Labels[name]
		switch {
		case name == "" || prefix(name, false) != len(name) || len(name) > maxNameBytes || strings.HasPrefix(name, "__"):
			bad("labels", "%.60q is no name of a label", name)
		case name == "alertname" || name == "severity" || name == "agent" || name == "hostname":
			bad("labels", "%s is set by the service; severity is a field of the rule", name)
		case len(value) > 1024 || !clean(value):
			bad("labels", "the value of %s is too long or not clean text", name)
		}
	}
	r.templates = make(map[string]template, len(r.Annotations))
	for _, name := range slices.Sorted(maps.Keys(r.Annotations)) {
		t, err := parseTemplate(r.Annotations[name])
		switch {
		case name == "" || prefix(name, false) != len(name) || len(name) > maxNameBytes:
			bad("annotations", "%.60q is no name of an annotation", name)
		case err != nil:
			bad("annotations", "%s: %s", name, err)
		}
		r.templates[name] = t
	}
	if r.Runbook != "" {
		if u, err := url.Parse(r.Runbook); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(r.Runbook) > 1024 {
			bad("runbook", "want a URL such as https://runbooks.example/disk")
		}
	}
}

func nameProblem(name string) string {
	if name == "" {
		return "is missing"
	}
	if len(name) > maxNameBytes || !clean(name) || strings.ContainsAny(name, "/\n\t") || strings.TrimSpace(name) != name {
		return fmt.Sprintf("%.80q: want up to %d bytes of printable text without /", name, maxNameBytes)
	}
	return ""
}

// clean reports whether s is UTF-8 without control characters but line ends and tabs.
func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}
