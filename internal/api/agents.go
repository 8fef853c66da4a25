package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
	State     string            `json:"state" enum:"up,silent,never seen,disabled" doc:"silent: no heartbeat for two minutes"`
	InFlight  uint64            `json:"in_flight" doc:"Records that it has written and that are not settled"`
	Tag       string            `json:"etag" doc:"Names what of it people change: the same as the header ETag"`
	Config    uint64            `json:"config_version" doc:"Of what it is told to collect and runs with; 0: what its host says alone"`
	Refused   string            `json:"config_error,omitempty" doc:"Why it does not run with what it is told"`
	Clock     *float64          `json:"clock_ahead_seconds,omitempty" doc:"How far its clock was ahead of the gateway's at its last report; missing where that is not known"`
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

// AgentPatch says what of an agent is to be different; what is missing stays.
type AgentPatch struct {
	Labels   *map[string]string `json:"labels,omitempty" doc:"All its labels from now on"`
	Disabled *bool              `json:"disabled,omitempty" doc:"A disabled agent is refused within seconds and keeps its data"`
}

// AgentQuery selects agents; zero fields select everything.
type AgentQuery struct {
	Search string
	Labels []string // name=value or name!=value
	State  string
}

func (r resources) agents() {
	type listInput struct {
		Search string   `query:"search" maxLength:"255" doc:"Part of the id or the hostname"`
		Labels []string `query:"label,explode" maxItems:"32" doc:"name=value or name!=value; may stand there several times"`
		State  string   `query:"state" enum:"up,silent,never seen,disabled"`
		After  string   `query:"after" doc:"The cursor that the page before gave as next"`
		Limit  int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	type listOutput struct{ Body AgentPage }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents", "list-agents", "List agents"),
		func(ctx context.Context, in *listInput) (*listOutput, error) {
			f := postgres.AgentFilter{Search: in.Search, State: postgres.AgentState(in.State), Limit: in.Limit}
			if err := labelFilter(&f, in.Labels); err != nil {
				return nil, r.fail(ctx, err)
			}
			page, err := r.listAgents(ctx, f, in.After)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &listOutput{page}, nil
		})

	type oneInput struct {
		Agent string `path:"agent"`
	}
	type oneOutput struct {
		ETag string `header:"ETag" doc:"Names what PATCH and DELETE may change; send it as If-Match"`
		Body Agent
	}
	one := func(ctx context.Context, a postgres.Agent) (*oneOutput, error) {
		list, err := r.withPositions(ctx, []postgres.Agent{a})
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &oneOutput{agentTag(a), list[0]}, nil
	}
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents/{agent}", "get-agent", "Show one agent"),
		func(ctx context.Context, in *oneInput) (*oneOutput, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			return one(ctx, a)
		})

	type patchInput struct {
		Agent   string `path:"agent"`
		IfMatch string `header:"If-Match" maxLength:"128" doc:"An ETag: the change is refused (412) where the agent is no longer what it names"`
		Body    AgentPatch
	}
	patch := operation(postgres.Operator, http.MethodPatch, "/agents/{agent}", "change-agent", "Change an agent's labels, or disable it")
	patch.Errors = append(patch.Errors, http.StatusPreconditionFailed)
	huma.Register(r.api, patch, func(ctx context.Context, in *patchInput) (*oneOutput, error) {
		if in.Body == (AgentPatch{}) {
			return nil, r.fail(ctx, wrong("body", "says nothing that is to be different"))
		}
		a, err := r.agent(ctx, in.Agent)
		if err != nil {
			return nil, err
		}
		by := entry(ctx, "agent.change", in.Agent)
		by.Details = map[string]any{}
		ch := postgres.AgentChange{Disabled: in.Body.Disabled, Check: func(now postgres.Agent) error { return fresh(in.IfMatch, now) }}
		if in.Body.Disabled != nil {
			by.Details["disabled"] = *in.Body.Disabled
		}
		if in.Body.Labels != nil {
			labels := labelList(*in.Body.Labels)
			ch.Labels, by.Details["labels"] = &labels, *in.Body.Labels
		}
		if a, err = r.deps.Registry.Change(ctx, by, a, ch); err != nil {
			return nil, r.failBody(ctx, err)
		}
		return one(ctx, a)
	})

	remove := operation(postgres.Admin, http.MethodDelete, "/agents/{agent}", "delete-agent",
		"Remove an agent with its keys, books, dead letters and series; its samples can no longer be read, and go when their time is over")
	huma.Register(r.api, remove, func(ctx context.Context, in *oneInput) (*struct{}, error) {
		a, err := r.agent(ctx, in.Agent)
		if err != nil {
			return nil, err
		}
		by := entry(ctx, "agent.delete", in.Agent)
		by.Details = map[string]any{"hostname": a.Hostname}
		if err := r.deps.DB.DeleteAgent(ctx, by, a.ID); err != nil {
			return nil, r.fail(ctx, err)
		}
		return nil, nil
	})

	type createInput struct{ Body NewAgent }
	type createOutput struct{ Body Credential }
	create := operation(postgres.Operator, http.MethodPost, "/agents", "register-agent", "Register an agent and show its credential, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(r.api, create, func(ctx context.Context, in *createInput) (*createOutput, error) {
		cred, err := r.deps.Registry.Register(ctx, in.Body.Hostname, labelList(in.Body.Labels))
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

// labelFilter reads matchers of labels.
func labelFilter(f *postgres.AgentFilter, list []string) error {
	for _, l := range list {
		if err := clean("query.label", l); err != nil {
			return err
		}
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" || name == "!" {
			return wrong("query.label", "want name=value or name!=value, not %.80q", l)
		}
		if name, not := strings.CutSuffix(name, "!"); not {
			f.Without = append(f.Without, sentinel.Label{Name: name, Value: value})
		} else {
			f.Labels = append(f.Labels, sentinel.Label{Name: name, Value: value})
		}
	}
	return nil
}

