package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
)

const password = "correct horse battery"

// call is how a test uses one operation.
type call struct {
	path    string // with its parameters filled in
	body    string
	session bool // only a session can do it
}

// calls prepares a call of each operation that succeeds, by its operation id. An
// operation that is not here makes the tests that walk the OpenAPI document fail.
func (f *fixture) calls(t *testing.T) map[string]func() call {
	agent := string(f.store(t, "web-1").Name)
	one := "/api/v1/agents/" + agent
	token := func() string {
		_, row, err := f.registry.IssueToken(t.Context(), fleet.Console("test"), "t", postgres.Viewer, 0)
		must(t, err)
		return fmt.Sprint(row.ID)
	}
	agentAndKey := func() (string, string) {
		cred, err := f.registry.Register(t.Context(), "rotating", nil)
		must(t, err)
		return string(cred.Agent), cred.Key.ID
	}
	n := 0
	user := func() string {
		n++
		name := fmt.Sprintf("user-%d", n)
		_, err := f.db.CreateUser(t.Context(), fleet.Console("test"), name, "phc", postgres.Viewer)
		must(t, err)
		return name
	}
	get := func(path string) func() call { return func() call { return call{path: path} } }
	return map[string]func() call{
		"list-agents":    get("/api/v1/agents"),
		"get-agent":      get(one),
		"get-latest":     get(one + "/latest"),
		"get-range":      get(one + "/range?metric=test_value"),
		"get-books":      get(one + "/books"),
		"register-agent": func() call { return call{path: "/api/v1/agents", body: `{"hostname":"new"}`} },
		"change-agent":   func() call { return call{path: one, body: `{"labels":{"site":"fra"}}`} },
		"delete-agent": func() call {
			cred, err := f.registry.Register(t.Context(), "gone", nil)
			must(t, err)
			return call{path: "/api/v1/agents/" + string(cred.Agent)}
		},
		"list-keys": get(one + "/keys"),
		"rotate-key": func() call {
			agent, _ := agentAndKey()
			return call{path: "/api/v1/agents/" + agent + "/keys"}
		},
		"revoke-key": func() call {
			agent, key := agentAndKey()
			return call{path: "/api/v1/agents/" + agent + "/keys/" + key}
		},
		"list-events":        get("/api/v1/events"),
		"stream-events":      get("/api/v1/events/stream?seconds=0"),
		"list-agent-configs": get("/api/v1/agent-configs"),
		"put-agent-config":   func() call { return call{path: "/api/v1/agent-configs/fast", body: `{"content":"interval: 5s"}`} },
		"delete-agent-config": func() call {
			_, err := f.db.PutAgentConfig(t.Context(), fleet.Console("test"), postgres.AgentConfig{Name: "gone", Content: "interval: 5s"})
			must(t, err)
			return call{path: "/api/v1/agent-configs/gone"}
		},
		"list-enrolment-tokens":  get("/api/v1/enrolment-tokens"),
		"create-enrolment-token": func() call { return call{path: "/api/v1/enrolment-tokens", body: `{"name":"site"}`} },
		"revoke-enrolment-token": func() call {
			_, row, err := f.registry.CreateEnrolmentToken(t.Context(), fleet.Console("test"), postgres.EnrolmentToken{Name: "t", MaxUses: 1}, time.Hour)
			must(t, err)
			return call{path: fmt.Sprint("/api/v1/enrolment-tokens/", row.ID)}
		},
		"list-tokens":  get("/api/v1/tokens"),
		"create-token": func() call { return call{path: "/api/v1/tokens", body: `{"name":"ci","role":"viewer","ttl":"1h"}`} },
		"revoke-token": func() call { return call{path: "/api/v1/tokens/" + token()} },
		"list-users":   get("/api/v1/users"),
		"create-user": func() call {
			n++
			return call{path: "/api/v1/users", body: fmt.Sprintf(`{"name":"new-%d","role":"viewer","password":%q}`, n, password)}
		},
		"change-user": func() call { return call{path: "/api/v1/users/" + user(), body: `{"disabled":true}`} },
		"delete-user": func() call { return call{path: "/api/v1/users/" + user()} },
		"who-am-i":    get("/api/v1/session"),
		"login": func() call {
			return call{path: "/api/v1/session", body: fmt.Sprintf(`{"user":"ann","password":%q}`, password)}
		},
		"logout": func() call { return call{path: "/api/v1/session", session: true} },
		"change-password": func() call {
			return call{path: "/api/v1/session/password", session: true, body: fmt.Sprintf(`{"old":%q,"new":%q}`, password, password)}
		},
		"setup": func() call {
			users, err := f.db.Users(t.Context())
			must(t, err)
			for _, u := range users {
				must(t, f.db.DeleteUser(t.Context(), fleet.Console("test"), u.ID))
			}
			token, err := f.registry.CreateSetupToken(t.Context())
			must(t, err)
			return call{path: "/api/v1/setup", body: fmt.Sprintf(`{"token":%q,"user":"ann","password":%q}`, token, password)}
		},
		"get-fleet":    get("/api/v1/fleet"),
		"get-graph":    get("/api/v1/graph?match=test_value"),
		"list-plugins": get("/api/v1/plugins"),
		"get-plugin-bundle": func() call {
			f.addPlugin(t, "kept")
			must(t, f.db.PutRollout(t.Context(), fleet.Console("test"), postgres.Rollout{Name: "kept", Version: "1.0.0", Stages: []int32{100}}))
			return call{path: "/api/v1/plugins/kept/bundle"}
		},
		"list-plugin-states": get("/api/v1/plugin-states?plugin=probe"),
		"add-plugin":         func() call { return call{path: "/api/v1/plugins", body: `{"content":"cHJvYmU="}`} },
		"put-plugin-rollout": func() call {
			f.addPlugin(t, "probe")
			return call{path: "/api/v1/plugins/probe/rollout", body: `{"version":"1.0.0"}`}
		},
		"delete-plugin": func() call {
			f.addPlugin(t, "gone")
			return call{path: "/api/v1/plugins/gone"}
		},
		"get-status":    get("/api/v1/status"),
		"get-retention": get("/api/v1/retention?raw=3"),
		"put-retention": func() call {
			return call{path: "/api/v1/retention", body: `{"raw_days":30,"minute_days":90,"hour_days":null}`}
		},
		"test-pipeline":      get("/api/v1/pipeline/self-test"),
		"list-audit":         get("/api/v1/audit"),
		"list-dead-letters":  get("/api/v1/dead-letters"),
		"get-dead-letter":    func() call { return call{path: "/api/v1/dead-letters/" + f.letter(t, agent)} },
		"replay-dead-letter": func() call { return call{path: "/api/v1/dead-letters/" + f.letter(t, agent) + "/replay"} },
		"purge-dead-letter":  func() call { return call{path: "/api/v1/dead-letters/" + f.letter(t, agent)} },
		"purge-dead-letters": get("/api/v1/dead-letters?agent=" + agent),

		"list-rules":         get("/api/v1/rules"),
		"get-rule":           func() call { return call{path: f.rule(t, "shown")} },
		"list-rule-versions": func() call { return call{path: f.rule(t, "shown") + "/versions"} },
		"put-rule": func() call {
			return call{path: "/api/v1/rules/g/Hot", body: `{"yaml":"{alert: Hot, series: t, condition: above 30}"}`}
		},
		"delete-rule": func() call { return call{path: f.rule(t, "gone")} },
		"apply-rules": func() call {
			return call{path: "/api/v1/rules", body: `{"yaml":"groups: [{name: g, rules: [{alert: Hot, series: t, condition: above 31}]}]"}`}
		},
		"run-backtest": func() call {
			return call{path: "/api/v1/backtests", body: `{"since":"2h","yaml":"groups: [{name: g, rules: [{alert: Hot, series: test_value, condition: above 0}]}]"}`}
		},
		"list-incidents": get("/api/v1/incidents?state=firing"),
		"get-incident":   func() call { return call{path: "/api/v1/incidents/" + f.incident(t, agent)} },
		"ack-incident": func() call {
			return call{path: "/api/v1/incidents/" + f.incident(t, agent) + "/ack", body: `{"comment":"mine"}`}
		},
		"list-silences":   get("/api/v1/silences"),
		"preview-silence": get("/api/v1/silences/preview?matcher=alertname%3D%22Hot%22"),
		"create-silence": func() call {
			return call{path: "/api/v1/silences", body: `{"matchers":["alertname=\"Hot\""],"comment":"works","lasts":"1h"}`}
		},
		"expire-silence": func() call { return call{path: "/api/v1/silences/" + f.silence(t)} },

		"get-notification-config": get("/api/v1/notifications/config"),
		"put-notification-config": func() call {
			return call{path: "/api/v1/notifications/config", body: `{"yaml":"{route: {receiver: a}, receivers: [{name: a, webhook: [{url: \"https://hooks.example/sntl_hidden\"}]}]}"}`}
		},
		"list-receivers":      get("/api/v1/notifications/receivers"),
		"test-receiver":       func() call { return call{path: "/api/v1/notifications/test", body: `{"channel":"a/webhook/0"}`} },
		"explain-route":       get("/api/v1/notifications/explain?label=alertname%3DHot"),
		"list-deliveries":     get("/api/v1/notifications/deliveries?failed=true"),
		"list-undelivered":    get("/api/v1/notifications/undelivered"),
		"replay-undelivered":  func() call { return call{path: "/api/v1/notifications/undelivered/00aa/replay"} },
		"discard-undelivered": get("/api/v1/notifications/undelivered/00aa"),
	}
}

