package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Incident is how a rule stands for one series of an agent.
type Incident struct {
	Fingerprint string             `json:"fingerprint"`
	Rule        string             `json:"rule" doc:"group/alert"`
	Alert       string             `json:"alert"`
	Severity    string             `json:"severity"`
	Agent       string             `json:"agent"`
	Hostname    string             `json:"hostname"`
	Series      string             `json:"series,omitempty"`
	State       string             `json:"state" enum:"inactive,pending,firing,resolved,unknown"`
	Was         string             `json:"was,omitempty" doc:"Where the state is unknown: what it was"`
	Reason      string             `json:"reason"`
	StartsAt    *time.Time         `json:"starts_at,omitempty" doc:"When the condition began"`
	FiredAt     *time.Time         `json:"fired_at,omitempty"`
	EndsAt      *time.Time         `json:"ends_at,omitempty"`
	ChangedAt   time.Time          `json:"changed_at"`
	Labels      map[string]string  `json:"labels"`
	Annotations map[string]string  `json:"annotations,omitempty"`
	Values      map[string]float64 `json:"values,omitempty" doc:"The numbers that explain it"`
	Runbook     string             `json:"runbook,omitempty"`
	AckedBy     string             `json:"acked_by,omitempty"`
	AckedAt     *time.Time         `json:"acked_at,omitempty"`
	AckComment  string             `json:"ack_comment,omitempty"`
}

