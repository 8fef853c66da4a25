package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Agent is one registered agent.
type Agent struct {
	ID        string            `json:"id" doc:"The agent's identity"`
	Hostname  string            `json:"hostname"`
	Labels    map[string]string `json:"labels"`
	Version   string            `json:"version"`
	OS        string            `json:"os"`
	Arch      string            `json:"arch"`
	CreatedAt time.Time         `json:"created_at"`
	LastSeen  *time.Time        `json:"last_seen,omitempty" doc:"Of its last heartbeat; missing where there was none"`
	Disabled  bool              `json:"disabled"`
}

// AgentPage is one page of agents.
type AgentPage struct {
	Agents []Agent `json:"agents"`
	Next   string  `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
}

// NewAgent is what registering an agent needs.
type NewAgent struct {
	Hostname string            `json:"hostname,omitempty" maxLength:"255"`
	Labels   map[string]string `json:"labels,omitempty"`
}

// Credential is a new agent's identity and secret, shown once.
type Credential struct {
	AgentID string `json:"agent_id"`
	KeyID   string `json:"key_id"`
	Secret  string `json:"secret" doc:"Base64; it cannot be shown again"`
}

func (r resources) agents() {
	type listInput struct {
		Search string `query:"search" maxLength:"255" doc:"Part of the id or the hostname"`
		After  string `query:"after" doc:"The cursor that the page before gave as next"`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type listOutput struct{ Body AgentPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents", "list-agents", "List agents"),
		func(ctx context.Context, in *listInput) (*listOutput, error) {
			page, err := r.listAgents(ctx, in.Search, in.After, in.Limit)
			if err != nil {
				return nil, err
			}
			return &listOutput{page}, nil
		})

	type oneInput struct {
		Agent string `path:"agent"`
	}
	type oneOutput struct{ Body Agent }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents/{agent}", "get-agent", "Show one agent"),
		func(ctx context.Context, in *oneInput) (*oneOutput, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			return &oneOutput{toAgent(a)}, nil
		})

	type createInput struct{ Body NewAgent }
	type createOutput struct{ Body Credential }
	create := operation(postgres.Operator, http.MethodPost, "/agents", "register-agent", "Register an agent and show its credential, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(r.api, create, func(ctx context.Context, in *createInput) (*createOutput, error) {
		var labels []sentinel.Label
		for name, value := range in.Body.Labels {
			labels = append(labels, sentinel.Label{Name: name, Value: value})
		}
		cred, err := r.deps.Registry.Register(ctx, in.Body.Hostname, labels)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		// No credential leaves without its entry: an agent that nobody got to know is
		// harmless.
		by := entry(ctx, "agent.register", string(cred.Agent))
		by.Details = map[string]any{"hostname": in.Body.Hostname, "labels": in.Body.Labels}
		if err := r.deps.DB.Audit(ctx, by); err != nil {
			return nil, r.fail(ctx, err)
		}
		return &createOutput{Credential{string(cred.Agent), cred.Key.ID, cred.Key.SecretText()}}, nil
	})
}

func (r resources) listAgents(ctx context.Context, search, after string, limit int) (AgentPage, error) {
	if err := clean("query.search", search); err != nil {
		return AgentPage{}, r.fail(ctx, err)
	}
	f := postgres.AgentFilter{Search: search, Limit: limit}
	var err error
	if f.After, err = cursor(after); err != nil {
		return AgentPage{}, r.fail(ctx, err)
	}
	rows, err := r.deps.DB.Agents(ctx, f)
	if err != nil {
		return AgentPage{}, r.fail(ctx, err)
	}
	page := AgentPage{Agents: make([]Agent, 0, len(rows))}
	for _, a := range rows {
		page.Agents = append(page.Agents, toAgent(a))
	}
	if len(rows) == limit {
		page.Next = strconv.FormatInt(rows[len(rows)-1].ID, 36)
	}
	return page, nil
}

func toAgent(a postgres.Agent) Agent {
	out := Agent{ID: string(a.Name), Hostname: a.Hostname, Labels: map[string]string{}, Version: a.Info.Version, OS: a.Info.OS,
		Arch: a.Info.Arch, CreatedAt: a.CreatedAt, Disabled: !a.DisabledAt.IsZero()}
	for _, l := range a.Labels {
		out.Labels[l.Name] = l.Value
	}
	if !a.LastSeenAt.IsZero() {
		out.LastSeen = &a.LastSeenAt
	}
	return out
}

// Agents returns all agents that match the search.
func (c *Client) Agents(ctx context.Context, search string) ([]Agent, error) {
	var all []Agent
	for after := ""; ; {
		var page AgentPage
		q := url.Values{"limit": {"1000"}, "search": {search}, "after": {after}}
		if err := c.call(ctx, http.MethodGet, "/agents", q, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Agents...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// Agent returns one agent by its id.
func (c *Client) Agent(ctx context.Context, id string) (Agent, error) {
	var a Agent
	err := c.call(ctx, http.MethodGet, "/agents/"+url.PathEscape(id), nil, nil, &a)
	return a, err
}

// Register registers an agent and returns its credential.
func (c *Client) Register(ctx context.Context, a NewAgent) (Credential, error) {
	var cred Credential
	err := c.call(ctx, http.MethodPost, "/agents", nil, a, &cred)
	return cred, err
}
