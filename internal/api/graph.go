package api

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Selected is a series that a selector found, with its labels as PromQL sees them.
type Selected struct {
	Series postgres.FoundSeries
	Labels map[string]string
}

// Graph is series as a picture shows them: for each step, such as one or two pixels,
// the least, greatest and average of all samples in it.
type Graph struct {
	From   time.Time     `json:"from" doc:"Start of the first step"`
	Step   float64       `json:"step" doc:"Seconds"`
	Steps  int           `json:"steps"`
	Series []GraphSeries `json:"series"`
	Late   []Late        `json:"late" doc:"Where data came after its minute was closed, ascending; near stretches of an agent are one"`
}

// GraphSeries is one series of a Graph. Its lists have an entry for each step, null
// where there is no sample.
type GraphSeries struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels" doc:"As PromQL sees them"`
	Unit   string            `json:"unit"`
	Kind   string            `json:"kind" enum:"gauge,counter,unknown"`
	Min    []*float64        `json:"min"`
	Max    []*float64        `json:"max"`
	Avg    []*float64        `json:"avg" doc:"Also null where the sum of the samples is too large for a number"`
}

// GraphQuery asks for a Graph.
type GraphQuery struct {
	Match    string // a selector of PromQL
	From, To time.Time
	Points   int // steps at most; 0: 600
}

const (
	maxGraphSeries  = 200
	maxGraphSamples = 5_000_000
)

func (r resources) graph() {
	type input struct {
		Match  string    `query:"match" required:"true" minLength:"1" maxLength:"4096" doc:"A selector of PromQL, such as node_load1{site=\"fra\"}"`
		From   time.Time `query:"from" doc:"One hour before to where it is missing"`
		To     time.Time `query:"to" doc:"Now where it is missing"`
		Points int       `query:"points" minimum:"1" maximum:"4000" default:"600" doc:"Steps at most; a step has a round length, so there may be fewer"`
	}
	type output struct{ Body Graph }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/graph", "get-graph", "Show series as a picture does: least, greatest and average of each step"),
		func(ctx context.Context, in *input) (*output, error) {
			if in.To.IsZero() {
				in.To = time.Now()
			}
			if in.From.IsZero() {
				in.From = in.To.Add(-time.Hour)
			}
			if !in.From.Before(in.To) {
				return nil, r.fail(ctx, wrong("query.from", "is not before to"))
			}
			if err := clean("query.match", in.Match); err != nil {
				return nil, r.fail(ctx, err)
			}
			found, err := r.deps.Select(ctx, in.Match, maxGraphSeries)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			g, err := readGraph(ctx, r.deps.DB, found, in.From, in.To, in.Points)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &output{g}, nil
		})
}

func readGraph(ctx context.Context, db *postgres.DB, found []Selected, from, to time.Time, points int) (Graph, error) {
	step := roundStep(to.Sub(from), points)
	from = time.UnixMilli(from.UnixMilli() - mod(from.UnixMilli(), step.Milliseconds())).UTC()
	g := Graph{From: from, Step: step.Seconds(), Steps: int((to.Sub(from) + step - 1) / step), Series: make([]GraphSeries, 0, len(found))}
	series := make([]postgres.FoundSeries, len(found))
	for i, s := range found {
		series[i] = s.Series
	}
	read, err := db.ReadBuckets(ctx, postgres.BucketRead{Series: series, From: from, Step: step, Steps: g.Steps, MaxSamples: maxGraphSamples})
	if err != nil {
		return g, err
	}
	if g.Late, err = readLate(ctx, db, series, from, from.Add(step*time.Duration(g.Steps)), step); err != nil {
		return g, err
	}
	for i, b := range read {
		s := GraphSeries{found[i].Series.Name, found[i].Labels, found[i].Series.Unit, found[i].Series.Kind.String(),
			make([]*float64, g.Steps), make([]*float64, g.Steps), make([]*float64, g.Steps)}
		empty := true
		for j, n := range b.Count {
			if n == 0 {
				continue
			}
			empty = false
			s.Min[j], s.Max[j] = &b.Min[j], &b.Max[j]
			if avg := b.Sum[j] / float64(n); !math.IsNaN(avg) && !math.IsInf(avg, 0) { // JSON has neither
				s.Avg[j] = &avg
			}
		}
		if !empty {
			g.Series = append(g.Series, s)
		}
	}
	return g, nil
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return (a%b + b) % b }

// roundStep returns the shortest round step of which points are enough for a time.
func roundStep(span time.Duration, points int) time.Duration {
	const day = 24 * time.Hour
	for _, s := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 7 * day} {
		if span <= s*time.Duration(points-1) || points == 1 && span <= s {
			return s
		}
	}
	weeks := span/(7*day*time.Duration(max(1, points-1))) + 1
	return weeks * 7 * day
}

// Graph returns series as a picture shows them.
func (c *Client) Graph(ctx context.Context, gq GraphQuery) (Graph, error) {
	q := url.Values{"match": {gq.Match}}
	setTimes(q, gq.From, gq.To)
	if gq.Points > 0 {
		q.Set("points", strconv.Itoa(gq.Points))
	}
	var g Graph
	err := c.call(ctx, http.MethodGet, "/graph", q, nil, &g)
	return g, err
}
