package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// EnrolmentToken buys identities for agents; it is without itself: that was shown
// once.
type EnrolmentToken struct {
	ID        int64             `json:"id"`
	Name      string            `json:"name"`
	Hostnames string            `json:"hostnames,omitempty" doc:"A pattern that the host's name must match; missing: any host"`
	Labels    map[string]string `json:"labels" doc:"What its agents get"`
	MaxUses   int               `json:"max_uses"`
	Uses      int               `json:"uses"`
	State     string            `json:"state" enum:"valid,revoked,expired,used up"`
	CreatedAt time.Time         `json:"created_at"`
	ExpiresAt time.Time         `json:"expires_at"`
}

// EnrolmentTokenList are all enrolment tokens.
type EnrolmentTokenList struct {
	Tokens []EnrolmentToken `json:"tokens"`
}

// NewEnrolmentToken is what making an enrolment token needs.
type NewEnrolmentToken struct {
	Name      string            `json:"name" minLength:"1" maxLength:"255" doc:"What the token is for"`
	TTL       string            `json:"ttl,omitempty" maxLength:"32" doc:"A duration such as 24h, which it is by default; up to a year"`
	MaxUses   int               `json:"max_uses,omitempty" minimum:"0" maximum:"100000" doc:"Hosts that may enrol with it; one by default"`
	Hostnames string            `json:"hostnames,omitempty" maxLength:"255" doc:"A pattern such as web-* that the host's name must match"`
	Labels    map[string]string `json:"labels,omitempty" doc:"What its agents get"`
}

// IssuedEnrolmentToken is a new enrolment token, shown once, and what an agent needs
// beside it.
type IssuedEnrolmentToken struct {
	EnrolmentToken
	Secret string `json:"secret" doc:"The token; it cannot be shown again"`
	CAPin  string `json:"ca_pin,omitempty" doc:"For agent.server.ca_pin; missing where the gateway's certificate is not of a private authority"`
}

const defaultEnrolmentTTL = 24 * time.Hour

func (r resources) enrolment() {
	type listOutput struct{ Body EnrolmentTokenList }
	huma.Register(r.api, operation(postgres.Operator, http.MethodGet, "/enrolment-tokens", "list-enrolment-tokens", "List enrolment tokens, newest first, spent ones included"),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			rows, err := r.deps.DB.EnrolmentTokens(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &listOutput{EnrolmentTokenList{make([]EnrolmentToken, 0, len(rows))}}
			for _, t := range rows {
				out.Body.Tokens = append(out.Body.Tokens, toEnrolmentToken(t))
			}
			return out, nil
		})

	type createInput struct{ Body NewEnrolmentToken }
	type createOutput struct{ Body IssuedEnrolmentToken }
	create := operation(postgres.Operator, http.MethodPost, "/enrolment-tokens", "create-enrolment-token", "Make an enrolment token and show it, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(r.api, create, func(ctx context.Context, in *createInput) (*createOutput, error) {
		want := postgres.EnrolmentToken{Name: in.Body.Name, MaxUses: max(in.Body.MaxUses, 1), Hostnames: in.Body.Hostnames}
		for name, value := range in.Body.Labels {
			want.Labels = append(want.Labels, sentinel.Label{Name: name, Value: value})
		}
		ttl := defaultEnrolmentTTL
		if in.Body.TTL != "" {
			var err error
			if ttl, err = sentinel.ParseDuration(in.Body.TTL); err != nil {
				return nil, r.fail(ctx, wrong("body.ttl", "want a duration such as 24h, not %.40q", in.Body.TTL))
			}
		}
		text, row, err := r.deps.Identities.CreateEnrolmentToken(ctx, entry(ctx, "enrolment_token.create", ""), want, ttl)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &createOutput{IssuedEnrolmentToken{toEnrolmentToken(row), text, r.deps.CAPin}}, nil
	})

	type oneInput struct {
		ID int64 `path:"token" minimum:"1"`
	}
	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/enrolment-tokens/{token}", "revoke-enrolment-token", "Revoke an enrolment token; what it bought stays"),
		func(ctx context.Context, in *oneInput) (*struct{}, error) {
			err := r.deps.DB.RevokeEnrolmentToken(ctx, entry(ctx, "enrolment_token.revoke", strconv.FormatInt(in.ID, 10)), in.ID)
			if err != nil {
				return nil, r.fail(ctx, missing(err, "enrolment token %d does not exist; `sentinelctl enrolment ls` lists them", in.ID))
			}
			return nil, nil
		})
}

func toEnrolmentToken(t postgres.EnrolmentToken) EnrolmentToken {
	out := EnrolmentToken{ID: t.ID, Name: t.Name, Hostnames: t.Hostnames, Labels: map[string]string{}, MaxUses: t.MaxUses, Uses: t.Uses,
		State: "valid", CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
	for _, l := range t.Labels {
		out.Labels[l.Name] = l.Value
	}
	if why := t.Spent(time.Now()); why != "" {
		out.State = why
	}
	return out
}

// EnrolmentTokens returns all enrolment tokens, newest first.
func (c *Client) EnrolmentTokens(ctx context.Context) ([]EnrolmentToken, error) {
	var list EnrolmentTokenList
	err := c.call(ctx, http.MethodGet, "/enrolment-tokens", nil, nil, &list)
	return list.Tokens, err
}

// CreateEnrolmentToken makes an enrolment token and returns it.
func (c *Client) CreateEnrolmentToken(ctx context.Context, t NewEnrolmentToken) (IssuedEnrolmentToken, error) {
	var out IssuedEnrolmentToken
	err := c.call(ctx, http.MethodPost, "/enrolment-tokens", nil, t, &out)
	return out, err
}

// RevokeEnrolmentToken makes an enrolment token buy nothing from now on.
func (c *Client) RevokeEnrolmentToken(ctx context.Context, id int64) error {
	return c.call(ctx, http.MethodDelete, fmt.Sprint("/enrolment-tokens/", id), nil, nil, nil)
}