func labelList(m map[string]string) []sentinel.Label {
	labels := make([]sentinel.Label, 0, len(m))
	for name, value := range m {
		labels = append(labels, sentinel.Label{Name: name, Value: value})
	}
	return labels
}

// agentTag names what of an agent people change: not what it reports by itself.
func agentTag(a postgres.Agent) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %t", a.ID, a.DisabledAt.IsZero())
	for _, l := range a.Labels { // sorted
		fmt.Fprintf(h, " %q=%q", l.Name, l.Value)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:12]) + `"`
}

// fresh refuses where the agent is not what the client saw.
func fresh(ifMatch string, a postgres.Agent) error {
	if ifMatch == "" || ifMatch == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if strings.TrimSpace(tag) == agentTag(a) {
			return nil
		}
	}
	return &staleError{sentinel.Errorf(sentinel.Conflict, "the agent was changed meanwhile: read it again, and then change it")}
}

func (r resources) listAgents(ctx context.Context, f postgres.AgentFilter, after string) (page AgentPage, err error) {
	if err := clean("query.search", f.Search); err != nil {
		return page, err
	}
	if f.After, err = cursor(after); err != nil {
		return page, err
	}
	rows, err := r.deps.DB.Agents(ctx, f)
	if err != nil {
		return page, err
	}
	if page.Agents, err = r.withPositions(ctx, rows); err != nil {
		return page, err
	}
	if len(rows) == f.Limit {
		page.Next = strconv.FormatInt(rows[len(rows)-1].ID, 36)
	}
	return page, nil
}

// withPositions adds what the ledger knows of the agents.
func (r resources) withPositions(ctx context.Context, rows []postgres.Agent) ([]Agent, error) {
	ids := make([]int64, 0, len(rows))
	for _, a := range rows {
		ids = append(ids, a.ID)
	}
	inFlight, err := r.deps.DB.InFlight(ctx, ids)
	if err != nil {
		return nil, err
	}
	now, out := time.Now(), make([]Agent, 0, len(rows))
	for _, a := range rows {
		agent := toAgent(a)
		agent.State, agent.InFlight = string(a.State(now)), inFlight[a.ID]
		out = append(out, agent)
	}
	return out, nil
}

func toAgent(a postgres.Agent) Agent {
	out := Agent{ID: string(a.Name), Hostname: a.Hostname, Labels: map[string]string{}, Version: a.Info.Version, OS: a.Info.OS,
		Arch: a.Info.Arch, CreatedAt: a.CreatedAt, Disabled: !a.DisabledAt.IsZero(),
		Config: a.Config.Applied, Refused: a.Config.Error}
	for _, l := range a.Labels {
		out.Labels[l.Name] = l.Value
	}
	out.Tag = agentTag(a)
	out.LastSeen = timeOrNil(a.LastSeenAt)
	if a.ClockAhead != nil {
		ahead := a.ClockAhead.Seconds()
		out.Clock = &ahead
	}
	return out
}

// Agents returns all agents that match the search.
func (c *Client) Agents(ctx context.Context, search string) ([]Agent, error) {
	return c.FindAgents(ctx, AgentQuery{Search: search})
}

// FindAgents returns all agents that fit.
func (c *Client) FindAgents(ctx context.Context, aq AgentQuery) ([]Agent, error) {
	q := url.Values{"limit": {"1000"}, "label": aq.Labels}
	for key, v := range map[string]string{"search": aq.Search, "state": aq.State} {
		if v != "" {
			q.Set(key, v)
		}
	}
	var all []Agent
	for {
		var page AgentPage
		if err := c.call(ctx, http.MethodGet, "/agents", q, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Agents...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("after", page.Next)
	}
}

// ChangeAgent changes an agent. Where tag is not empty and the agent is no longer
// what it names, the error is a Conflict.
func (c *Client) ChangeAgent(ctx context.Context, id, tag string, p AgentPatch) (Agent, error) {
	var a Agent
	err := c.callIf(ctx, tag, http.MethodPatch, "/agents/"+url.PathEscape(id), nil, p, &a)
	return a, err
}

// DeleteAgent removes an agent.
func (c *Client) DeleteAgent(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/agents/"+url.PathEscape(id), nil, nil, nil)
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
