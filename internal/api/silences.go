package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Silence holds back the alerts whose labels match.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []string  `json:"matchers"`
	Author    string    `json:"author"`
	Comment   string    `json:"comment"`
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	UpdatedAt time.Time `json:"updated_at"`
	State     string    `json:"state" enum:"pending,active,expired"`
}

// SilenceList are silences, the last to end first.
type SilenceList struct {
	Silences []Silence `json:"silences"`
}

// NewSilence is what making one needs.
type NewSilence struct {
	Matchers []string   `json:"matchers" minItems:"1" maxItems:"32" doc:"Such as hostname=\"web-1\" or severity=~\"info|warning\": all must match"`
	Comment  string     `json:"comment" minLength:"1" maxLength:"1000" doc:"Why"`
	StartsAt *time.Time `json:"starts_at,omitempty" doc:"Now, where it is missing"`
	EndsAt   *time.Time `json:"ends_at,omitempty" doc:"Either this or lasts"`
	Lasts    string     `json:"lasts,omitempty" doc:"A duration such as 2h"`
}

func (r resources) silences() {
	type listInput struct {
		All bool `query:"all" doc:"Also those that ended within five days"`
	}
	type listOutput struct{ Body SilenceList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/silences", "list-silences", "List silences, the last to end first"),
		func(ctx context.Context, in *listInput) (*listOutput, error) {
			now := time.Now()
			since := now
			if in.All {
				since = now.Add(-5 * 24 * time.Hour)
			}
			rows, err := r.deps.DB.Silences(ctx, since)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			list := SilenceList{make([]Silence, 0, len(rows))}
			for _, row := range rows {
				list.Silences = append(list.Silences, toSilence(row, now))
			}
			return &listOutput{list}, nil
		})

	type createInput struct{ Body NewSilence }
	type oneOutput struct{ Body Silence }
	create := operation(postgres.Operator, http.MethodPost, "/silences", "create-silence", "Hold back the alerts that match, for a time")
	create.DefaultStatus = http.StatusCreated
	huma.Register(r.api, create, func(ctx context.Context, in *createInput) (*oneOutput, error) {
		now := time.Now().UTC()
		s := Silence{Matchers: in.Body.Matchers, Author: callerOf(ctx).actor.Name, Comment: in.Body.Comment, StartsAt: now, UpdatedAt: now}
		if in.Body.StartsAt != nil && in.Body.StartsAt.After(now) {
			s.StartsAt = in.Body.StartsAt.UTC()
		}
		switch lasts, err := sentinel.ParseDuration(in.Body.Lasts); {
		case (in.Body.EndsAt == nil) == (in.Body.Lasts == ""):
			return nil, r.fail(ctx, wrong("body.ends_at", "want either ends_at or lasts"))
		case in.Body.EndsAt != nil:
			s.EndsAt = in.Body.EndsAt.UTC()
		case err != nil || lasts <= 0:
			return nil, r.fail(ctx, wrong("body.lasts", "want a duration such as 2h, not %.40q", in.Body.Lasts))
		default:
			s.EndsAt = s.StartsAt.Add(lasts)
		}
		if s.EndsAt.Sub(now) > 366*24*time.Hour {
			return nil, r.fail(ctx, wrong("body.ends_at", "want at most a year from now"))
		}
		row, err := r.deps.Alerting.NewSilence(s)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		by := entry(ctx, "silence.create", row.ID)
		by.Details = map[string]any{"matchers": s.Matchers, "ends_at": s.EndsAt}
		if err := r.deps.DB.PutSilence(ctx, by, row); err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &oneOutput{toSilence(row, now)}, nil
	})

	type expireInput struct {
		ID string `path:"silence" maxLength:"64"`
	}
	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/silences/{silence}", "expire-silence", "End a silence now"),
		func(ctx context.Context, in *expireInput) (*oneOutput, error) {
			now := time.Now().UTC()
			rows, err := r.deps.DB.Silences(ctx, now)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			for _, row := range rows {
				if row.ID != in.ID {
					continue
				}
				if row, err = r.deps.Alerting.EndSilence(row, now); err == nil {
					err = r.deps.DB.PutSilence(ctx, entry(ctx, "silence.expire", in.ID), row)
				}
				if err != nil {
					return nil, r.fail(ctx, err)
				}
				return &oneOutput{toSilence(row, now)}, nil
			}
			return nil, r.fail(ctx, sentinel.Errorf(sentinel.NotFound, "there is no silence %.64q that has not ended; `sentinelctl silence ls` lists those there are", in.ID))
		})

	type previewInput struct {
		Matchers []string `query:"matcher,explode" required:"true" doc:"May stand there several times: all must match"`
	}
	type previewOutput struct{ Body IncidentPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/silences/preview", "preview-silence", "Show what fires now and would be held back"),
		func(ctx context.Context, in *previewInput) (*previewOutput, error) {
			matches, err := r.deps.Alerting.Matches(in.Matchers)
			if err != nil {
				return nil, r.fail(ctx, wrong("query.matcher", "%w", err))
			}
			rows, err := r.deps.DB.Incidents(ctx, postgres.IncidentFilter{State: "firing", Limit: 1000})
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			page := IncidentPage{Incidents: []Incident{}}
			for _, row := range rows {
				if one := toIncident(row); matches(one.Labels) {
					page.Incidents = append(page.Incidents, one)
				}
			}
			return &previewOutput{page}, nil
		})
}

func toSilence(row postgres.Silence, now time.Time) Silence {
	var s Silence
	_ = json.Unmarshal(row.Body, &s) // written by us
	s.ID, s.StartsAt, s.EndsAt, s.State = row.ID, row.StartsAt.UTC(), row.EndsAt.UTC(), "active"
	switch {
	case now.Before(row.StartsAt):
		s.State = "pending"
	case !now.Before(row.EndsAt):
		s.State = "expired"
	}
	return s
}

// Silences returns silences, with all also those that have ended.
func (c *Client) Silences(ctx context.Context, all bool) ([]Silence, error) {
	q := url.Values{}
	if all {
		q.Set("all", "true")
	}
	var list SilenceList
	err := c.call(ctx, http.MethodGet, "/silences", q, nil, &list)
	return list.Silences, err
}

// CreateSilence makes a silence.
func (c *Client) CreateSilence(ctx context.Context, in NewSilence) (Silence, error) {
	var out Silence
	err := c.call(ctx, http.MethodPost, "/silences", nil, in, &out)
	return out, err
}

// ExpireSilence ends a silence now.
func (c *Client) ExpireSilence(ctx context.Context, id string) (Silence, error) {
	var out Silence
	err := c.call(ctx, http.MethodDelete, "/silences/"+url.PathEscape(id), nil, nil, &out)
	return out, err
}

// PreviewSilence returns what fires and would be held back.
func (c *Client) PreviewSilence(ctx context.Context, matchers []string) ([]Incident, error) {
	var page IncidentPage
	err := c.call(ctx, http.MethodGet, "/silences/preview", url.Values{"matcher": matchers}, nil, &page)
	return page.Incidents, err
}
