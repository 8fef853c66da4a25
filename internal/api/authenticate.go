package api

import (
	"context"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// sessionCookie is a session's name in the browser. The prefix makes browsers
// refuse it without TLS, for another path, or from another host of the domain.
const sessionCookie = "__Host-sentinel"

// caller is what a request's middleware found out about it.
type caller struct {
	actor  postgres.Actor
	remote string
	cookie string // of the session; empty with a token
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// entry begins an entry of the audit log for what the caller does.
func entry(ctx context.Context, action, target string) postgres.Entry {
	c := callerOf(ctx)
	return postgres.Entry{Actor: c.actor, Action: action, Target: target, RequestID: requestID(ctx), Remote: c.remote}
}

// authenticate lets a request pass whose token or session has at least the
// operation's role.
func authenticate(api huma.API, deps Deps) func(huma.Context, func(huma.Context)) {
	crossOrigin := http.NewCrossOriginProtection()
	return func(ctx huma.Context, next func(huma.Context)) {
		r, _ := humago.Unwrap(ctx)
		c := caller{remote: r.RemoteAddr}
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			c.remote = host
		}
		need, known := ctx.Operation().Metadata[roleKey].(postgres.Role)
		open := ctx.Operation().Metadata[publicKey] == true
		err := identifyCaller(r, deps, crossOrigin, &c, open)
		if err == nil && !open && (!known || rank(c.actor.Role) < rank(need)) {
			err = sentinel.Errorf(sentinel.Forbidden, "the %s's role is %s, this needs %s", c.actor.Kind, c.actor.Role, need)
		}
		if err == nil {
			next(huma.WithValue(ctx, callerKey{}, c))
			return
		}
		status, message, details := problem(ctx.Context(), deps.Log, err)
		if status == http.StatusUnauthorized {
			ctx.SetHeader("WWW-Authenticate", "Bearer")
		}
		_ = huma.WriteErr(api, ctx, status, message, details...) // the client may be gone
	}
}

// identifyCaller finds out who asks. A browser adds cookies by itself, whatever page
// made it ask: without a token, what changes something must come from a page of this
// very server.
func identifyCaller(r *http.Request, deps Deps, crossOrigin *http.CrossOriginProtection, c *caller, open bool) (err error) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if bearer && !open {
		c.actor, err = deps.Registry.Authenticate(r.Context(), token)
		return err
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		c.cookie = cookie.Value
	}
	if !open {
		if c.cookie == "" {
			return sentinel.Errorf(sentinel.Unauthenticated, "a token is needed: send \"Authorization: Bearer …\"")
		}
		if c.actor, err = deps.Registry.Session(r.Context(), c.cookie); err != nil {
			return err
		}
	}
	if err := crossOrigin.Check(r); err != nil {
		return sentinel.Errorf(sentinel.Forbidden, "this request comes from a page of another site")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.ContentLength != 0 && !safe(r.Method) && kind != "application/json" {
		return sentinel.Errorf(sentinel.Forbidden, "without a token the body must be application/json")
	}
	return nil
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }
