// Package api is the REST interface, under /api/v1, and its client. Each resource
// has one file with its types, its handlers and its client methods. The interface
// describes itself as OpenAPI 3.1 at /openapi.json; errors are RFC 9457 problems.
// It owns the library that carries this.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

// Registry registers agents and knows who asks.
type Registry interface {
	Register(ctx context.Context, hostname string, labels []sentinel.Label) (sign.Credential, error)
	Change(ctx context.Context, by postgres.Entry, a postgres.Agent, ch postgres.AgentChange) (postgres.Agent, error)
	Authenticate(ctx context.Context, token string) (postgres.Actor, error)
	Session(ctx context.Context, cookie string) (postgres.Actor, error)
}

// Identities makes what agents identify themselves with.
type Identities interface {
	CreateEnrolmentToken(ctx context.Context, by postgres.Entry, t postgres.EnrolmentToken, ttl time.Duration) (string, postgres.EnrolmentToken, error)
	Rotate(ctx context.Context, by postgres.Entry, id int64, agent sentinel.AgentID) (string, error)
}

// People lets people in: their tokens, users and sessions. The entry says who asks
// for it, and goes to the audit log with the change.
type People interface {
	IssueToken(ctx context.Context, by postgres.Entry, name string, role postgres.Role, ttl time.Duration) (string, postgres.Token, error)
	Login(ctx context.Context, by postgres.Entry, user, password, before string) (cookie string, who postgres.Actor, err error)
	Logout(ctx context.Context, by postgres.Entry, cookie string) error
	Setup(ctx context.Context, by postgres.Entry, token, user, password string) (postgres.User, error)
	CreateUser(ctx context.Context, by postgres.Entry, user, password string, role postgres.Role) (postgres.User, error)
	ChangeUser(ctx context.Context, by postgres.Entry, u postgres.User, role postgres.Role, disabled *bool, password string) (postgres.User, error)
	ChangePassword(ctx context.Context, by postgres.Entry, user, old, password string) error
}

// Deps are the parts that the interface works with.
type Deps struct {
	Registry   Registry
	Identities Identities
	People     People
	DB         *postgres.DB
	Broker     Broker
	Version    string    // of the program
	Started    time.Time // of the process
	// CheckConfig says why no agent could take this YAML as what it is told to collect.
	CheckConfig func([]byte) error
	Select      func(ctx context.Context, selector string, limit int) ([]Selected, error) // finds series by a selector of PromQL
	// ReadPlugin says what an uploaded bundle is, or why no agent could take it.
	ReadPlugin func([]byte) (Bundle, error)
	Alerting   Alerting
	SelfTest   func(ctx context.Context) SelfTest // sends one marked sample through every stage
	CAPin      string                             // of the gateway's private authority; empty where it has none
	Log        *slog.Logger
}

const maxBody = 1 << 20

// New returns the handler of the interface. Every path but /openapi.json, /docs and
// those by which people come in wants a token, "Authorization: Bearer …", or the cookie of
// a session.
func New(deps Deps) http.Handler {
	config := huma.DefaultConfig("Sentinel", "v1")
	config.DocsPath, config.SchemasPath = "", "" // the viewer would load from other hosts
	config.CreateHooks = nil                     // no $schema links in answers
	config.Transformers = append(config.Transformers, identify)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer"}, "session": {Type: "apiKey", In: "cookie", Name: sessionCookie},
	}
	config.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	mux := http.NewServeMux()
	api := humago.New(mux, config)
	api.UseMiddleware(authenticate(api, deps))

	r := resources{deps: deps, api: api}
	r.agents()
	r.samples()
	r.fleet()
	r.graph()
	r.books()
	r.configs()
	r.events()
	r.keys()
	r.enrolment()
	r.tokens()
	r.users()
	r.session()
	r.audit()
	r.letters()
	r.plugins()
	r.rules()
	r.incidents()
	r.silences()
	r.notifications()
	r.backtests()
	r.status()
	r.selfTest()
	r.retention()
	schemas := api.OpenAPI().Components.Schemas.Map()
	if s := schemas["ErrorModel"]; s != nil {
		s.Properties["request_id"] = &huma.Schema{Type: huma.TypeString, Description: "That of the header X-Request-Id; the service's log has it"}
	}
	page, err := docsPage(api.OpenAPI())
	if err != nil {
		panic(err) // of what is compiled in: a bug
	}
	mux.HandleFunc("GET /docs", serveDocs(page))
	return around(mux, deps.Log)
}

// resources registers what the interface offers.
type resources struct {
	deps Deps
	api  huma.API
}

const (
	roleKey   = "role"
	publicKey = "public"
	// roleExtension says in the OpenAPI document what roleKey says here.
	roleExtension = "x-role"
)

// operation describes one route: who may use it is part of the description.
func operation(role postgres.Role, method, path, id, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/api/v1" + path, Summary: summary,
		Description: "Needs the role " + string(role) + ".", Metadata: map[string]any{roleKey: role}, MaxBodyBytes: maxBody,
		Extensions: map[string]any{roleExtension: role},
		Errors:     []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable},
	}
}

// public describes a route for those who are not known yet.
func public(method, path, id, summary string) huma.Operation {
	op := operation("", method, path, id, summary)
	op.Description = "Needs no token."
	op.Metadata = map[string]any{publicKey: true}
	op.Extensions = map[string]any{roleExtension: "none"}
	op.Security = []map[string][]string{{}}
	op.Errors = append(op.Errors, http.StatusTooManyRequests)
	return op
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

// agent returns the row of the agent in a path.
func (r resources) agent(ctx context.Context, name string) (postgres.Agent, error) {
	id := sentinel.AgentID(name)
	if err := id.Validate(); err != nil {
		return postgres.Agent{}, r.fail(ctx, wrong("path.agent", "%w", err))
	}
	a, err := r.deps.DB.AgentByName(ctx, id)
	if a.Synthetic || err != nil && sentinel.CodeOf(err) == sentinel.NotFound {
		return postgres.Agent{}, r.fail(ctx, sentinel.Errorf(sentinel.NotFound, "agent %q is not registered; `sentinelctl agent ls` lists those that are", name))
	}
	if err != nil {
		return a, r.fail(ctx, err)
	}
	return a, nil
}
