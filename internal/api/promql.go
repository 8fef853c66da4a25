package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// PromAnswer is what the service says to a question in PromQL.
type PromAnswer struct {
	Type     string          // scalar, string, vector or matrix
	Series   []PromSeries    // of a scalar or string one without labels
	Text     string          // of a string
	Warnings []string        // for people
	Raw      json.RawMessage // result and its type, as they came
}

// PromSeries is one series of an answer.
type PromSeries struct {
	Labels map[string]string // __name__ is the metric's name
	Points []PromPoint
}

// PromPoint is one value; it may be NaN or infinite.
type PromPoint struct {
	Time  time.Time
	Value float64
}

// MetricInfo is what is known of a metric.
type MetricInfo struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Unit string `json:"unit"`
}

// Query evaluates an expression at one time; zero is now.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (PromAnswer, error) {
	q := url.Values{"query": {expr}}
	if !at.IsZero() {
		q.Set("time", seconds(at))
	}
	return c.prom(ctx, "/query", q)
}

// QueryRange evaluates an expression at from, from+step and so on up to to.
func (c *Client) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) (PromAnswer, error) {
	return c.prom(ctx, "/query_range", url.Values{"query": {expr}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}})
}

// Metrics lists the metrics that any agent has, sorted.
func (c *Client) Metrics(ctx context.Context) ([]MetricInfo, error) {
	raw, _, err := c.promCall(ctx, "/metadata", nil)
	if err != nil {
		return nil, err
	}
	var all map[string][]MetricInfo
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	var out []MetricInfo
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, m := range all[name] {
			m.Name = name
			out = append(out, m)
		}
	}
	return out, nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

func (c *Client) prom(ctx context.Context, path string, form url.Values) (PromAnswer, error) {
	raw, warnings, err := c.promCall(ctx, path, form)
	if err != nil {
		return PromAnswer{}, err
	}
	a := PromAnswer{Raw: raw, Warnings: warnings}
	var data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(raw, &data); err != nil {
		return a, fmt.Errorf("decode answer: %w", err)
	}
	a.Type = data.ResultType
	return a, a.decode(data.Result)
}

func (a *PromAnswer) decode(raw json.RawMessage) error {
	type point [2]any
	read := func(p point) (PromPoint, error) {
		at, _ := p[0].(float64)
		text, _ := p[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return PromPoint{}, fmt.Errorf("decode answer: %q is no number", text)
		}
		return PromPoint{time.UnixMilli(int64(at * 1000)).UTC(), v}, nil
	}
	switch a.Type {
	case "scalar", "string":
		var p point
		if err := json.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("decode answer: %w", err)
		}
		if a.Type == "string" {
			a.Text, _ = p[1].(string)
			return nil
		}
		one, err := read(p)
		a.Series = []PromSeries{{map[string]string{}, []PromPoint{one}}}
		return err
	}
	var series []struct {
		Metric map[string]string
		Value  *point
		Values []point
	}
	if err := json.Unmarshal(raw, &series); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	for _, s := range series {
		if s.Value != nil {
			s.Values = []point{*s.Value}
		}
		out := PromSeries{Labels: s.Metric, Points: make([]PromPoint, 0, len(s.Values))}
		for _, p := range s.Values {
			one, err := read(p)
			if err != nil {
				return err
			}
			out.Points = append(out.Points, one)
		}
		a.Series = append(a.Series, out)
	}
	return nil
}

// promCall asks the interface that speaks Prometheus' words, and returns data.
func (c *Client) promCall(ctx context.Context, path string, form url.Values) (json.RawMessage, []string, error) {
	method, body := http.MethodPost, form.Encode()
	if form == nil {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/prometheus/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	var a struct {
		Status, ErrorType, Error string
		Data                     json.RawMessage
		Warnings                 []string
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 256<<20)).Decode(&a); err != nil {
		return nil, nil, sentinel.Errorf(sentinel.Unavailable, "server %s answers with %s and no JSON: is it a sentinel-server of this version?", c.base, resp.Status)
	}
	if a.Status == "success" {
		return a.Data, a.Warnings, nil
	}
	code := map[string]sentinel.Code{"bad_data": sentinel.Invalid, "execution": sentinel.Invalid, "unauthorized": sentinel.Unauthenticated, "forbidden": sentinel.Forbidden,
		"not_found": sentinel.NotFound, "timeout": sentinel.Unavailable, "unavailable": sentinel.Unavailable}[a.ErrorType]
	if code == sentinel.Unknown {
		code = sentinel.Internal
	}
	return nil, nil, sentinel.Errorf(code, "%s", a.Error)
}
