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

// Bundle is what an uploaded bundle is.
type Bundle struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Digest   string `json:"digest" doc:"SHA-256 over what is signed"`
	Signer   string `json:"signer" doc:"The key that signed it; each agent decides whom it trusts"`
	Manifest string `json:"manifest" doc:"YAML"`
}

// Plugin is a plugin, which agents are to run it and how far that has come.
type Plugin struct {
	Name      string            `json:"name"`
	Version   string            `json:"version" doc:"That is rolled out"`
	Digest    string            `json:"digest"`
	Previous  string            `json:"previous,omitempty" doc:"The version of those whose turn has not come"`
	Selector  map[string]string `json:"selector" doc:"For the agents that have all of these labels; none: for all"`
	Stages    []int32           `json:"stages" doc:"Percent of the agents"`
	Stage     int               `json:"stage" doc:"The place in stages, from 1 on"`
	Hold      int               `json:"hold_seconds" doc:"That a stage lasts at the least"`
	Halted    string            `json:"halted,omitempty" doc:"Why it goes no further"`
	Agents    int               `json:"agents" doc:"That have the labels"`
	Running   int               `json:"running" doc:"Of these, run this version"`
	Failed    int               `json:"failed" doc:"Of these, say that they do not"`
	Waiting   int               `json:"waiting" doc:"Of these, are connected, have their turn and have not said anything yet"`
	ChangedAt time.Time         `json:"changed_at"`
}

// PluginList are all of them, by name.
type PluginList struct {
	Plugins []Plugin `json:"plugins"`
}

// PluginState is how a plugin stands on an agent.
type PluginState struct {
	Agent      string    `json:"agent"`
	Plugin     string    `json:"plugin"`
	Version    string    `json:"version"`
	Digest     string    `json:"digest"`
	State      string    `json:"state" doc:"running, backing_off, quarantined or refused"`
	Error      string    `json:"error,omitempty"`
	Unsigned   bool      `json:"unsigned" doc:"No key that the agent trusts signed it: agent.plugins.allow_unsigned is set there"`
	ReportedAt time.Time `json:"reported_at"`
}

// PluginStates are how plugins stand, those that do not run first.
type PluginStates struct {
	States []PluginState `json:"states"`
}

// NewPlugin is a bundle: the file that has been signed.
type NewPlugin struct {
	Content []byte `json:"content" doc:"The bundle"`
}

// NewRollout says which agents are to run a version.
type NewRollout struct {
	Version     string            `json:"version" maxLength:"40"`
	Selector    map[string]string `json:"selector,omitempty"`
	Stages      []int32           `json:"stages,omitempty" maxItems:"20" doc:"Percent of the agents, rising; 100 is added where it is missing. Default: 10, 100"`
	HoldSeconds int               `json:"hold_seconds,omitempty" minimum:"0" maximum:"604800" doc:"That a stage lasts at the least; default 5"`
}

const (
	maxBundleBody = 24 << 20 // a bundle, in base64
	defaultHold   = 5
)

func (r resources) plugins() {
	type oneInput struct {
		Name string `path:"name" pattern:"^[a-z][a-z0-9-]{0,31}$"`
	}
	type listOutput struct{ Body PluginList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/plugins", "list-plugins", "List plugins, which agents are to run them and how far that has come"),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			rows, err := r.deps.DB.Rollouts(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &listOutput{PluginList{make([]Plugin, 0, len(rows))}}
			for _, p := range rows {
				out.Body.Plugins = append(out.Body.Plugins, toPlugin(p))
			}
			return out, nil
		})

	type statesInput struct {
		Plugin string `query:"plugin" maxLength:"32"`
	}
	type statesOutput struct{ Body PluginStates }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/plugin-states", "list-plugin-states", "List how plugins stand on the agents, those that do not run first"),
		func(ctx context.Context, in *statesInput) (*statesOutput, error) {
			rows, err := r.deps.DB.PluginStates(ctx, in.Plugin)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &statesOutput{PluginStates{make([]PluginState, 0, len(rows))}}
			for _, s := range rows {
				out.Body.States = append(out.Body.States, PluginState{string(s.Agent), s.Name, s.Version, s.Digest, s.State, s.Error, s.Unsigned, s.ReportedAt})
			}
			return out, nil
		})

	type addInput struct{ Body NewPlugin }
	type addOutput struct{ Body Bundle }
	add := operation(postgres.Admin, http.MethodPost, "/plugins", "add-plugin", "Keep a bundle of a plugin, which must be signed")
	add.MaxBodyBytes = maxBundleBody
	add.Description += " No agent runs it before it is rolled out."
	huma.Register(r.api, add, func(ctx context.Context, in *addInput) (*addOutput, error) {
		b, err := r.deps.ReadPlugin(in.Body.Content)
		if err != nil {
			return nil, r.fail(ctx, wrong("body.content", "%w", err))
		}
		_, err = r.deps.DB.AddPlugin(ctx, entry(ctx, "plugin.add", b.Name), postgres.PluginBundle{Name: b.Name, Version: b.Version, Digest: b.Digest, Signer: b.Signer, Manifest: b.Manifest}, in.Body.Content)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &addOutput{b}, nil
	})

	type bundleOutput struct{ Body NewPlugin }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/plugins/{name}/bundle", "get-plugin-bundle", "Get the bundle that is rolled out"),
		func(ctx context.Context, in *oneInput) (*bundleOutput, error) {
			content, err := r.deps.DB.RolledOut(ctx, in.Name)
			if err != nil {
				return nil, r.fail(ctx, noPlugin(err, in.Name))
			}
			return &bundleOutput{NewPlugin{content}}, nil
		})

	type putInput struct {
		Name string `path:"name" pattern:"^[a-z][a-z0-9-]{0,31}$"`
		Body NewRollout
	}
	put := operation(postgres.Admin, http.MethodPut, "/plugins/{name}/rollout", "put-plugin-rollout", "Roll a version of a plugin out, in stages")
	put.Description += " A stage ends when all of its agents that are connected run it; where more than a tenth of those that answered do not, the roll-out halts. What a host itself does not allow its agent refuses."
	huma.Register(r.api, put, func(ctx context.Context, in *putInput) (*struct{}, error) {
		stages, err := risingStages(in.Body.Stages)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		hold := in.Body.HoldSeconds
		if hold == 0 {
			hold = defaultHold
		}
		roll := postgres.Rollout{Name: in.Name, Version: in.Body.Version, Stages: stages, Hold: time.Duration(hold) * time.Second}
		for name, value := range in.Body.Selector {
			roll.Selector = append(roll.Selector, sentinel.Label{Name: name, Value: value})
		}
		if err := r.deps.DB.PutRollout(ctx, entry(ctx, "plugin.rollout", in.Name), roll); err != nil {
			return nil, r.fail(ctx, err)
		}
		return nil, nil
	})

	huma.Register(r.api, operation(postgres.Admin, http.MethodDelete, "/plugins/{name}", "delete-plugin", "Remove a plugin with all its versions, here and from the agents"),
		func(ctx context.Context, in *oneInput) (*struct{}, error) {
			if err := r.deps.DB.DeletePlugin(ctx, entry(ctx, "plugin.delete", in.Name), in.Name); err != nil {
				return nil, r.fail(ctx, noPlugin(err, in.Name))
			}
			return nil, nil
		})
}

func noPlugin(err error, name string) error {
	return missing(err, "there is no plugin %q; `sentinelctl plugin ls` lists those there are", name)
}

// risingStages returns the stages of a roll-out, which end with 100.
func risingStages(said []int32) ([]int32, error) {
	if len(said) == 0 {
		return []int32{10, 100}, nil
	}
	last := int32(0)
	for _, percent := range said {
		if percent <= last || percent > 100 {
			return nil, wrong("body.stages", "are %v, want percents from 1 to 100 that rise", said)
		}
		last = percent
	}
	if last < 100 {
		said = append(said, 100)
	}
	return said, nil
}

func toPlugin(p postgres.Rollout) Plugin {
	out := Plugin{Name: p.Name, Version: p.Version, Digest: p.Digest, Previous: p.Previous, Selector: map[string]string{}, Stages: p.Stages, Stage: p.Stage, Hold: int(p.Hold.Seconds()), Halted: p.Halted,
		Agents: p.Agents, Running: p.Running, Failed: p.Failed, Waiting: p.Waiting, ChangedAt: p.ChangedAt}
	for _, l := range p.Selector {
		out.Selector[l.Name] = l.Value
	}
	return out
}

// Plugins returns all plugins, by name.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	var list PluginList
	err := c.call(ctx, http.MethodGet, "/plugins", nil, nil, &list)
	return list.Plugins, err
}

// PluginStates returns how a plugin stands on the agents; all plugins where name is
// empty.
func (c *Client) PluginStates(ctx context.Context, name string) ([]PluginState, error) {
	var list PluginStates
	q := url.Values{}
	if name != "" {
		q.Set("plugin", name)
	}
	err := c.call(ctx, http.MethodGet, "/plugin-states", q, nil, &list)
	return list.States, err
}

// AddPlugin uploads a bundle.
func (c *Client) AddPlugin(ctx context.Context, bundle []byte) (Bundle, error) {
	var out Bundle
	err := c.call(ctx, http.MethodPost, "/plugins", nil, NewPlugin{bundle}, &out)
	return out, err
}

// PluginBundle returns the bundle of a plugin that is rolled out.
func (c *Client) PluginBundle(ctx context.Context, name string) ([]byte, error) {
	var out NewPlugin
	err := c.call(ctx, http.MethodGet, "/plugins/"+url.PathEscape(name)+"/bundle", nil, nil, &out)
	return out.Content, err
}

// PutRollout rolls a version of a plugin out.
func (c *Client) PutRollout(ctx context.Context, name string, in NewRollout) error {
	return c.call(ctx, http.MethodPut, "/plugins/"+url.PathEscape(name)+"/rollout", nil, in, nil)
}

// DeletePlugin removes a plugin.
func (c *Client) DeletePlugin(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/plugins/"+url.PathEscape(name), nil, nil, nil)
}
