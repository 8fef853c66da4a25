// Package api is the REST interface, under /api/v1, and its client. Each resource
// has one file with its types, its handlers and its client methods. The interface
// describes itself as OpenAPI 3.1 at /openapi.json; errors are RFC 9457 problems.
// It owns the library that carries this.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Registry registers agents and knows tokens.
type Registry interface {
	Register(ctx context.Context, hostname string, labels []sentinel.Label) (sign.Credential, error)
	Authenticate(ctx context.Context, token string) (postgres.Role, error)
}

// Deps are the parts that the interface works with.
type Deps struct {
	Registry Registry
	DB       *postgres.DB
	Log      *slog.Logger
}

const maxBody = 1 << 20

// New returns the handler of the interface. Every path but /openapi.json wants a
// token: "Authorization: Bearer …".
func New(deps Deps) http.Handler {
	config := huma.DefaultConfig("Sentinel", "v1")
	config.DocsPath, config.SchemasPath = "", "" // the viewer would load from other hosts
	config.CreateHooks = nil                     // no $schema links in answers
	config.Transformers = append(config.Transformers, identify)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	config.Security = []map[string][]string{{"token": {}}}
	mux := http.NewServeMux()
	api := humago.New(mux, config)
	api.UseMiddleware(authenticate(api, deps))

	r := resources{deps: deps, api: api}
	r.agents()
	r.samples()
	r.books()
	schemas := api.OpenAPI().Components.Schemas.Map()
	if s := schemas["ErrorModel"]; s != nil {
		s.Properties["request_id"] = &huma.Schema{Type: huma.TypeString, Description: "That of the header X-Request-Id; the service's log has it"}
	}
	return around(mux, deps.Log)
}

// resources registers what the interface offers.
type resources struct {
	deps Deps
	api  huma.API
}

const roleKey = "role"

// operation describes one route: who may use it is part of the description.
func operation(role postgres.Role, method, path, id, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary,
		Description: "Needs the role " + string(role) + ".", Metadata: map[string]any{roleKey: role}, MaxBodyBytes: maxBody,
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable},
	}
}

// rank orders the roles: each may do what those below it may.
func rank(r postgres.Role) int {
	switch r {
	case postgres.Viewer:
		return 1
	case postgres.Operator:
		return 2
	case postgres.Admin:
		return 3
	}
	return 0
}

// authenticate lets a request pass whose token has at least the operation's role.
func authenticate(api huma.API, deps Deps) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		token, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
		var role postgres.Role
		err := sentinel.Errorf(sentinel.Unauthenticated, "a token is needed: send \"Authorization: Bearer …\"")
		if ok {
			role, err = deps.Registry.Authenticate(ctx.Context(), token)
		}
		need, known := ctx.Operation().Metadata[roleKey].(postgres.Role)
		if err == nil && (!known || rank(role) < rank(need)) {
			err = sentinel.Errorf(sentinel.Forbidden, "the token's role is %s, this needs %s", role, need)
		}
		if err == nil {
			next(ctx)
			return
		}
		status, message, details := problem(ctx.Context(), deps.Log, err)
		if status == http.StatusUnauthorized {
			ctx.SetHeader("WWW-Authenticate", "Bearer")
		}
		_ = huma.WriteErr(api, ctx, status, message, details...) // the client may be gone
	}
}

// agent returns the row of the agent in a path.
func (r resources) agent(ctx context.Context, name string) (postgres.Agent, error) {
	id := sentinel.AgentID(name)
	if err := id.Validate(); err != nil {
		return postgres.Agent{}, r.fail(ctx, wrong("path.agent", "%w", err))
	}
	a, err := r.deps.DB.AgentByName(ctx, id)
	if err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return a, r.fail(ctx, sentinel.Errorf(sentinel.NotFound, "agent %q is not registered; `sentinelctl agent ls` lists those that are", name))
	}
	if err != nil {
		return a, r.fail(ctx, err)
	}
	return a, nil
}
