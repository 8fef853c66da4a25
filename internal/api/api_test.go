package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/app/alerts"
	"github.com/sentinelgo/sentinel/internal/broker"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/query"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// fixture is the interface on a database of its own.
type fixture struct {
	db       *postgres.DB
	registry *fleet.Registry
	handler  http.Handler
	log      *bytes.Buffer
	tokens   map[string]string
	broker   published
	cookie   *http.Cookie // of the last session
}

// published keeps what is published; the way through a real broker to a real worker
// is tested with sentinelctl.
type published struct {
	data  [][]byte
	err   error
	taken func() // by a worker, before Publish returns
}

func (p *published) Partitions() int { return 4 }

func (p *published) Stats(context.Context) (broker.Stats, error) {
	return broker.Stats{Messages: 3, Bytes: 300, MaxBytes: 1000, Consumers: []broker.ConsumerStats{{Name: "writer", Pending: 2, Lag: time.Minute}}}, p.err
}

func (p *published) Publish(_ context.Context, _ int, _ string, data []byte) error {
	p.data = append(p.data, data)
	if p.taken != nil {
		p.taken()
	}
	return p.err
}

// desk answers for the notifier; the way to a real one is tested with sentinelctl.
type desk struct{ alerts.Desk }

func (desk) Explain(context.Context, map[string]string) ([]api.RouteExplanation, error) {
	return []api.RouteExplanation{}, nil
}
func (desk) TestReceiver(context.Context, string) error { return nil }
func (desk) Undelivered(context.Context) ([]api.Undelivered, error) {
	return []api.Undelivered{}, nil
}
func (desk) Redeliver(context.Context, string) error { return nil }
func (desk) Discard(context.Context, string) error   { return nil }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	vault, err := sign.NewVault("m-test", bytes.Repeat([]byte{7}, 32))
	must(t, err)
	f := &fixture{db: postgrestest.New(t), log: new(bytes.Buffer), tokens: map[string]string{"none": "", "garbage": "sntl_garbage"}}
	f.registry = fleet.NewRegistry(f.db, vault)
	f.handler = api.New(api.Deps{Registry: f.registry, Identities: f.registry, People: f.registry, DB: f.db, Broker: &f.broker, CheckConfig: func([]byte) error { return nil }, ReadPlugin: readPlugin, Select: selecting(f.db), Alerting: desk{alerts.NewDesk(f.db, vault, nil, nil)}, SelfTest: func(context.Context) api.SelfTest { return api.SelfTest{OK: true, Stages: []api.SelfTestStage{}} }, Log: slog.New(slog.NewTextHandler(f.log, nil))})
	for _, role := range []postgres.Role{postgres.Viewer, postgres.Operator, postgres.Admin} {
		f.tokens[string(role)], err = f.registry.CreateToken(t.Context(), "test", role, 0)
		must(t, err)
	}
	f.tokens["expired"], err = f.registry.CreateToken(t.Context(), "test", postgres.Admin, time.Nanosecond)
	must(t, err)
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ask sends a request; target is a path with its query, as it goes over the wire.
func (f *fixture) ask(t *testing.T, who, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "https://sentinel.test"+target, strings.NewReader(body))
	if token := f.tokens[who]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if w.Header().Get("X-Request-Id") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s %.80s: headers are %v", method, target, w.Header())
	}
	return w
}

type problemBody struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id"`
	Errors    []struct{ Message, Location string }
}

// wantProblem wants a problem with this status, and where it is about a field its
// name.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, field string) problemBody {
	t.Helper()
	var p problemBody
	raw := w.Body.String()
	if w.Code != status {
		t.Fatalf("status is %d, want %d: %.300s", w.Code, status, raw)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type is %q", ct)
	}
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		t.Fatalf("%v: %.300s", err, raw)
	}
	if p.Status != status || p.Title == "" || p.Detail == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("the problem is not whole: %.300s", raw)
	}
	if field != "" && !slices.ContainsFunc(p.Errors, func(e struct{ Message, Location string }) bool { return e.Location == field && e.Message != "" }) {
		t.Errorf("no error names the field %s: %.300s", field, raw)
	}
	said := strings.ReplaceAll(raw, p.RequestID, "") // random letters may spell anything
	for _, internal := range []string{"SQLSTATE", "ERROR:", "goroutine", "/internal/", "SELECT", "pgx"} {
		if strings.Contains(said, internal) {
			t.Errorf("the answer shows internals (%s): %.300s", internal, raw)
		}
	}
	return p
}

