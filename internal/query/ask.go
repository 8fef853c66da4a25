package query

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Ask evaluates an expression at one time and returns the series that it gives, without
// the metric's name, as alerting wants them. A number is one series without labels.
// Errors are those of Instant, and Invalid where it gives anything else.
func (e *Engine) Ask(ctx context.Context, expression string, at time.Time) ([]sentinel.Labelled, error) {
	r, err := e.Instant(ctx, expression, at)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	switch v := r.Value.(type) {
	case promql.Scalar:
		return []sentinel.Labelled{{Value: v.V}}, nil
	case promql.Vector:
		out := make([]sentinel.Labelled, 0, len(v))
		for _, s := range v {
			out = append(out, sentinel.Labelled{Labels: labelled(s.Metric), Value: s.F})
		}
		return out, nil
	}
	return nil, sentinel.Errorf(sentinel.Invalid, "the expression gives a %s, want series with one value each", r.Value.Type())
}

// AskRange is Ask at from, from+step and so on before to, with an answer for each of these
// times in turn.
func (e *Engine) AskRange(ctx context.Context, expression string, from, to time.Time, step time.Duration, take func(time.Time, []sentinel.Labelled) error) error {
	for begin := from; begin.Before(to); {
		end := minTime(begin.Add(step*(maxPoints/8)), to.Add(-time.Millisecond))
		r, err := e.Range(ctx, expression, begin, end, step)
		if err != nil {
			return err
		}
		at, ok := r.Value.(promql.Matrix)
		if !ok {
			r.Close()
			return sentinel.Errorf(sentinel.Invalid, "the expression gives a %s, want series with one value each", r.Value.Type())
		}
		sets, next := make([][]sentinel.Label, len(at)), make([]int, len(at))
		for i, s := range at {
			sets[i] = labelled(s.Metric)
		}
		for ; !begin.After(end); begin = begin.Add(step) {
			var answer []sentinel.Labelled
			for i, s := range at {
				if n := next[i]; n < len(s.Floats) && s.Floats[n].T == begin.UnixMilli() {
					answer = append(answer, sentinel.Labelled{Labels: sets[i], Value: s.Floats[n].F})
					next[i]++
				}
			}
			if err = take(begin, answer); err != nil {
				break
			}
		}
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func labelled(ls labels.Labels) []sentinel.Label {
	var out []sentinel.Label
	ls.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel {
			out = append(out, sentinel.Label{Name: l.Name, Value: l.Value})
		}
	})
	return out
}

// CheckAlert says what is wrong with an expression that alerting is to ask, and where.
// Errors are Invalid.
func CheckAlert(expression string) error {
	e := &Engine{parser: parser.NewParser(parser.Options{})}
	expr, err := e.parse(expression, 0)
	if err != nil {
		return err
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return sentinel.Errorf(sentinel.Invalid, "gives a %s, want series with one value each: use a function such as rate(), or last_over_time()", parser.DocumentedType(t))
	}
	return nil
}

// Host is who the series of a fixture come from.
type Host struct {
	Agent    sentinel.AgentID
	Hostname string
	Labels   []sentinel.Label
}

// Fixture returns an engine over the series of one host, which have a value, or
// sentinel.Absent, at each of the times. Times ascend.
func Fixture(h Host, layout sentinel.Layout, times []time.Time, values [][]float64) *Engine {
	f := &fixture{}
	agent := &postgres.SeriesAgent{ID: 1, Name: h.Agent, Hostname: h.Hostname, Labels: h.Labels}
	for i, s := range layout {
		f.found = append(f.found, postgres.FoundSeries{StoredSeries: postgres.StoredSeries{ID: int64(i), Series: s}, Agent: agent})
		var samples postgres.SeriesSamples
		for k, v := range values[i] {
			if !sentinel.IsAbsent(v) {
				samples.Times, samples.Values = append(samples.Times, times[k].UnixMilli()), append(samples.Values, v)
			}
		}
		f.samples = append(f.samples, samples)
	}
	return New(f, DefaultLimits(), slog.New(slog.DiscardHandler))
}

// fixture is a Store in memory.
type fixture struct {
	found   []postgres.FoundSeries
	samples []postgres.SeriesSamples // by the series' id
}

// FindSeries returns all; who asks looks at the conditions again.
func (f *fixture) FindSeries(context.Context, []postgres.SeriesMatch, int) ([]postgres.FoundSeries, error) {
	return slices.Clone(f.found), nil
}

func (f *fixture) ReadSamples(_ context.Context, q postgres.SampleRead) ([]postgres.SeriesSamples, error) {
	out := make([]postgres.SeriesSamples, len(q.Series))
	for i, s := range q.Series {
		all := f.samples[s.ID]
		from, _ := slices.BinarySearch(all.Times, q.From)
		to, _ := slices.BinarySearch(all.Times, q.To+1)
		out[i] = postgres.SeriesSamples{Times: all.Times[from:max(from, to)], Values: all.Values[from:max(from, to)]}
	}
	return out, nil
}
