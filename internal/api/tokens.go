package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Token is an API token, without itself: that was shown once.
type Token struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role" enum:"viewer,operator,admin"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by,omitempty" doc:"Kind and name of who made it"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Missing where it does not expire"`
	LastUsed  *time.Time `json:"last_used,omitempty" doc:"True to the minute"`
}

// TokenList are all API tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// NewToken is what making a token needs.
type NewToken struct {
	Name string `json:"name" minLength:"1" maxLength:"255" doc:"What the token is for"`
	Role string `json:"role" enum:"viewer,operator,admin" doc:"At most the maker's own"`
	TTL  string `json:"ttl,omitempty" maxLength:"32" doc:"A duration such as 30d; without it the token does not expire"`
}

// IssuedToken is a new token, shown once.
type IssuedToken struct {
	Token
	Secret string `json:"secret" doc:"The token; it cannot be shown again"`
}

// RevokedToken says what revoking did.
type RevokedToken struct {
	Own bool `json:"own" doc:"It was the token of this very request: the next one with it is refused"`
}

func (r resources) tokens() {
	type listOutput struct{ Body TokenList }
	huma.Register(r.api, operation(postgres.Operator, http.MethodGet, "/tokens", "list-tokens", "List API tokens, expired ones included"),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			rows, err := r.deps.DB.Tokens(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &listOutput{}
			out.Body.Tokens = make([]Token, 0, len(rows))
			for _, t := range rows {
				out.Body.Tokens = append(out.Body.Tokens, toToken(t))
			}
			return out, nil
		})

	type createInput struct{ Body NewToken }
	type createOutput struct{ Body IssuedToken }
	create := operation(postgres.Operator, http.MethodPost, "/tokens", "create-token", "Make an API token and show it, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(r.api, create, func(ctx context.Context, in *createInput) (*createOutput, error) {
		ttl, err := tokenLife(callerOf(ctx).actor, in.Body)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		text, row, err := r.deps.People.IssueToken(ctx, entry(ctx, "token.create", ""), in.Body.Name, postgres.Role(in.Body.Role), ttl)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &createOutput{IssuedToken{toToken(row), text}}, nil
	})

	type oneInput struct {
		ID int64 `path:"token" minimum:"1"`
	}
	type revokeOutput struct{ Body RevokedToken }
	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/tokens/{token}", "revoke-token", "Revoke an API token of at most one's own role"),
		func(ctx context.Context, in *oneInput) (*revokeOutput, error) {
			actor := callerOf(ctx).actor
			t, err := r.deps.DB.Token(ctx, in.ID)
			if err != nil {
				return nil, r.fail(ctx, missing(err, "token %d does not exist; `sentinelctl token ls` lists tokens", in.ID))
			}
			if rank(t.Role) > rank(actor.Role) {
				return nil, r.fail(ctx, sentinel.Errorf(sentinel.Forbidden, "the token's role is %s, above your own, %s", t.Role, actor.Role))
			}
			by := entry(ctx, "token.revoke", strconv.FormatInt(in.ID, 10))
			by.Details = map[string]any{"name": t.Name, "role": t.Role}
			if err := r.deps.DB.DeleteToken(ctx, by, in.ID); err != nil {
				return nil, r.fail(ctx, missing(err, "token %d does not exist any more", in.ID))
			}
			return &revokeOutput{RevokedToken{Own: actor.Kind == postgres.ActorToken && actor.ID == in.ID}}, nil
		})
}

// tokenLife returns how long a new token lives. It gets neither a higher role than
// its maker nor, where that is a token that expires, a longer life.
func tokenLife(actor postgres.Actor, t NewToken) (ttl time.Duration, err error) {
	if rank(postgres.Role(t.Role)) > rank(actor.Role) {
		return 0, sentinel.Errorf(sentinel.Forbidden, "a token gets at most its maker's role, %s", actor.Role)
	}
	if t.TTL != "" {
		if ttl, err = sentinel.ParseDuration(t.TTL); err != nil || ttl < time.Second || ttl > 100*365*24*time.Hour {
			return 0, wrong("body.ttl", "want a duration of at least 1s such as 30d, not %.40q", t.TTL)
		}
	}
	if actor.Kind != postgres.ActorToken || actor.Expires.IsZero() {
		return ttl, nil
	}
	if left := time.Until(actor.Expires); ttl == 0 || ttl > left {
		return 0, wrong("body.ttl", "want at most %s: a token cannot outlive the one that makes it", left.Truncate(time.Second))
	}
	return ttl, nil
}

// missing says in words of its own that a row is not there.
func missing(err error, format string, args ...any) error {
	if sentinel.CodeOf(err) == sentinel.NotFound {
		return sentinel.Errorf(sentinel.NotFound, format, args...)
	}
	return err
}

func toToken(t postgres.Token) Token {
	return Token{ID: t.ID, Name: t.Name, Role: string(t.Role), CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy,
		ExpiresAt: timeOrNil(t.ExpiresAt), LastUsed: timeOrNil(t.LastUsedAt)}
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Tokens returns all tokens.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var out TokenList
	err := c.call(ctx, http.MethodGet, "/tokens", nil, nil, &out)
	return out.Tokens, err
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, t NewToken) (IssuedToken, error) {
	var out IssuedToken
	err := c.call(ctx, http.MethodPost, "/tokens", nil, t, &out)
	return out, err
}

// RevokeToken revokes a token.
func (c *Client) RevokeToken(ctx context.Context, id int64) (RevokedToken, error) {
	var out RevokedToken
	err := c.call(ctx, http.MethodDelete, "/tokens/"+strconv.FormatInt(id, 10), nil, nil, &out)
	return out, err
}