// selecting finds series by PromQL's selectors, as the server wires it.
func selecting(db *postgres.DB) func(context.Context, string, int) ([]api.Selected, error) {
	engine := query.New(db, query.DefaultLimits(), slog.New(slog.DiscardHandler))
	return func(ctx context.Context, selector string, limit int) ([]api.Selected, error) {
		series, labels, err := engine.Select(ctx, selector, limit)
		out := make([]api.Selected, len(series))
		for i := range series {
			out[i] = api.Selected{Series: series[i], Labels: labels[i]}
		}
		return out, err
	}
}

// store gives an agent two cycles whose values are hard for JSON.
func (f *fixture) store(t *testing.T, hostname string) postgres.Agent {
	t.Helper()
	cred, err := f.registry.Register(t.Context(), hostname, nil)
	must(t, err)
	a, err := f.db.AgentByName(t.Context(), cred.Agent)
	must(t, err)
	layout := sentinel.Layout{
		sentinel.NewSeries("test_value", sentinel.Gauge, "bytes", "name", "日本\" \\ ' \n"),
		sentinel.NewSeries("test_huge", sentinel.Gauge, ""),
	}
	id, err := f.db.EnsureLayout(t.Context(), a.ID, sentinel.LayoutHash{1}, []byte("definition"), layout)
	must(t, err)
	start := time.Now().Truncate(time.Minute).Add(-time.Minute)
	b := postgres.Batch{Agent: a.ID, AgentName: a.Name, Epoch: 7, First: 1, Count: 2, LayoutID: id, Envelope: []byte("e"), Received: time.Now(), Digests: []uint64{1, 2},
		Cycles: []sentinel.Cycle{{Time: start, Values: []float64{1, math.MaxFloat64}}, {Time: start.Add(time.Second), Values: []float64{math.SmallestNonzeroFloat64, math.MaxFloat64}}}}
	_, err = f.db.Commit(t.Context(), []postgres.Batch{b}, nil)
	must(t, err)
	return a
}

type openapi struct {
	OpenAPI string
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string
		Role        string `json:"x-role"`
		Responses   map[string]any
	}
	Components struct {
		Schemas         map[string]struct{ Properties map[string]any }
		SecuritySchemes map[string]any
	}
}

func (f *fixture) openapi(t *testing.T) openapi {
	t.Helper()
	w := f.ask(t, "none", "GET", "/openapi.json", "")
	var doc openapi
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
		t.Fatalf("%d %v", w.Code, err)
	}
	return doc
}

func TestOpenAPIDescribesTheInterface(t *testing.T) {
	f := newFixture(t)
	doc := f.openapi(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Title == "" || doc.Info.Version == "" || doc.Components.SecuritySchemes["token"] == nil {
		t.Errorf("not a whole OpenAPI 3.1 document: %+v", doc.Info)
	}
	if _, ok := doc.Components.Schemas["ErrorModel"].Properties["request_id"]; !ok {
		t.Error("problems' request_id is not described")
	}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			for _, status := range []string{"401", "403", "503"} {
				if op.Responses[status] == nil {
					t.Errorf("%s %s does not say that it may answer %s", method, path, status)
				}
			}
		}
	}
	// Every reference in the document leads somewhere.
	raw := f.ask(t, "none", "GET", "/openapi.json", "").Body.String()
	for _, part := range strings.Split(raw, `"$ref":"`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		if _, ok := doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]; !ok {
			t.Errorf("%s leads nowhere", ref)
		}
	}
}