// addPlugin keeps a bundle of a plugin.
func (f *fixture) addPlugin(t *testing.T, name string) {
	t.Helper()
	_, err := f.db.AddPlugin(t.Context(), fleet.Console("test"), postgres.PluginBundle{Name: name, Version: "1.0.0", Digest: name}, []byte(name))
	must(t, err)
}

// roles is who may do what: a route that moves to another role does so here too.
var roles = map[string]string{
	"setup": "none", "login": "none",
	"logout": "viewer", "change-password": "viewer", "who-am-i": "viewer",
	"list-agents": "viewer", "get-agent": "viewer", "get-latest": "viewer", "get-range": "viewer", "get-books": "viewer",
	"list-dead-letters": "viewer", "get-dead-letter": "viewer", "get-status": "viewer", "test-pipeline": "operator", "get-retention": "viewer", "put-retention": "admin", "get-fleet": "viewer", "get-graph": "viewer",
	"list-keys": "viewer", "rotate-key": "operator", "revoke-key": "operator",
	"list-events": "viewer", "stream-events": "viewer",
	"list-agent-configs": "viewer", "put-agent-config": "operator", "delete-agent-config": "operator",
	"list-enrolment-tokens": "operator", "create-enrolment-token": "operator", "revoke-enrolment-token": "operator",
	"register-agent": "operator", "change-agent": "operator", "replay-dead-letter": "operator",
	"list-tokens": "operator", "create-token": "operator", "revoke-token": "operator",
	"list-plugins": "viewer", "list-plugin-states": "viewer", "get-plugin-bundle": "viewer", "add-plugin": "admin", "put-plugin-rollout": "admin", "delete-plugin": "admin",
	"delete-agent": "admin", "purge-dead-letter": "admin", "purge-dead-letters": "admin", "list-audit": "admin",
	"list-rules": "viewer", "get-rule": "viewer", "list-rule-versions": "viewer", "put-rule": "operator", "delete-rule": "operator", "apply-rules": "operator", "run-backtest": "operator",
	"list-incidents": "viewer", "get-incident": "viewer", "ack-incident": "operator",
	"list-silences": "viewer", "preview-silence": "viewer", "create-silence": "operator", "expire-silence": "operator",
	"get-notification-config": "viewer", "put-notification-config": "admin", "list-receivers": "viewer", "test-receiver": "operator", "explain-route": "viewer",
	"list-deliveries": "viewer", "list-undelivered": "viewer", "replay-undelivered": "operator", "discard-undelivered": "operator",
	"list-users": "admin", "create-user": "admin", "change-user": "admin", "delete-user": "admin",
}

