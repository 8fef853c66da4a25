package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
)

// Key is one of an agent's keys, without its secret.
type Key struct {
	ID          string     `json:"id"`
	State       string     `json:"state" enum:"pending,active,retiring,revoked"`
	MasterKey   string     `json:"master_key" doc:"The id of the master key that seals it"`
	CreatedAt   time.Time  `json:"created_at"`
	ActivatedAt *time.Time `json:"activated_at,omitempty" doc:"When the agent had proven it"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty" doc:"When a retiring key's grace ends"`
}

// KeyList are an agent's keys, oldest first.
type KeyList struct {
	Keys []Key `json:"keys"`
}

// RotatedKey names the key that an agent is to get.
type RotatedKey struct {
	KeyID string `json:"key_id"`
}

func (r resources) keys() {
	type agentInput struct {
		Agent string `path:"agent"`
	}
	type listOutput struct{ Body KeyList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents/{agent}/keys", "list-keys", "List an agent's keys, oldest first"),
		func(ctx context.Context, in *agentInput) (*listOutput, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			rows, err := r.deps.DB.AgentKeys(ctx, a.ID)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &listOutput{KeyList{make([]Key, 0, len(rows))}}
			for _, k := range rows {
				out.Body.Keys = append(out.Body.Keys, toKey(k))
			}
			return out, nil
		})

	type rotateOutput struct{ Body RotatedKey }
	rotate := operation(postgres.Operator, http.MethodPost, "/agents/{agent}/keys", "rotate-key", "Replace an agent's key")
	rotate.Description += " The agent gets the new key in its session and proves it; only then the old key's grace begins. Asked again before that, it is the same key."
	rotate.DefaultStatus = http.StatusAccepted
	rotate.Errors = append(rotate.Errors, http.StatusConflict)
	huma.Register(r.api, rotate, func(ctx context.Context, in *agentInput) (*rotateOutput, error) {
		a, err := r.agent(ctx, in.Agent)
		if err != nil {
			return nil, err
		}
		id, err := r.deps.Identities.Rotate(ctx, entry(ctx, "key.rotate", string(a.Name)), a.ID, a.Name)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &rotateOutput{RotatedKey{id}}, nil
	})

	type oneInput struct {
		Agent string `path:"agent"`
		Key   string `path:"key" maxLength:"64"`
	}
	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/agents/{agent}/keys/{key}", "revoke-key", "Revoke a key: within seconds nothing signed with it is taken"),
		func(ctx context.Context, in *oneInput) (*struct{}, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			if err := clean("path.key", in.Key); err != nil {
				return nil, r.fail(ctx, err)
			}
			by := entry(ctx, "key.revoke", string(a.Name))
			by.Details = map[string]any{"key": in.Key}
			if err := r.deps.DB.RevokeKey(ctx, by, a.ID, in.Key); err != nil {
				return nil, r.fail(ctx, missing(err, "agent %s has no key %.64q; `sentinelctl agent keys` lists them", a.Name, in.Key))
			}
			return nil, nil
		})
}

func toKey(k postgres.AgentKey) Key {
	return Key{ID: k.KeyID, State: string(k.State), MasterKey: k.MasterKeyID, CreatedAt: k.CreatedAt,
		ActivatedAt: timeOrNil(k.ActivatedAt), ExpiresAt: timeOrNil(k.ExpiresAt)}
}

// Keys returns an agent's keys, oldest first.
func (c *Client) Keys(ctx context.Context, agent string) ([]Key, error) {
	var list KeyList
	err := c.call(ctx, http.MethodGet, "/agents/"+url.PathEscape(agent)+"/keys", nil, nil, &list)
	return list.Keys, err
}

// RotateKey asks for a new key of an agent and returns its id.
func (c *Client) RotateKey(ctx context.Context, agent string) (string, error) {
	var out RotatedKey
	err := c.call(ctx, http.MethodPost, "/agents/"+url.PathEscape(agent)+"/keys", nil, nil, &out)
	return out.KeyID, err
}

// RevokeKey makes a key refused.
func (c *Client) RevokeKey(ctx context.Context, agent, key string) error {
	return c.call(ctx, http.MethodDelete, "/agents/"+url.PathEscape(agent)+"/keys/"+url.PathEscape(key), nil, nil, nil)
}
