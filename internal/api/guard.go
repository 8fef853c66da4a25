package api

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Guard lets requests pass to h whose token or session has at least a role, for
// interfaces that have a form of their own; refuse answers the others in that form.
// The token comes as in the REST interface, or as the password of basic
// authentication with any user name, which is what some programs have a field for.
// What h serves must not change anything.
func Guard(deps Deps, role postgres.Role, h http.Handler, refuse func(w http.ResponseWriter, r *http.Request, status int, text string)) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !cleanRequestID(id) {
			id = sentinel.RandomName(10)
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey{}, id), requestPatience)
		defer cancel()
		r = r.WithContext(ctx)
		a := &answer{ResponseWriter: w}
		for name, value := range map[string]string{requestIDHeader: id, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			w.Header().Set(name, value)
		}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				deps.Log.Error("request failed", "request", id, "method", r.Method, "panic", p)
			}
			if a.status != 0 || p == http.ErrAbortHandler { //nolint:errorlint // likewise
				panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
			}
			refuse(a, r, http.StatusInternalServerError, "the service failed; its log says why")
		}()
		c := caller{remote: r.RemoteAddr}
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			c.remote = host
		}
		err := identifyReader(r, deps, crossOrigin, &c)
		if err == nil && rank(c.actor.Role) < rank(role) {
			err = sentinel.Errorf(sentinel.Forbidden, "the %s's role is %s, this needs %s", c.actor.Kind, c.actor.Role, role)
		}
		if err != nil {
			status, message, _ := problem(ctx, deps.Log, err)
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			refuse(a, r, status, message)
			return
		}
		h.ServeHTTP(a, r.WithContext(context.WithValue(ctx, callerKey{}, c)))
	})
}

// identifyReader finds out who asks. A page of another site must not ask with a
// browser's cookie: it could not read the answer, but cost us the work.
func identifyReader(r *http.Request, deps Deps, crossOrigin *http.CrossOriginProtection, c *caller) (err error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, token, ok = r.BasicAuth()
	}
	if ok {
		c.actor, err = deps.Registry.Authenticate(r.Context(), token)
		return err
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" {
		return sentinel.Errorf(sentinel.Unauthenticated, "a token is needed: send \"Authorization: Bearer …\"")
	}
	if c.actor, err = deps.Registry.Session(r.Context(), cookie.Value); err != nil {
		return err
	}
	if err := crossOrigin.Check(r); err != nil {
		return sentinel.Errorf(sentinel.Forbidden, "this request comes from a page of another site")
	}
	return nil
}