// IncidentPage is one page of incidents.
type IncidentPage struct {
	Incidents []Incident `json:"incidents"`
	Next      string     `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
}

// IncidentChange is one change of an incident.
type IncidentChange struct {
	At      time.Time          `json:"at" doc:"By the host's samples"`
	NotedAt time.Time          `json:"noted_at" doc:"By the service's clock"`
	From    string             `json:"from"`
	To      string             `json:"to"`
	Reason  string             `json:"reason"`
	Values  map[string]float64 `json:"values,omitempty"`
}

// IncidentContent is an incident with what became of it, the newest first.
type IncidentContent struct {
	Incident
	Timeline []IncidentChange `json:"timeline"`
}

// IncidentQuery selects incidents; zero fields select everything.
type IncidentQuery struct {
	State, Severity, Agent, Rule string
	All                          bool // also those that are over
	Limit                        int
}

// Acknowledgement says that somebody has taken an incident on.
type Acknowledgement struct {
	Comment string `json:"comment,omitempty" maxLength:"1000"`
}

func (r resources) incidents() {
	type listInput struct {
		State    string `query:"state" enum:"pending,firing,resolved,unknown,inactive" doc:"Only those in this state"`
		Severity string `query:"severity" maxLength:"16"`
		Agent    string `query:"agent" maxLength:"64"`
		Rule     string `query:"rule" maxLength:"300" doc:"group/alert"`
		All      bool   `query:"all" doc:"Also those that are over"`
		After    string `query:"after" doc:"The cursor that the page before gave as next"`
		Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type listOutput struct{ Body IncidentPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/incidents", "list-incidents", "List incidents, those that changed last first"),
		func(ctx context.Context, in *listInput) (*listOutput, error) {
			for where, text := range map[string]string{"query.severity": in.Severity, "query.agent": in.Agent, "query.rule": in.Rule, "query.after": in.After} {
				if err := clean(where, text); err != nil {
					return nil, r.fail(ctx, err)
				}
			}
			over := in.State == "resolved" || in.State == "inactive"
			f := postgres.IncidentFilter{State: in.State, Severity: in.Severity, Agent: in.Agent, Rule: in.Rule, Open: !in.All && !over, Limit: in.Limit}
			if at, fingerprint, paged := strings.Cut(in.After, "."); paged {
				us, err := strconv.ParseInt(at, 36, 64)
				if err != nil {
					return nil, r.fail(ctx, wrong("query.after", "not a cursor of this list"))
				}
				f.Before, f.After = time.UnixMicro(us), fingerprint
			} else if in.After != "" {
				return nil, r.fail(ctx, wrong("query.after", "not a cursor of this list"))
			}
			rows, err := r.deps.DB.Incidents(ctx, f)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			page := IncidentPage{Incidents: make([]Incident, 0, len(rows))}
			for _, row := range rows {
				page.Incidents = append(page.Incidents, toIncident(row))
			}
			if len(rows) == in.Limit {
				last := rows[len(rows)-1]
				page.Next = strconv.FormatInt(last.ChangedAt.UnixMicro(), 36) + "." + last.Fingerprint
			}
			return &listOutput{page}, nil
		})

	type oneInput struct {
		Fingerprint string `path:"fingerprint" pattern:"^[0-9a-f]{32}$"`
	}
	type showOutput struct{ Body IncidentContent }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/incidents/{fingerprint}", "get-incident", "Show an incident and what became of it"),
		func(ctx context.Context, in *oneInput) (*showOutput, error) {
			row, err := r.deps.DB.Incident(ctx, in.Fingerprint)
			if err != nil {
				return nil, r.fail(ctx, missing(err, noIncident, in.Fingerprint))
			}
			lines, err := r.deps.DB.Timeline(ctx, in.Fingerprint, 200)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := IncidentContent{Incident: toIncident(row), Timeline: make([]IncidentChange, 0, len(lines))}
			for _, l := range lines {
				out.Timeline = append(out.Timeline, IncidentChange{l.At.UTC(), l.NotedAt.UTC(), l.From, l.To, l.Reason, readChange([]byte(l.Change)).Values})
			}
			return &showOutput{out}, nil
		})

	type ackInput struct {
		Fingerprint string `path:"fingerprint" pattern:"^[0-9a-f]{32}$"`
		Body        Acknowledgement
	}
	ack := operation(postgres.Operator, http.MethodPost, "/incidents/{fingerprint}/ack", "ack-incident", "Take an incident on: it is neither repeated nor escalated while it fires")
	huma.Register(r.api, ack, func(ctx context.Context, in *ackInput) (*showOutput, error) {
		if err := clean("body.comment", in.Body.Comment); err != nil {
			return nil, r.fail(ctx, err)
		}
		by := entry(ctx, "incident.ack", in.Fingerprint)
		if err := r.deps.DB.AckIncident(ctx, by, in.Fingerprint, by.Actor.Name, in.Body.Comment); err != nil {
			if sentinel.CodeOf(err) == sentinel.NotFound {
				err = sentinel.Errorf(sentinel.Conflict, "nothing fires under %s; `sentinelctl alert ls` lists what does", in.Fingerprint)
			}
			return nil, r.fail(ctx, err)
		}
		row, err := r.deps.DB.Incident(ctx, in.Fingerprint)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &showOutput{IncidentContent{Incident: toIncident(row), Timeline: []IncidentChange{}}}, nil
	})
}

const noIncident = "there is no incident %s; `sentinelctl alert ls` lists those there are"

// change is what is shown of an incident's last change.
type change struct {
	Series      string             `json:"series"`
	Labels      map[string]string  `json:"labels"`
	Annotations map[string]string  `json:"annotations"`
	Values      map[string]float64 `json:"values"`
	Runbook     string             `json:"runbook"`
}

func readChange(raw []byte) (c change) {
	_ = json.Unmarshal(raw, &c) // written by us; what cannot be read is not shown
	return c
}

func toIncident(in postgres.Incident) Incident {
	c := readChange(in.Change)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	return Incident{Fingerprint: in.Fingerprint, Rule: in.Rule, Alert: in.AlertName, Severity: in.Severity, Agent: string(in.Agent), Hostname: in.Hostname, Series: c.Series,
		State: in.State, Was: in.Was, Reason: in.Reason, StartsAt: timeOrNil(in.StartsAt), FiredAt: timeOrNil(in.FiredAt), EndsAt: timeOrNil(in.EndsAt), ChangedAt: in.ChangedAt,
		Labels: c.Labels, Annotations: c.Annotations, Values: c.Values, Runbook: c.Runbook, AckedBy: in.AckedBy, AckedAt: timeOrNil(in.AckedAt), AckComment: in.AckComment}
}

// Incidents returns up to q.Limit incidents, those that changed last first.
func (c *Client) Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error) {
	v := url.Values{"limit": {strconv.Itoa(min(max(1, q.Limit), 1000))}}
	for key, text := range map[string]string{"state": q.State, "severity": q.Severity, "agent": q.Agent, "rule": q.Rule} {
		if text != "" {
			v.Set(key, text)
		}
	}
	if q.All {
		v.Set("all", "true")
	}
	all := []Incident{}
	for {
		var page IncidentPage
		if err := c.call(ctx, http.MethodGet, "/incidents", v, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Incidents...)
		if page.Next == "" || len(all) >= q.Limit {
			return all[:min(len(all), max(1, q.Limit))], nil
		}
		v.Set("after", page.Next)
	}
}

// Incident returns one incident with its timeline.
func (c *Client) Incident(ctx context.Context, fingerprint string) (IncidentContent, error) {
	var out IncidentContent
	err := c.call(ctx, http.MethodGet, "/incidents/"+url.PathEscape(fingerprint), nil, nil, &out)
	return out, err
}

// Ack takes an incident on.
func (c *Client) Ack(ctx context.Context, fingerprint, comment string) (IncidentContent, error) {
	var out IncidentContent
	err := c.call(ctx, http.MethodPost, "/incidents/"+url.PathEscape(fingerprint)+"/ack", nil, Acknowledgement{comment}, &out)
	return out, err
}
