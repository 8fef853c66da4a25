package alerting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// YAML returns the rule as it may stand in a file, without its group: what ParseRules
// reads from it is the same rule. Only what is not a default is written.
func (r *Rule) YAML() string {
	var b bytes.Buffer
	text := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", key, quoted(value))
		}
	}
	span := func(key string, d time.Duration) {
		if d != 0 {
			fmt.Fprintf(&b, "%s: %s\n", key, sentinel.FormatDuration(d))
		}
	}
	set := func(key string, m map[string]string) {
		if len(m) > 0 {
			fmt.Fprintf(&b, "%s:\n", key)
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "  %s: %s\n", quoted(name), quoted(m[name]))
		}
	}
	text("alert", r.Alert)
	if r.Kind != Threshold && r.Kind != Expr {
		text("kind", string(r.Kind))
	}
	text("expr", r.Expr)
	if r.Interval != defaultInterval {
		span("interval", r.Interval)
	}
	text("series", r.Series.String())
	text("divided_by", r.DividedBy)
	text("minus", r.Minus)
	text("agents", r.Agents.String())
	if r.MaxSeries != defaultMaxSeries {
		fmt.Fprintf(&b, "max_series: %d\n", r.MaxSeries)
	}
	if r.Function != Last {
		text("function", string(r.Function))
	}
	span("window", r.Window)
	text("condition", r.Condition.String())
	text("recovery", r.Recovery.String())
	span("ahead", r.Ahead)
	span("min_history", r.MinHistory)
	if r.Floor != 0 {
		fmt.Fprintf(&b, "floor: %s\n", strconv.FormatFloat(r.Floor, 'g', -1, 64))
	}
	span("for", r.For)
	span("keep_firing_for", r.KeepFiringFor)
	text("severity", r.Severity)
	set("labels", r.Labels)
	set("annotations", r.Annotations)
	text("runbook", r.Runbook)
	return b.String()
}

// quoted writes a text as YAML takes it for one: JSON is YAML.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // of a string: cannot fail
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

// ParseRule reads one rule as it may stand in a file, without its group. name stands
// for it in errors, which are Invalid and name line and field.
func ParseRule(name, group string, raw []byte) (*Rule, error) {
	r := &Rule{}
	if err := config.Parse(name, raw, r); err != nil {
		return nil, err
	}
	r.Group = group
	v := validator{file: name, seen: map[string]bool{}}
	if why := nameProblem(group); why != "" {
		v.add(0, r.Alert, "group", "%s", why)
	}
	v.rule(r)
	if len(v.problems) > 0 {
		return nil, sentinel.Errorf(sentinel.Invalid, "%s", strings.Join(v.problems, "\n"))
	}
	return r, nil
}
