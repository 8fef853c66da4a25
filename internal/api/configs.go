package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// AgentConfig is what agents with certain labels are told to collect.
type AgentConfig struct {
	Name      string            `json:"name"`
	Selector  map[string]string `json:"selector" doc:"For the agents that have all of these labels; none: for all"`
	Priority  int               `json:"priority" doc:"Of those that fit an agent the highest counts, then the oldest"`
	Content   string            `json:"content" doc:"YAML with the keys interval, timeout, intervals and collectors of an agent's section collect"`
	Version   uint64            `json:"version" doc:"Names the content: no other ever has it"`
	ChangedAt time.Time         `json:"changed_at"`
}

// AgentConfigList are all of them, in the order in which they count.
type AgentConfigList struct {
	Configs []AgentConfig `json:"configs"`
}

// NewAgentConfig is what making or changing one needs.
type NewAgentConfig struct {
	Selector map[string]string `json:"selector,omitempty"`
	Priority int               `json:"priority,omitempty" minimum:"-1000" maximum:"1000"`
	Content  string            `json:"content" minLength:"1" maxLength:"32768"`
}

func (r resources) configs() {
	type listOutput struct{ Body AgentConfigList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agent-configs", "list-agent-configs", "List what agents are told to collect, in the order in which it counts"),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			rows, err := r.deps.DB.AgentConfigs(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &listOutput{AgentConfigList{make([]AgentConfig, 0, len(rows))}}
			for _, c := range rows {
				out.Body.Configs = append(out.Body.Configs, toAgentConfig(c))
			}
			return out, nil
		})

	type oneInput struct {
		Name string `path:"name" pattern:"^[a-z0-9][a-z0-9-]{0,62}$"`
	}
	type putInput struct {
		Name string `path:"name" pattern:"^[a-z0-9][a-z0-9-]{0,62}$"`
		Body NewAgentConfig
	}
	type putOutput struct{ Body AgentConfig }
	put := operation(postgres.Operator, http.MethodPut, "/agent-configs/{name}", "put-agent-config", "Tell agents what to collect")
	put.Description += " The agents get it in their sessions, signed. A host's own configuration says how far the service may go."
	huma.Register(r.api, put, func(ctx context.Context, in *putInput) (*putOutput, error) {
		if err := r.deps.CheckConfig([]byte(in.Body.Content)); err != nil {
			return nil, r.fail(ctx, wrong("body.content", "%w", err))
		}
		c := postgres.AgentConfig{Name: in.Name, Priority: in.Body.Priority, Content: in.Body.Content}
		for name, value := range in.Body.Selector {
			c.Selector = append(c.Selector, sentinel.Label{Name: name, Value: value})
		}
		kept, err := r.deps.DB.PutAgentConfig(ctx, entry(ctx, "agent_config.put", in.Name), c)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &putOutput{toAgentConfig(kept)}, nil
	})

	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/agent-configs/{name}", "delete-agent-config", "Tell agents no longer what to collect"),
		func(ctx context.Context, in *oneInput) (*struct{}, error) {
			if err := r.deps.DB.DeleteAgentConfig(ctx, entry(ctx, "agent_config.delete", in.Name), in.Name); err != nil {
				return nil, r.fail(ctx, missing(err, "there is no agent configuration %q; `sentinelctl agent config ls` lists those there are", in.Name))
			}
			return nil, nil
		})
}

func toAgentConfig(c postgres.AgentConfig) AgentConfig {
	out := AgentConfig{Name: c.Name, Selector: map[string]string{}, Priority: c.Priority, Content: c.Content, Version: c.Version, ChangedAt: c.ChangedAt}
	for _, l := range c.Selector {
		out.Selector[l.Name] = l.Value
	}
	return out
}

// AgentConfigs returns what agents are told to collect, in the order in which it
// counts.
func (c *Client) AgentConfigs(ctx context.Context) ([]AgentConfig, error) {
	var list AgentConfigList
	err := c.call(ctx, http.MethodGet, "/agent-configs", nil, nil, &list)
	return list.Configs, err
}

// PutAgentConfig makes or changes what agents are told to collect.
func (c *Client) PutAgentConfig(ctx context.Context, name string, in NewAgentConfig) (AgentConfig, error) {
	var out AgentConfig
	err := c.call(ctx, http.MethodPut, "/agent-configs/"+url.PathEscape(name), nil, in, &out)
	return out, err
}

// DeleteAgentConfig removes what agents are told to collect.
func (c *Client) DeleteAgentConfig(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/agent-configs/"+url.PathEscape(name), nil, nil, nil)
}
