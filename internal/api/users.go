package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// User is a person who signs in with a password.
type User struct {
	Name       string     `json:"name"`
	Role       string     `json:"role" enum:"viewer,operator,admin"`
	CreatedAt  time.Time  `json:"created_at"`
	PasswordAt time.Time  `json:"password_at" doc:"When the password was set"`
	LastLogin  *time.Time `json:"last_login,omitempty"`
	Disabled   bool       `json:"disabled"`
}

// UserList are all users.
type UserList struct {
	Users []User `json:"users"`
}

// NewUser is what making a user needs.
type NewUser struct {
	Name     string `json:"name" minLength:"1" maxLength:"64"`
	Role     string `json:"role" enum:"viewer,operator,admin"`
	Password string `json:"password" maxLength:"1024" doc:"At least 12 characters, any you like"`
}

// UserPatch says what of a user is to be different; what is missing stays.
type UserPatch struct {
	Role     string `json:"role,omitempty" enum:"viewer,operator,admin"`
	Disabled *bool  `json:"disabled,omitempty"`
	Password string `json:"password,omitempty" maxLength:"1024"`
}

// Setup makes the first user.
type Setup struct {
	Token    string `json:"token" maxLength:"128" doc:"Of sentinel-server setup-token"`
	User     string `json:"user" minLength:"1" maxLength:"64"`
	Password string `json:"password" maxLength:"1024" doc:"At least 12 characters, any you like"`
}

func (r resources) users() {
	type userOutput struct{ Body User }
	type setupInput struct{ Body Setup }
	setup := public(http.MethodPost, "/setup", "setup", "Make the first user, an administrator, for a setup token")
	setup.DefaultStatus = http.StatusCreated
	huma.Register(r.api, setup, func(ctx context.Context, in *setupInput) (*userOutput, error) {
		u, err := r.deps.People.Setup(ctx, entry(ctx, "setup.redeem", ""), in.Body.Token, in.Body.User, in.Body.Password)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &userOutput{toUser(u)}, nil
	})

	type listOutput struct{ Body UserList }
	huma.Register(r.api, operation(postgres.Admin, http.MethodGet, "/users", "list-users", "List users"),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			rows, err := r.deps.DB.Users(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := &listOutput{}
			out.Body.Users = make([]User, 0, len(rows))
			for _, u := range rows {
				out.Body.Users = append(out.Body.Users, toUser(u))
			}
			return out, nil
		})

	type createInput struct{ Body NewUser }
	create := operation(postgres.Admin, http.MethodPost, "/users", "create-user", "Make a user")
	create.DefaultStatus = http.StatusCreated
	huma.Register(r.api, create, func(ctx context.Context, in *createInput) (*userOutput, error) {
		u, err := r.deps.People.CreateUser(ctx, entry(ctx, "user.create", ""), in.Body.Name, in.Body.Password, postgres.Role(in.Body.Role))
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &userOutput{toUser(u)}, nil
	})

	type patchInput struct {
		User string `path:"user" maxLength:"64"`
		Body UserPatch
	}
	patch := operation(postgres.Admin, http.MethodPatch, "/users/{user}", "change-user", "Change a user; another role, a new password or being disabled ends all sessions at once")
	huma.Register(r.api, patch, func(ctx context.Context, in *patchInput) (*userOutput, error) {
		if in.Body == (UserPatch{}) {
			return nil, r.fail(ctx, wrong("body", "says nothing that is to be different"))
		}
		u, err := r.otherUser(ctx, in.User)
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		u, err = r.deps.People.ChangeUser(ctx, entry(ctx, "user.change", ""), u, postgres.Role(in.Body.Role), in.Body.Disabled, in.Body.Password)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &userOutput{toUser(u)}, nil
	})

	type deleteInput struct {
		User string `path:"user" maxLength:"64"`
	}
	remove := operation(postgres.Admin, http.MethodDelete, "/users/{user}", "delete-user", "Remove a user and all sessions; tokens stay")
	huma.Register(r.api, remove, func(ctx context.Context, in *deleteInput) (*struct{}, error) {
		u, err := r.otherUser(ctx, in.User)
		if err == nil {
			err = r.deps.DB.DeleteUser(ctx, entry(ctx, "user.delete", u.Name), u.ID)
		}
		if err != nil {
			return nil, r.fail(ctx, err)
		}
		return nil, nil
	})
}

// otherUser returns a user for an administrator to change. Never themselves: so the
// last administrator cannot lock everybody out by mistake.
func (r resources) otherUser(ctx context.Context, name string) (postgres.User, error) {
	if err := clean("path.user", name); err != nil {
		return postgres.User{}, err
	}
	u, err := r.deps.DB.UserByName(ctx, strings.ToLower(name))
	if err != nil {
		return u, missing(err, "user %q does not exist; `sentinelctl user ls` lists users", name)
	}
	if a := callerOf(ctx).actor; a.Kind == postgres.ActorUser && a.ID == u.ID {
		return u, sentinel.Errorf(sentinel.Conflict, "this is yourself: another administrator may do that, and POST /api/v1/session/password changes your password")
	}
	return u, nil
}

func toUser(u postgres.User) User {
	return User{Name: u.Name, Role: string(u.Role), CreatedAt: u.CreatedAt, PasswordAt: u.PasswordAt,
		LastLogin: timeOrNil(u.LastLoginAt), Disabled: !u.DisabledAt.IsZero()}
}

// Users returns all users.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	var out UserList
	err := c.call(ctx, http.MethodGet, "/users", nil, nil, &out)
	return out.Users, err
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, u NewUser) (User, error) {
	var out User
	err := c.call(ctx, http.MethodPost, "/users", nil, u, &out)
	return out, err
}

// ChangeUser changes a user.
func (c *Client) ChangeUser(ctx context.Context, name string, p UserPatch) (User, error) {
	var out User
	err := c.call(ctx, http.MethodPatch, "/users/"+url.PathEscape(name), nil, p, &out)
	return out, err
}

// DeleteUser removes a user.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/users/"+url.PathEscape(name), nil, nil, nil)
}

// Setup makes the first user.
func (c *Client) Setup(ctx context.Context, s Setup) (User, error) {
	var out User
	err := c.call(ctx, http.MethodPost, "/setup", nil, s, &out)
	return out, err
}
