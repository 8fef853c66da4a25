package alerts

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/sentinelgo/sentinel/internal/alerting"
	"github.com/sentinelgo/sentinel/internal/alerting/live"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/query"
)

// maxAlerts bounds the alerts of one answer.
const maxAlerts = 10_000

// Prometheus tells rules and alerts in the form of Prometheus' HTTP interface: a
// query.Rules. https://prometheus.io/docs/prometheus/latest/querying/api/#rules
type Prometheus struct{ Desk }

type promGroup struct {
	Name           string     `json:"name"`
	File           string     `json:"file"`
	Interval       float64    `json:"interval"` // seconds; 0: whenever samples come
	Limit          int        `json:"limit"`
	Rules          []promRule `json:"rules"`
	EvaluationTime float64    `json:"evaluationTime"`
	LastEvaluation time.Time  `json:"lastEvaluation"`
}

type promRule struct {
	State          string            `json:"state"`
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Duration       float64           `json:"duration"`
	KeepFiringFor  float64           `json:"keepFiringFor"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations"`
	Alerts         []promAlert       `json:"alerts"`
	Health         string            `json:"health"`
	LastError      string            `json:"lastError,omitempty"`
	EvaluationTime float64           `json:"evaluationTime"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	Type           string            `json:"type"`
}

type promAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
	ActiveAt    time.Time         `json:"activeAt"`
	Value       string            `json:"value"`
}

// Rules implements query.Rules.
func (p Prometheus) Rules(ctx context.Context, only query.RuleFilter) (json.RawMessage, error) {
	rules, alerts, err := p.standing(ctx)
	if err != nil {
		return nil, err
	}
	var asked map[string]live.Asked
	if slices.ContainsFunc(rules, func(r *alerting.Rule) bool { return r.Kind == alerting.Expr }) {
		if asked, err = live.ReadAsked(ctx, p.Broker); err != nil {
			return nil, err
		}
	}
	groups := []promGroup{}
	for _, r := range rules {
		if len(only.Names) > 0 && !slices.Contains(only.Names, r.Alert) || len(only.Groups) > 0 && !slices.Contains(only.Groups, r.Group) {
			continue
		}
		if n := len(groups); n == 0 || groups[n-1].Name != r.Group {
			groups = append(groups, promGroup{Name: r.Group, File: "sentinel", Interval: r.Interval.Seconds(), Rules: []promRule{}})
		}
		g := &groups[len(groups)-1]
		one := promOf(r, alerts[r.ID()], asked[r.ID()])
		if only.WithoutAlerts {
			one.Alerts = []promAlert{}
		}
		g.EvaluationTime += one.EvaluationTime
		if one.LastEvaluation.After(g.LastEvaluation) {
			g.LastEvaluation = one.LastEvaluation
		}
		g.Rules = append(g.Rules, one)
	}
	return json.Marshal(map[string]any{"groups": groups})
}

// Alerts implements query.Rules.
func (p Prometheus) Alerts(ctx context.Context) (json.RawMessage, error) {
	rules, alerts, err := p.standing(ctx)
	if err != nil {
		return nil, err
	}
	list := []promAlert{}
	for _, r := range rules {
		list = append(list, alerts[r.ID()]...)
	}
	return json.Marshal(map[string]any{"alerts": list})
}

// standing returns the rules that hold, by group, and the alerts of each.
func (p Prometheus) standing(ctx context.Context) ([]*alerting.Rule, map[string][]promAlert, error) {
	rows, _, err := p.DB.AlertRules(ctx)
	if err != nil {
		return nil, nil, err
	}
	set, err := alerting.ParseRules("rules", File(rows))
	if err != nil {
		return nil, nil, err
	}
	alerts, err := p.alerts(ctx, set.Rules)
	return set.Rules, alerts, err
}

// alerts returns what is pending or fires, by rule. What is unknown is what it was.
func (p Prometheus) alerts(ctx context.Context, rules []*alerting.Rule) (map[string][]promAlert, error) {
	byID, out := map[string]*alerting.Rule{}, map[string][]promAlert{}
	for _, r := range rules {
		byID[r.ID()] = r
	}
	f := postgres.IncidentFilter{Open: true, Limit: 1000}
	for n := 0; n < maxAlerts; n += f.Limit {
		list, err := p.DB.Incidents(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, in := range list {
			c, err := live.ParseChange(in.Change)
			r := byID[in.Rule]
			if err != nil || r == nil { // another version's, or its rule is on its way out
				continue
			}
			state := c.State
			if state == alerting.Unknown {
				state = c.Was
			}
			if state != alerting.Pending && state != alerting.Firing {
				continue
			}
			values := c.Values
			if values == nil {
				values = map[string]float64{"value": c.Value}
			}
			out[in.Rule] = append(out[in.Rule], promAlert{Labels: c.Labels, Annotations: r.Annotate(values, c.Labels), State: string(state),
				ActiveAt: c.StartsAt, Value: strconv.FormatFloat(c.Value, 'e', -1, 64)})
		}
		if len(list) < f.Limit {
			break
		}
		f.Before, f.After = list[len(list)-1].ChangedAt, list[len(list)-1].Fingerprint
	}
	return out, nil
}

func promOf(r *alerting.Rule, alerts []promAlert, asked live.Asked) promRule {
	labels := map[string]string{"severity": r.Severity}
	for name, value := range r.Labels {
		labels[name] = value
	}
	one := promRule{State: string(alerting.Inactive), Name: r.Alert, Query: r.PromQL(), Duration: r.For.Seconds(), KeepFiringFor: r.KeepFiringFor.Seconds(),
		Labels: labels, Annotations: r.Annotations, Alerts: alerts, Health: "ok", LastEvaluation: time.Now().UTC(), Type: "alerting"}
	if one.Annotations == nil {
		one.Annotations = map[string]string{}
	}
	if one.Alerts == nil {
		one.Alerts = []promAlert{}
	}
	for _, a := range alerts {
		if one.State != string(alerting.Firing) {
			one.State = a.State
		}
	}
	if r.Kind == alerting.Expr {
		one.LastEvaluation, one.EvaluationTime, one.LastError = asked.Tried, asked.Took.Seconds(), asked.Error
		switch {
		case asked.Tried.IsZero():
			one.Health = "unknown"
		case asked.Error != "":
			one.Health = "err"
		}
	}
	return one
}
