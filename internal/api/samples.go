package api

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Sample is the last value of one series.
type Sample struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Unit   string            `json:"unit"`
	Kind   string            `json:"kind" enum:"gauge,counter,unknown"`
	Time   time.Time         `json:"time"`
	Value  float64           `json:"value"`
}

// Latest are the last values of one agent.
type Latest struct {
	Agent   string   `json:"agent"`
	Samples []Sample `json:"samples"`
}

// Series is one series over a time.
type Series struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Unit   string            `json:"unit"`
	Kind   string            `json:"kind" enum:"gauge,counter,unknown"`
	Points []Point           `json:"points"`
}

// Point sums a series up over one step; without a step it is one sample.
type Point struct {
	Time  time.Time `json:"time" doc:"The start of the step, or the sample's time"`
	Last  float64   `json:"last"`
	Min   float64   `json:"min"`
	Max   float64   `json:"max"`
	Avg   *float64  `json:"avg,omitempty" doc:"Missing where the sum of the samples is too large for a number"`
	Count int       `json:"count" doc:"Samples in the step"`
}

// Range is one metric of one agent over a time.
type Range struct {
	Agent  string   `json:"agent"`
	Series []Series `json:"series"`
}

// RangeQuery asks for a Range.
type RangeQuery struct {
	Metric   string
	Labels   map[string]string // the series have all of these, with these values
	From, To time.Time
	Step     time.Duration // 0: every sample as it came
}

const latestLookback = 10 * time.Minute

func (r resources) samples() {
	type latestInput struct {
		Agent string `path:"agent"`
		Name  string `query:"metric" maxLength:"256" doc:"Only series of this metric"`
	}
	type latestOutput struct{ Body Latest }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents/{agent}/latest", "get-latest", "Show an agent's last values"),
		func(ctx context.Context, in *latestInput) (*latestOutput, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			rows, err := r.deps.DB.Latest(ctx, a.ID, latestLookback)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := Latest{Agent: string(a.Name), Samples: make([]Sample, 0, len(rows))}
			for _, s := range rows {
				if in.Name == "" || s.Series.Name == in.Name {
					out.Samples = append(out.Samples, Sample{s.Series.Name, labelMap(s.Series.Labels), s.Series.Unit, s.Series.Kind.String(), s.Time, s.Value})
				}
			}
			return &latestOutput{out}, nil
		})

	type rangeInput struct {
		Agent  string    `path:"agent"`
		Metric string    `query:"metric" required:"true" minLength:"1" maxLength:"256"`
		Labels []string  `query:"label,explode" maxItems:"32" doc:"name=value; may stand there several times"`
		From   time.Time `query:"from" doc:"One hour before to where it is missing"`
		To     time.Time `query:"to" doc:"Now where it is missing"`
		Step   string    `query:"step" doc:"A duration such as 1m; without it every sample as it came"`
	}
	type rangeOutput struct{ Body Range }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents/{agent}/range", "get-range", "Show one metric of an agent over a time"),
		func(ctx context.Context, in *rangeInput) (*rangeOutput, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			q, err := rangeQuery(in.Metric, in.Labels, in.From, in.To, in.Step)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			q.Agent = a.ID
			rows, err := r.deps.DB.Range(ctx, q)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := Range{Agent: string(a.Name), Series: make([]Series, 0, len(rows))}
			for _, s := range rows {
				out.Series = append(out.Series, toSeries(s))
			}
			return &rangeOutput{out}, nil
		})
}

// rangeQuery reads what a request asks for.
func rangeQuery(metric string, labels []string, from, to time.Time, step string) (postgres.RangeQuery, error) {
	q := postgres.RangeQuery{Name: metric, From: from, To: to}
	if err := clean("query.metric", metric); err != nil {
		return q, err
	}
	for _, l := range labels {
		name, value, ok := strings.Cut(l, "=")
		if err := clean("query.label", l); err != nil {
			return q, err
		}
		if !ok {
			return q, wrong("query.label", "want name=value, not %.80q", l)
		}
		q.Labels = append(q.Labels, sentinel.Label{Name: name, Value: value})
	}
	if q.To.IsZero() {
		q.To = time.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-time.Hour)
	}
	if !q.From.Before(q.To) {
		return q, wrong("query.from", "is not before to")
	}
	if step != "" {
		d, err := sentinel.ParseDuration(step)
		if err != nil || d < time.Second {
			return q, wrong("query.step", "want a duration of at least 1s such as 1m, not %.40q", step)
		}
		q.Step = d
	}
	return q, nil
}

func toSeries(s postgres.SeriesPoints) Series {
	out := Series{Name: s.Series.Name, Labels: labelMap(s.Series.Labels), Unit: s.Series.Unit, Kind: s.Series.Kind.String(), Points: make([]Point, 0, len(s.Points))}
	for _, p := range s.Points {
		point := Point{Time: p.Time, Last: p.Last, Min: p.Min, Max: p.Max, Count: p.Count}
		if avg := p.Sum / float64(p.Count); !math.IsNaN(avg) && !math.IsInf(avg, 0) { // JSON has neither
			point.Avg = &avg
		}
		out.Points = append(out.Points, point)
	}
	return out
}

func labelMap(labels []sentinel.Label) map[string]string {
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.Name] = l.Value
	}
	return m
}

// Latest returns an agent's last values, of one metric or, where that is empty,
// of all.
func (c *Client) Latest(ctx context.Context, agent, metric string) (Latest, error) {
	q := url.Values{}
	if metric != "" {
		q.Set("metric", metric)
	}
	var l Latest
	err := c.call(ctx, http.MethodGet, "/agents/"+url.PathEscape(agent)+"/latest", q, nil, &l)
	return l, err
}

// Range returns one metric of an agent over a time.
func (c *Client) Range(ctx context.Context, agent string, rq RangeQuery) (Range, error) {
	q := url.Values{"metric": {rq.Metric}}
	for name, value := range rq.Labels {
		q.Add("label", name+"="+value)
	}
	setTimes(q, rq.From, rq.To)
	if rq.Step > 0 {
		q.Set("step", rq.Step.String())
	}
	var r Range
	err := c.call(ctx, http.MethodGet, "/agents/"+url.PathEscape(agent)+"/range", q, nil, &r)
	return r, err
}
