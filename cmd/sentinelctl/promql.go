package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// isExpression reports whether an argument can only be PromQL: it has a character
// that stands in no agent's id and no hostname.
func isExpression(arg string) bool { return strings.ContainsAny(arg, "(){}[]+*/%^<>=!\"' ,@") }

type promQuery struct {
	expr        string
	since, step time.Duration
	labels      bool // were given, which makes no sense
}

func (c *ctl) runPromQL(cmd *cobra.Command, args []string, q promQuery, watch time.Duration) error {
	q.expr = args[0]
	switch {
	case len(args) > 1:
		return sentinel.Errorf(sentinel.Invalid, "--promql goes with one expression: quote it")
	case q.labels:
		return sentinel.Errorf(sentinel.Invalid, "--label does not go with an expression: write the labels into it, as in node_load1{site=\"fra\"}")
	}
	if err := (query{metric: "m", since: q.since, step: q.step}).check(watch); err != nil {
		return err
	}
	if q.step > 0 && q.step < time.Second {
		return sentinel.Errorf(sentinel.Invalid, "--step %s: want a duration of at least 1s", q.step)
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	return repeat(cmd.Context(), watch, func() error { return c.showPromQL(cmd.Context(), cmd.OutOrStdout(), client, q) })
}

func (c *ctl) showPromQL(ctx context.Context, out io.Writer, client *api.Client, q promQuery) error {
	if q.since == 0 {
		a, err := client.Query(ctx, q.expr, time.Time{})
		if err != nil {
			return err
		}
		if a.Type == "matrix" {
			return c.printAnswer(out, a, everyPoint(a))
		}
		return c.printAnswer(out, a, instantTable(a))
	}
	// Whole steps since 1970, as Grafana asks: so the same question has the same answer.
	step := q.step
	if step == 0 {
		step = max(15*time.Second, (q.since / 240).Round(15*time.Second))
	}
	now := time.Now()
	to := now.Truncate(step)
	a, err := client.QueryRange(ctx, q.expr, to.Add(-q.since).Truncate(step), to, step)
	if err != nil {
		return err
	}
	if c.programs() {
		return c.printAnswer(out, a, everyPoint(a))
	}
	// What came since the last step is at the line's end.
	present, err := client.QueryRange(ctx, q.expr, now, now, step)
	if err != nil {
		return err
	}
	a.Series = extended(a.Series, present.Series)
	return c.printAnswer(out, a, drawnTable(a))
}

// extended returns series with the points of later ones at their ends, and those that
// are only among the later ones.
func extended(series, later []api.PromSeries) []api.PromSeries {
	at := make(map[string]int, len(series))
	for i, s := range series {
		at[fmt.Sprint(s.Labels)] = i // by name
	}
	for _, s := range later {
		if i, known := at[fmt.Sprint(s.Labels)]; known {
			series[i].Points = append(series[i].Points, s.Points...)
		} else {
			series = append(series, s)
		}
	}
	return series
}

func (c *ctl) printAnswer(out io.Writer, a api.PromAnswer, t table) error {
	t.empty = "no series has a value there"
	return c.print(out, t, a.Raw)
}

func instantTable(a api.PromAnswer) table {
	t := table{columns: []string{"metric", "labels", "value", "time"}}
	if a.Type == "string" {
		t.add("", labelSet{}, a.Text, time.Time{})
	}
	for _, s := range a.Series {
		for _, p := range s.Points {
			t.add(s.Labels[nameLabel], withoutName(s.Labels), p.Value, p.Time)
		}
	}
	return t
}

func everyPoint(a api.PromAnswer) table {
	t := table{columns: []string{"time", "metric", "labels", "value"}}
	for _, s := range a.Series {
		for _, p := range s.Points {
			t.add(p.Time, s.Labels[nameLabel], withoutName(s.Labels), p.Value)
		}
	}
	return t
}

// drawnTable shows each series as a line.
func drawnTable(a api.PromAnswer) table {
	t := table{columns: []string{"metric", "labels", "line", "last", "min", "max", "avg"}}
	var from, to time.Time
	for _, s := range a.Series {
		for _, p := range s.Points {
			if from.IsZero() || p.Time.Before(from) {
				from = p.Time
			}
			if p.Time.After(to) {
				to = p.Time
			}
		}
	}
	for _, s := range a.Series {
		low, high, sum := math.Inf(1), math.Inf(-1), 0.0
		values := make([]float64, len(s.Points))
		for i, p := range s.Points {
			values[i] = p.Value
			low, high, sum = min(low, p.Value), max(high, p.Value), sum+p.Value
		}
		if len(values) == 0 {
			continue
		}
		t.add(s.Labels[nameLabel], withoutName(s.Labels), sparkline(s.Points, from, to, lineWidth), values[len(values)-1], low, high, sum/float64(len(values)))
	}
	return t
}

const (
	nameLabel = "__name__"
	lineWidth = 40
)

func withoutName(labels map[string]string) labelSet {
	out := make(labelSet, len(labels))
	for n, v := range labels {
		if n != nameLabel {
			out[n] = v
		}
	}
	return out
}

// sparkline draws points between two times, width characters wide, from the least to
// the greatest value; where there is no point it is empty.
func sparkline(points []api.PromPoint, from, to time.Time, width int) string {
	columns := make([]float64, width)
	for i := range columns {
		columns[i] = math.NaN()
	}
	for _, p := range points {
		i := width - 1
		if span := to.Sub(from); span > 0 {
			i = min(width-1, int(int64(width)*int64(p.Time.Sub(from)/time.Millisecond)/max(1, int64(span/time.Millisecond))))
		}
		columns[i] = p.Value
	}
	return strings.TrimRight(bars(columns, math.NaN(), math.NaN()), " ")
}

// bars draws values as characters of eight heights, between low and high, or between
// the least and the greatest of them where these are NaN.
func bars(values []float64, low, high float64) string {
	const heights = "▁▂▃▄▅▆▇█"
	levels := []rune(heights)
	if math.IsNaN(low) {
		low, high = math.Inf(1), math.Inf(-1)
		for _, v := range values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case high <= low:
			b.WriteRune(levels[0])
		default:
			at := (v - low) / (high - low) * float64(len(levels)-1)
			b.WriteRune(levels[int(math.Round(min(float64(len(levels)-1), max(0, at))))])
		}
	}
	return b.String()
}