func TestP22HostileRequests(t *testing.T) {
	f := newFixture(t)
	a := string(f.store(t, "web-1").Name)
	long := strings.Repeat("a", 10<<10)
	one := "/api/v1/agents/" + a
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		field                      string
	}{
		{"an unknown agent", "GET", "/api/v1/agents/ag-unknown", "", 404, ""},
		{"an unknown agent's books", "GET", "/api/v1/agents/ag-unknown/books", "", 404, ""},
		{"an agent of NUL", "GET", "/api/v1/agents/a%00b", "", 422, "path.agent"},
		{"an agent of 10 KB", "GET", "/api/v1/agents/" + long, "", 422, "path.agent"},
		{"an agent in unicode", "GET", "/api/v1/agents/%E6%97%A5", "", 422, "path.agent"},
		{"an agent of SQL", "GET", "/api/v1/agents/" + url.PathEscape("x' OR 1=1 --") + "/latest", "", 422, "path.agent"},
		{"an agent that climbs", "GET", "/api/v1/agents/" + url.PathEscape("../../etc") + "/range?metric=x", "", 422, "path.agent"},
		{"a search of NUL", "GET", "/api/v1/agents?search=a%00", "", 422, "query.search"},
		{"a search that is not UTF-8", "GET", "/api/v1/agents?search=%ff", "", 422, "query.search"},
		{"a search of 10 KB", "GET", "/api/v1/agents?search=" + long, "", 422, "query.search"},
		{"a limit of 0", "GET", "/api/v1/agents?limit=0", "", 422, "query.limit"},
		{"a limit of 1001", "GET", "/api/v1/agents?limit=1001", "", 422, "query.limit"},
		{"a limit of words", "GET", "/api/v1/agents?limit=many", "", 422, "query.limit"},
		{"a label without value", "GET", "/api/v1/agents?label=x", "", 422, "query.label"},
		{"a label of NUL", "GET", "/api/v1/agents?label=x%3D%00", "", 422, "query.label"},
		{"a state of nobody's", "GET", "/api/v1/agents?state=dead", "", 422, "query.state"},
		{"a change of nothing", "PATCH", one, `{}`, 422, "body"},
		{"a change of an unknown agent", "PATCH", "/api/v1/agents/ag-unknown", `{"disabled":true}`, 404, ""},
		{"labels of NUL", "PATCH", one, `{"labels":{"a":"\u0000"}}`, 422, "body"},
		{"a change of what nobody changes", "PATCH", one, `{"hostname":"x"}`, 422, "body.hostname"},
		{"an ETag of words", "DELETE", "/api/v1/agents/ag-unknown", "", 404, ""},
		{"a cursor of words", "GET", "/api/v1/agents?after=%21", "", 422, "query.after"},
		{"a cursor that is negative", "GET", "/api/v1/agents?after=-1", "", 422, "query.after"},
		{"a cursor of 10 KB", "GET", "/api/v1/agents?after=" + long, "", 422, "query.after"},
		{"no metric", "GET", one + "/range", "", 422, "query.metric"},
		{"a metric of NUL", "GET", one + "/range?metric=%00", "", 422, "query.metric"},
		{"a metric of 10 KB", "GET", one + "/range?metric=" + long, "", 422, "query.metric"},
		{"a label without value", "GET", one + "/range?metric=m&label=x", "", 422, "query.label"},
		{"a label of NUL", "GET", one + "/range?metric=m&label=x%3D%00", "", 422, "query.label"},
		{"too many labels", "GET", one + "/range?metric=m" + strings.Repeat("&label=a%3Db", 33), "", 422, "query.label"},
		{"a step of words", "GET", one + "/range?metric=m&step=soon", "", 422, "query.step"},
		{"a step that is negative", "GET", one + "/range?metric=m&step=-1h", "", 422, "query.step"},
		{"a time of words", "GET", one + "/range?metric=m&from=yesterday", "", 422, "query.from"},
		{"a time backwards", "GET", one + "/range?metric=m&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "", 422, "query.from"},
		{"a body cut short", "POST", "/api/v1/agents", `{"hostname":`, 400, ""},
		{"a body of another kind", "POST", "/api/v1/agents", `[]`, 422, "body"},
		{"no body", "POST", "/api/v1/agents", "", 400, ""},
		{"an unknown field", "POST", "/api/v1/agents", `{"host":"a"}`, 422, "body.host"},
		{"a field of another kind", "POST", "/api/v1/agents", `{"hostname":7}`, 422, "body.hostname"},
		{"a hostname of 10 KB", "POST", "/api/v1/agents", `{"hostname":"` + long + `"}`, 422, "body.hostname"},
		{"a hostname of NUL", "POST", "/api/v1/agents", `{"hostname":"a\u0000"}`, 422, "body"},
		{"a label of the service's", "POST", "/api/v1/agents", `{"labels":{"agent":"x"}}`, 422, "body"},
		{"a label out of the alphabet", "POST", "/api/v1/agents", `{"labels":{"a b":"x"}}`, 422, "body"},
		{"a body of 2 MB", "POST", "/api/v1/agents", `{"hostname":"` + strings.Repeat("a", 2<<20) + `"}`, 413, ""},
		{"an array 100,000 deep", "POST", "/api/v1/agents", strings.Repeat("[", 100_000), 400, ""},
		{"an unknown path", "GET", "/api/v1/nothing", "", 404, ""},
		{"the root", "GET", "/", "", 404, ""},
		{"an unknown method", "DELETE", "/api/v1/agents", "", 405, ""},
		{"a method of nobody's", "BREW", one, "", 405, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := f.ask(t, "admin", tt.method, tt.target, tt.body)
			wantProblem(t, w, tt.status, tt.field)
			if allow := w.Header().Get("Allow"); (tt.status == 405) != (allow != "") {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
	for _, target := range []string{
		"/api/v1/agents?search=" + url.QueryEscape("%_' OR 1=1; DROP TABLE agents --"), "/api/v1/agents?search=%E6%97%A5%E6%9C%AC",
		one + "/latest?metric=" + url.QueryEscape("x' OR 1=1"), one + "/range?metric=m&label=" + url.QueryEscape(`a="b'=c`),
		one + "/range?metric=test_value&from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z&step=2000000h",
		"/api/v1/agents?after=zzzzzzzzzzzz", "/api/v1/agents?unknown=parameter",
	} {
		if w := f.ask(t, "viewer", "GET", target, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if agents, err := f.db.Agents(t.Context(), postgres.AgentFilter{}); err != nil || len(agents) != 1 {
		t.Errorf("%d agents are left, want the one (%v)", len(agents), err)
	}
	if log := f.log.String(); strings.Contains(log, "panic") {
		t.Errorf("something panicked: %.2000s", log)
	}
}

func TestPaging(t *testing.T) {
	f := newFixture(t)
	want := map[string]bool{}
	for i := range 7 {
		cred, err := f.registry.Register(t.Context(), fmt.Sprintf("host-%d", i), []sentinel.Label{{Name: "n", Value: fmt.Sprint(i)}})
		must(t, err)
		want[string(cred.Agent)] = true
	}
	pages := 0
	for after := ""; ; pages++ {
		w := f.ask(t, "viewer", "GET", "/api/v1/agents?limit=3&after="+after, "")
		var page api.AgentPage
		must(t, json.Unmarshal(w.Body.Bytes(), &page))
		for _, a := range page.Agents {
			if !want[a.ID] {
				t.Errorf("%s comes twice, or was never registered", a.ID)
			}
			delete(want, a.ID)
		}
		if after = page.Next; after == "" {
			break
		}
		if pages > 5 {
			t.Fatal("the pages do not end")
		}
	}
	if len(want) > 0 || pages != 2 {
		t.Errorf("%d agents are missing after %d pages", len(want), pages+1)
	}
}

// TestNumbersThatJSONCannotHold would break the answer in its middle.
func TestNumbersThatJSONCannotHold(t *testing.T) {
	f := newFixture(t)
	a := f.store(t, "web-1")
	for done := false; !done; {
		stats, err := f.db.Rollup(t.Context(), time.Now())
		must(t, err)
		done = stats.Done
	}
	for _, step := range []string{"", "1m", "7s", "1h"} {
		w := f.ask(t, "viewer", "GET", "/api/v1/agents/"+string(a.Name)+"/range?metric=test_huge&step="+step, "")
		var r api.Range
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != 200 || len(r.Series) != 1 {
			t.Fatalf("step %q: %d %v %s", step, w.Code, err, w.Body)
		}
		for _, p := range r.Series[0].Points {
			if p.Last != math.MaxFloat64 || (p.Avg == nil) != (p.Count > 1) {
				t.Errorf("step %q: %+v", step, p)
			}
		}
	}
}

func TestP20NoSecretInAnAnswer(t *testing.T) {
	f := newFixture(t)
	w := f.ask(t, "operator", "POST", "/api/v1/agents", `{"hostname":"h","labels":{"site":"fra"}}`)
	var cred api.Credential
	must(t, json.Unmarshal(w.Body.Bytes(), &cred))
	if w.Code != 201 || len(cred.Secret) != 44 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	one := "/api/v1/agents/" + cred.AgentID
	for _, target := range []string{"/api/v1/agents", "/api/v1/tokens", "/api/v1/users", "/api/v1/audit", "/api/v1/session", one, one + "/latest", one + "/books", one + "/range?metric=m", "/openapi.json", one + "/nothing"} {
		body := f.ask(t, "admin", "GET", target, "").Body.String()
		for _, secret := range []string{cred.Secret, f.tokens["admin"], cred.KeyID} {
			if strings.Contains(body, secret) {
				t.Errorf("P20: %s shows a secret or a key", target)
			}
		}
	}
	if log := f.log.String(); strings.Contains(log, cred.Secret) || strings.Contains(log, f.tokens["admin"]) {
		t.Error("P20: the log holds a secret")
	}
}

func TestRequestID(t *testing.T) {
	f := newFixture(t)
	for given, kept := range map[string]bool{"trace-1.A_b": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false, "a b": false, "a\"b": false, "日本": false} {
		r := httptest.NewRequest("GET", "/api/v1/agents", nil)
		r.Header.Set("X-Request-Id", given)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if got := w.Header().Get("X-Request-Id"); (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
		wantProblem(t, w, 401, "")
	}
}

func TestHeadAnswersAsGetWithoutABody(t *testing.T) {
	f := newFixture(t)
	srv := httptest.NewTLSServer(f.handler)
	defer srv.Close()
	for who, want := range map[string]int{"viewer": 200, "none": 401} {
		req, err := http.NewRequestWithContext(t.Context(), "HEAD", srv.URL+"/api/v1/agents", nil)
		must(t, err)
		if f.tokens[who] != "" {
			req.Header.Set("Authorization", "Bearer "+f.tokens[who])
		}
		resp, err := srv.Client().Do(req)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want || len(body) != 0 {
			t.Errorf("%s: %d with %d bytes (%v)", who, resp.StatusCode, len(body), err)
		}
	}
}

// broken is a registry whose errors tell about the inside.
type broken struct{ err error }

func (b broken) Register(context.Context, string, []sentinel.Label) (sign.Credential, error) {
	return sign.Credential{}, b.err
}

func (b broken) Authenticate(context.Context, string) (postgres.Actor, error) {
	if b.err == nil {
		panic("a secret of the inside")
	}
	return postgres.Actor{}, b.err
}

func (b broken) Change(context.Context, postgres.Entry, postgres.Agent, postgres.AgentChange) (postgres.Agent, error) {
	return postgres.Agent{}, b.err
}

func (b broken) Session(context.Context, string) (postgres.Actor, error) {
	return postgres.Actor{}, b.err
}

// fromDatabase is an error as the database's driver has them.
type fromDatabase struct{}

func (fromDatabase) Error() string    { return "ERROR: a secret of the inside (SQLSTATE 22021)" }
func (fromDatabase) SQLState() string { return "22021" }

func TestFailuresOfTheInsideAreNotShown(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
	}{
		{"unavailable", sentinel.Errorf(sentinel.Unavailable, "dial 10.0.0.7: a secret of the inside"), 503},
		{"internal", sentinel.Errorf(sentinel.Internal, "a secret of the inside"), 500},
		{"without a code", fmt.Errorf("a secret of the inside"), 500},
		{"the database's words about a value", sentinel.Errorf(sentinel.Invalid, "list: %w", fromDatabase{}), 422},
		{"the database's words about itself", sentinel.Errorf(sentinel.NotFound, "list: %w", fromDatabase{}), 500},
		{"a panic", nil, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			h := api.New(api.Deps{Registry: broken{tt.err}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			r := httptest.NewRequest("GET", "/api/v1/agents", nil)
			r.Header.Set("Authorization", "Bearer x")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			p := wantProblem(t, w, tt.status, "")
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "10.0.0.7") {
				t.Errorf("it shows the inside: %s", w.Body)
			}
			if !strings.Contains(log.String(), "a secret of the inside") || !strings.Contains(log.String(), p.RequestID) {
				t.Errorf("the log does not say why, or not of which request: %s", log.String())
			}
		})
	}
}

func TestDatabaseThatIsGoneIs503(t *testing.T) {
	f := newFixture(t)
	a := string(f.store(t, "web-1").Name)
	// Authentication still works, so that each route fails by itself.
	h := api.New(api.Deps{Registry: admitAll{}, DB: f.db, Log: slog.New(slog.DiscardHandler)})
	f.db.Close()
	for _, path := range []string{"", "/" + a, "/" + a + "/latest", "/" + a + "/books", "/" + a + "/range?metric=m"} {
		r := httptest.NewRequest("GET", "/api/v1/agents"+path, nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		wantProblem(t, w, 503, "")
	}
}

type admitAll struct{ broken }

func (admitAll) Authenticate(context.Context, string) (postgres.Actor, error) {
	return postgres.Actor{Kind: postgres.ActorToken, Role: postgres.Admin}, nil
}

func TestClientDoesNotCarryTheTokenElsewhere(t *testing.T) {
	reached := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Header.Get("Authorization") }))
	defer other.Close()
	srv := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	ca := t.TempDir() + "/ca.crt"
	must(t, os.WriteFile(ca, pemOf(srv), 0o600))
	c, err := api.NewClient(api.ClientConfig{Server: srv.URL, CAFile: ca, Token: "sntl_secret"})
	must(t, err)
	if _, err := c.Agents(t.Context(), ""); err == nil {
		t.Error("a redirect was taken for an answer")
	}
	select {
	case token := <-reached:
		t.Errorf("P20: another server was asked, with %q", token)
	default:
	}
}

func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}