// login makes the user ann where there is none, and returns a cookie of hers.
func (f *fixture) login(t *testing.T) *http.Cookie {
	t.Helper()
	if _, err := f.db.UserByName(t.Context(), "ann"); err != nil {
		_, err := f.registry.CreateUser(t.Context(), fleet.Console("test"), "ann", password, postgres.Admin)
		must(t, err)
	}
	w := f.ask(t, "none", "POST", "/api/v1/session", fmt.Sprintf(`{"user":"ann","password":%q}`, password))
	if w.Code != 200 || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0]
}

// session returns a session that is good: the last one, where it still is.
func (f *fixture) session(t *testing.T) *http.Cookie {
	t.Helper()
	if f.cookie == nil || f.browse(t, f.cookie, "GET", "/api/v1/session", "").Code != http.StatusOK {
		f.cookie = f.login(t)
	}
	return f.cookie
}

// browse sends a request as a browser does: with a cookie, from a page of a site.
func (f *fixture) browse(t *testing.T, cookie *http.Cookie, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "https://sentinel.test"+target, strings.NewReader(body))
	if cookie != nil {
		r.AddCookie(cookie)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

func (f *fixture) lastEntry(t *testing.T) postgres.Entry {
	t.Helper()
	log, err := f.db.AuditLog(t.Context(), postgres.AuditFilter{Limit: 1})
	must(t, err)
	if len(log) == 0 {
		return postgres.Entry{}
	}
	return log[0]
}

// TestEveryOperation walks the OpenAPI document: every operation refuses who may
// not use it, all in the same words, lets in who may, and leaves an entry in the
// audit log where it changes something.
func TestEveryOperation(t *testing.T) {
	f := newFixture(t)
	calls := f.calls(t)
	ranks := map[string]int{"viewer": 1, "operator": 2, "admin": 3}
	for path, operations := range f.openapi(t).Paths {
		for method, op := range operations {
			method = strings.ToUpper(method)
			prepare := calls[op.OperationID]
			if prepare == nil {
				t.Errorf("%s %s (%s) is not tested: add it to calls", method, path, op.OperationID)
				continue
			}
			delete(calls, op.OperationID)
			t.Run(op.OperationID, func(t *testing.T) {
				if op.Role == "" || op.Role != roles[op.OperationID] {
					t.Fatalf("the document says that %q may use it, want %q", op.Role, roles[op.OperationID])
				}
				refusals := map[string]bool{}
				for _, who := range []string{"none", "garbage", "expired", "viewer", "operator", "admin"} {
					c := prepare()
					switch {
					case op.Role == "none":
					case ranks[who] == 0:
						w := f.ask(t, who, method, c.path, c.body)
						p := wantProblem(t, w, 401, "")
						if who != "none" {
							refusals[p.Detail] = true
						}
						if w.Header().Get("WWW-Authenticate") != "Bearer" {
							t.Error("WWW-Authenticate is missing")
						}
					case ranks[who] < ranks[op.Role]:
						wantProblem(t, f.ask(t, who, method, c.path, c.body), 403, "")
					default:
						if w := f.ask(t, who, method, c.path, c.body); w.Code == 401 || w.Code == 403 || (w.Code >= 300 && !c.session) {
							t.Errorf("%s: %d %s", who, w.Code, w.Body)
						}
					}
				}
				if len(refusals) > 1 {
					t.Errorf("bad tokens are told apart: %v", refusals)
				}
				f.succeeds(t, method, op.OperationID, prepare)
			})
		}
	}
	for id := range calls {
		t.Errorf("%s is not in the document any more", id)
	}
}

// succeeds wants that a call works and, where it changes something, that the audit
// log says who did it.
func (f *fixture) succeeds(t *testing.T, method, id string, prepare func() call) {
	t.Helper()
	var cookie *http.Cookie
	if id != "setup" {
		cookie = f.session(t)
	}
	c := prepare()
	before := f.lastEntry(t)
	w := f.browse(t, cookie, method, c.path, c.body, "X-Request-Id", "req-"+id)
	if w.Code >= 300 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := f.lastEntry(t)
	if method == "GET" {
		if e.ID != before.ID {
			t.Errorf("only reading left an entry: %+v", e)
		}
		return
	}
	if e.ID == before.ID || e.RequestID != "req-"+id || e.Actor.Name != "ann" || e.Actor.Kind != postgres.ActorUser || e.Remote == "" || e.Action == "" {
		t.Errorf("the audit log does not say who did it: %+v", e)
	}
	raw, err := json.Marshal(e)
	must(t, err)
	if strings.Contains(string(raw), password) || strings.Contains(string(raw), "sntl_") || strings.Contains(string(raw), "snts_") || strings.Contains(string(raw), "sntu_") {
		t.Errorf("P20: a secret is in the audit log: %s", raw)
	}
}

func TestSessionCookie(t *testing.T) {
	f := newFixture(t)
	cookie := f.login(t)
	if cookie.Name != "__Host-sentinel" || !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" ||
		cookie.Domain != "" || cookie.MaxAge < 6*24*3600 || cookie.MaxAge > 7*24*3600 || len(cookie.Value) < 43 {
		t.Errorf("%+v", cookie)
	}
	var who api.Who
	w := f.browse(t, cookie, "GET", "/api/v1/session", "")
	must(t, json.Unmarshal(w.Body.Bytes(), &who))
	if who.Kind != "user" || who.Name != "ann" || who.Role != "admin" || who.ExpiresAt == nil {
		t.Errorf("%+v", who)
	}
	// Signing in again ends the session before; signing out ends this one.
	again := f.browse(t, cookie, "POST", "/api/v1/session", fmt.Sprintf(`{"user":"ann","password":%q}`, password)).Result().Cookies()[0]
	if w := f.browse(t, cookie, "GET", "/api/v1/session", ""); w.Code != 401 {
		t.Errorf("the session before goes on: %d", w.Code)
	}
	w = f.browse(t, again, "DELETE", "/api/v1/session", "")
	if gone := w.Result().Cookies(); w.Code != 204 || len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("%d %+v", w.Code, gone)
	}
	if w := f.browse(t, again, "GET", "/api/v1/session", ""); w.Code != 401 {
		t.Errorf("the session goes on after signing out: %d", w.Code)
	}
	wantProblem(t, f.ask(t, "admin", "DELETE", "/api/v1/session", ""), 409, "")
}

