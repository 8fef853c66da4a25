package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Login is what signing in needs.
type Login struct {
	User     string `json:"user" maxLength:"255"`
	Password string `json:"password" maxLength:"4096"`
}

// PasswordChange is what changing one's own password needs.
type PasswordChange struct {
	Old string `json:"old" maxLength:"4096"`
	New string `json:"new" maxLength:"1024" doc:"At least 12 characters, any you like"`
}

// Who is the one who asks.
type Who struct {
	Kind      string     `json:"kind" enum:"user,token"`
	Name      string     `json:"name"`
	Role      string     `json:"role" enum:"viewer,operator,admin"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Of the session or token; missing where it does not expire"`
}

func (r resources) session() {
	type whoOutput struct{ Body Who }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/session", "who-am-i", "Show who asks, and what they may"),
		func(ctx context.Context, _ *struct{}) (*whoOutput, error) {
			return &whoOutput{toWho(callerOf(ctx).actor)}, nil
		})

	type loginInput struct{ Body Login }
	type loginOutput struct {
		SetCookie http.Cookie `header:"Set-Cookie"`
		Body      Who
	}
	login := public(http.MethodPost, "/session", "login", "Sign in: begin a session that a cookie carries")
	huma.Register(r.api, login, func(ctx context.Context, in *loginInput) (*loginOutput, error) {
		cookie, who, err := r.deps.People.Login(ctx, entry(ctx, "session.login", ""), in.Body.User, in.Body.Password, callerOf(ctx).cookie)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return &loginOutput{cookieOf(cookie, time.Until(who.Expires)), toWho(who)}, nil
	})

	type logoutOutput struct {
		SetCookie http.Cookie `header:"Set-Cookie"`
	}
	logout := operation(postgres.Viewer, http.MethodDelete, "/session", "logout", "Sign out: end this session")
	huma.Register(r.api, logout, func(ctx context.Context, _ *struct{}) (*logoutOutput, error) {
		c := callerOf(ctx)
		if c.actor.Kind != postgres.ActorUser {
			return nil, r.fail(ctx, sentinel.Errorf(sentinel.Conflict, "a token has no session; DELETE /api/v1/tokens/{token} revokes it"))
		}
		if err := r.deps.People.Logout(ctx, entry(ctx, "session.logout", c.actor.Name), c.cookie); err != nil {
			return nil, r.fail(ctx, err)
		}
		return &logoutOutput{cookieOf("", -time.Second)}, nil
	})

	type passwordInput struct{ Body PasswordChange }
	password := operation(postgres.Viewer, http.MethodPost, "/session/password", "change-password", "Change one's own password; all sessions end, this one too")
	password.Errors = append(password.Errors, http.StatusTooManyRequests)
	huma.Register(r.api, password, func(ctx context.Context, in *passwordInput) (*logoutOutput, error) {
		c := callerOf(ctx)
		if c.actor.Kind != postgres.ActorUser {
			return nil, r.fail(ctx, sentinel.Errorf(sentinel.Conflict, "a token has no password"))
		}
		if err := r.deps.People.ChangePassword(ctx, entry(ctx, "session.password", c.actor.Name), c.actor.Name, in.Body.Old, in.Body.New); err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &logoutOutput{cookieOf("", -time.Second)}, nil
	})
}

// cookieOf returns the session's cookie; with a life that is over it is removed.
func cookieOf(value string, life time.Duration) http.Cookie {
	return http.Cookie{Name: sessionCookie, Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

func toWho(a postgres.Actor) Who {
	return Who{Kind: string(a.Kind), Name: a.Name, Role: string(a.Role), ExpiresAt: timeOrNil(a.Expires)}
}

// Who returns who the client's token says it is.
func (c *Client) Who(ctx context.Context) (Who, error) {
	var out Who
	err := c.call(ctx, http.MethodGet, "/session", nil, nil, &out)
	return out, err
}
