package alerting

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// PromQL returns what comes nearest to the rule in PromQL, for programs that want to
// show an expression. It is what is asked where the rule is an expression; elsewhere what
// PromQL cannot say stands in a comment.
func (r *Rule) PromQL() string {
	if r.Kind == Expr {
		return r.Expr
	}
	series, whole := r.Series.String(), r.Series.String()
	rest := strings.TrimPrefix(series, r.Series.Metric)
	if r.DividedBy != "" {
		whole = series + " / " + r.DividedBy + rest
	}
	if r.Minus != "" {
		whole = series + " - " + r.Minus + rest
	}
	over := func(function string, args ...string) string {
		window := whole + "[" + prometheusSpan(r.Window) + "]"
		if whole != series {
			window = "(" + whole + ")[" + prometheusSpan(r.Window) + ":]"
		}
		return function + "(" + strings.Join(append(args, window), ", ") + ")"
	}
	switch r.Kind {
	case Absence:
		if r.ofAgent() {
			return "vector(0) # " + r.String()
		}
		return over("absent_over_time")
	case Forecast:
		text := over("predict_linear")
		return fmt.Sprintf("%s, %s) %s", strings.TrimSuffix(text, ")"), strconv.FormatFloat(r.Ahead.Seconds(), 'f', -1, 64), r.Condition.compare())
	case Anomaly:
		return whole + " # " + r.String()
	}
	switch r.Function {
	case Avg, Min, Max:
		whole = over(string(r.Function) + "_over_time")
	case P95:
		whole = over("quantile_over_time", "0.95")
	case Rate, Increase, Delta:
		whole = over(string(r.Function))
	}
	if r.Condition.Op == Outside || r.Condition.Op == Inside {
		whole = "abs(" + whole + ")"
	}
	return whole + " " + r.Condition.compare()
}

// compare writes the condition as PromQL does.
func (c Condition) compare() string {
	sign := opSigns[c.Op]
	switch c.Op {
	case Outside:
		sign = ">"
	case Inside:
		sign = "<"
	}
	return sign + " " + strconv.FormatFloat(c.Bound, 'g', -1, 64)
}

// prometheusSpan writes a duration without fractions, as PromQL wants it.
func prometheusSpan(d time.Duration) string {
	if d%time.Second != 0 {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	return sentinel.FormatDuration(d)
}

// Annotate fills the rule's annotations in.
func (r *Rule) Annotate(values map[string]float64, labels map[string]string) map[string]string {
	out := make(map[string]string, len(r.templates))
	for name, text := range r.templates {
		out[name] = text.write(values, labels)
	}
	return out
}