func TestOtherSitesCannotUseASession(t *testing.T) {
	f := newFixture(t)
	cookie := f.login(t)
	const body = `{"name":"ci","role":"viewer"}`
	for _, tt := range []struct {
		name   string
		header []string
		status int
	}{
		{"this site", []string{"Origin", "https://sentinel.test"}, 201},
		{"an old browser on this site", []string{"Sec-Fetch-Site", "", "Origin", "https://sentinel.test"}, 201},
		{"another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"}, 403},
		{"another host of the domain", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://www.sentinel.test"}, 403},
		{"an old browser on another site", []string{"Sec-Fetch-Site", "", "Origin", "https://evil.test"}, 403},
		{"an origin that is hidden", []string{"Sec-Fetch-Site", "", "Origin", "null"}, 403},
		{"a form", []string{"Content-Type", "text/plain"}, 403},
		{"a form of files", []string{"Content-Type", "multipart/form-data; boundary=x"}, 403},
		{"no content type", []string{"Content-Type", ""}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if w := f.browse(t, cookie, "POST", "/api/v1/tokens", body, tt.header...); w.Code != tt.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	// Nor can they sign somebody in, as whom they like.
	w := f.browse(t, nil, "POST", "/api/v1/session", fmt.Sprintf(`{"user":"ann","password":%q}`, password), "Sec-Fetch-Site", "cross-site")
	wantProblem(t, w, 403, "")
	// A token is sent on purpose: nothing of this is asked of it.
	r := httptest.NewRequest("POST", "https://sentinel.test/api/v1/tokens", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+f.tokens["admin"])
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	rec := httptest.NewRecorder()
	f.handler.ServeHTTP(rec, r)
	if rec.Code != 201 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	f := newFixture(t)
	f.login(t)
	var last *httptest.ResponseRecorder
	for i := 0; last == nil || last.Code != 429; i++ { // a slow machine may outlast the first delays
		last = f.ask(t, "none", "POST", "/api/v1/session", `{"user":"ann","password":"wrong"}`)
		if (last.Code != 401 && i < 3) || i > 12 {
			t.Fatalf("attempt %d: %d %s", i, last.Code, last.Body)
		}
	}
	wantProblem(t, last, 429, "")
	if n, err := strconv.Atoi(last.Header().Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After is %q", last.Header().Get("Retry-After"))
	}
	// The right password is not looked at either.
	if w := f.ask(t, "none", "POST", "/api/v1/session", fmt.Sprintf(`{"user":"ann","password":%q}`, password)); w.Code != 429 {
		t.Errorf("%d", w.Code)
	}
}

func TestTokensGiveNoMoreThanTheirMakerHas(t *testing.T) {
	f := newFixture(t)
	wantProblem(t, f.ask(t, "operator", "POST", "/api/v1/tokens", `{"name":"x","role":"admin"}`), 403, "")
	short, _, err := f.registry.IssueToken(t.Context(), fleet.Console("test"), "short", postgres.Admin, time.Hour)
	must(t, err)
	f.tokens["short"] = short
	wantProblem(t, f.ask(t, "short", "POST", "/api/v1/tokens", `{"name":"x","role":"admin"}`), 422, "body.ttl")
	wantProblem(t, f.ask(t, "short", "POST", "/api/v1/tokens", `{"name":"x","role":"admin","ttl":"2h"}`), 422, "body.ttl")
	w := f.ask(t, "short", "POST", "/api/v1/tokens", `{"name":"x","role":"operator","ttl":"30m"}`)
	var made api.IssuedToken
	must(t, json.Unmarshal(w.Body.Bytes(), &made))
	if w.Code != 201 || made.ExpiresAt == nil || !strings.HasPrefix(made.CreatedBy, "token:") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	f.tokens["made"] = made.Secret
	if w := f.ask(t, "made", "GET", "/api/v1/tokens", ""); w.Code != 200 || strings.Contains(w.Body.String(), made.Secret) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A lower role revokes no higher one; one's own is said to be.
	tokens, err := f.db.Tokens(t.Context())
	must(t, err)
	i := slices.IndexFunc(tokens, func(t postgres.Token) bool { return t.Name == "short" })
	wantProblem(t, f.ask(t, "made", "DELETE", fmt.Sprintf("/api/v1/tokens/%d", tokens[i].ID), ""), 403, "")
	w = f.ask(t, "made", "DELETE", fmt.Sprintf("/api/v1/tokens/%d", made.ID), "")
	if !strings.Contains(w.Body.String(), `"own":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, f.ask(t, "made", "GET", "/api/v1/agents", ""), 401, "")
	wantProblem(t, f.ask(t, "admin", "DELETE", fmt.Sprintf("/api/v1/tokens/%d", made.ID), ""), 404, "")
}

func TestUsersByREST(t *testing.T) {
	f := newFixture(t)
	cookie := f.login(t)
	for body, field := range map[string]string{
		`{"name":"Bob","role":"viewer","password":"short"}`:                    "body",
		`{"name":"a b","role":"viewer","password":"correct horse battery"}`:    "body",
		`{"name":"bob","role":"root","password":"correct horse battery"}`:      "body.role",
		`{"name":"bob","role":"viewer","password":"correct horse","admin":1}`:  "body.admin",
		`{"name":"bob\u0000","role":"viewer","password":"correct horse batt"}`: "body",
	} {
		wantProblem(t, f.ask(t, "admin", "POST", "/api/v1/users", body), 422, field)
	}
	if w := f.ask(t, "admin", "POST", "/api/v1/users", `{"name":"Bob","role":"viewer","password":"correct horse battery"}`); w.Code != 201 || strings.Contains(w.Body.String(), "argon2") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, f.ask(t, "admin", "POST", "/api/v1/users", `{"name":"bob","role":"viewer","password":"correct horse battery"}`), 409, "")
	wantProblem(t, f.ask(t, "admin", "PATCH", "/api/v1/users/bob", `{}`), 422, "body")
	wantProblem(t, f.ask(t, "admin", "PATCH", "/api/v1/users/nobody", `{"disabled":true}`), 404, "")
	// Nobody locks themselves out.
	wantProblem(t, f.browse(t, cookie, "PATCH", "/api/v1/users/ann", `{"disabled":true}`), 409, "")
	wantProblem(t, f.browse(t, cookie, "DELETE", "/api/v1/users/Ann", ""), 409, "")
	// Being disabled ends every session at once.
	if w := f.ask(t, "admin", "PATCH", "/api/v1/users/ann", `{"disabled":true}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, f.browse(t, cookie, "GET", "/api/v1/session", ""), 401, "")
	if w := f.ask(t, "admin", "DELETE", "/api/v1/users/bob", ""); w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestAuditPages(t *testing.T) {
	f := newFixture(t)
	for i := range 7 {
		e := fleet.Console("thing.change")
		e.Target = fmt.Sprint(i)
		must(t, f.db.Audit(t.Context(), e))
	}
	for _, tt := range []struct{ query, first string }{{"", "6"}, {"&since=0", "0"}} {
		var got []string
		for after := ""; ; {
			w := f.ask(t, "admin", "GET", "/api/v1/audit?action=thing&limit=3"+tt.query+"&after="+after, "")
			var page api.AuditPage
			must(t, json.Unmarshal(w.Body.Bytes(), &page))
			for _, e := range page.Entries {
				got = append(got, e.Target)
			}
			if after = page.Next; after == "" || len(got) > 7 {
				break
			}
		}
		if slices.Sort(got[1:]); len(got) != 7 || got[0] != tt.first {
			t.Errorf("%s: %v", tt.query, got)
		}
	}
	for query, field := range map[string]string{"after=-1": "query.after", "after=%21": "query.after", "limit=0": "query.limit", "actor=a%00": "query.actor", "since=x": "query.since"} {
		wantProblem(t, f.ask(t, "admin", "GET", "/api/v1/audit?"+query, ""), 422, field)
	}
}

func TestStatus(t *testing.T) {
	f := newFixture(t)
	agent := string(f.store(t, "web-1").Name)
	f.letter(t, agent)
	var s api.Status
	must(t, json.Unmarshal(f.ask(t, "viewer", "GET", "/api/v1/status", "").Body.Bytes(), &s))
	b := s.Records
	if s.Database.Engine == "" || s.Database.Schema < 6 || s.Database.Bytes == 0 || s.Agents["never seen"] != 1 || s.DeadLetters != 1 ||
		b.Appended != 3 || b.Stored != 2 || b.Quarantined != 1 || b.Samples != 4 || b.InFlight != 0 ||
		s.Broker == nil || len(s.Broker.Consumers) != 1 || s.Broker.Consumers[0].LagSeconds != 60 {
		t.Errorf("%+v", s)
	}
	// The rest is told while the broker is out.
	f.broker.err = fmt.Errorf("a secret of the inside")
	w := f.ask(t, "viewer", "GET", "/api/v1/status", "")
	if w.Code != 200 || strings.Contains(w.Body.String(), `"broker"`) || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestP22EveryBodyIsBounded sends what no operation wants to every one that has a body.
func TestP22EveryBodyIsBounded(t *testing.T) {
	f := newFixture(t)
	cookie := f.login(t)
	seen := 0
	calls := f.calls(t)
	for _, operations := range f.openapi(t).Paths {
		for method, op := range operations {
			if op.OperationID == "setup" { // its preparation removes all users
				continue
			}
			prepare := calls[op.OperationID]
			if prepare == nil {
				continue // TestEveryOperation says that it is missing
			}
			c := prepare()
			if c.body == "" {
				continue
			}
			seen++
			before := f.lastEntry(t)
			beyond := 2 << 20
			if op.OperationID == "add-plugin" { // which takes whole bundles
				beyond = 25 << 20
			}
			for body, status := range map[string]int{`{"no_such_field":1}`: 422, `[]`: 422, `{`: 400, `null`: 422, "\xff": 400, strings.Repeat("[", 50_000): 400, `{"a":"` + strings.Repeat("a", beyond) + `"}`: 413} {
				w := f.browse(t, cookie, strings.ToUpper(method), c.path, body)
				p := wantProblem(t, w, status, "")
				if strings.Contains(body, "no_such_field") && !slices.ContainsFunc(p.Errors, func(e struct{ Message, Location string }) bool { return e.Location == "body.no_such_field" }) {
					t.Errorf("%s does not name the field that it does not know: %+v", op.OperationID, p)
				}
			}
			if f.lastEntry(t).ID != before.ID {
				t.Errorf("%s: what was refused is in the audit log as done", op.OperationID)
			}
		}
	}
	if seen < 6 {
		t.Errorf("%d operations have a body", seen)
	}
}
