package api_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sentinelgo/sentinel/internal/api"
	"github.com/sentinelgo/sentinel/internal/postgres"
)

// TestGuard lets those who may read pass, by token in either form, and nobody else.
func TestGuard(t *testing.T) {
	f := newFixture(t)
	deps := api.Deps{Registry: f.registry, DB: f.db, Log: slog.New(slog.NewTextHandler(f.log, nil))}
	refuse := func(w http.ResponseWriter, _ *http.Request, status int, text string) {
		w.WriteHeader(status)
		fmt.Fprint(w, "refused: "+text)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })
	basic := func(token string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("grafana:"+token))
	}
	for _, c := range []struct {
		name, header string
		role         postgres.Role
		status       int
	}{
		{"no token", "", postgres.Viewer, http.StatusUnauthorized},
		{"garbage", "Bearer sntl_garbage", postgres.Viewer, http.StatusUnauthorized},
		{"garbage as password", basic("sntl_garbage"), postgres.Viewer, http.StatusUnauthorized},
		{"expired", "Bearer " + f.tokens["expired"], postgres.Viewer, http.StatusUnauthorized},
		{"viewer", "Bearer " + f.tokens["viewer"], postgres.Viewer, http.StatusOK},
		{"viewer's token as password", basic(f.tokens["viewer"]), postgres.Viewer, http.StatusOK},
		{"viewer where an operator is needed", "Bearer " + f.tokens["viewer"], postgres.Operator, http.StatusForbidden},
		{"admin where an operator is needed", "Bearer " + f.tokens["admin"], postgres.Operator, http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://sentinel.test/other", nil)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		w := httptest.NewRecorder()
		api.Guard(deps, c.role, ok, refuse).ServeHTTP(w, r)
		if w.Code != c.status || (w.Body.String() == "served") != (c.status == http.StatusOK) {
			t.Errorf("%s: status is %d, want %d: %s", c.name, w.Code, c.status, w.Body)
		}
		if w.Header().Get("X-Request-Id") == "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers are %v", c.name, w.Header())
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "https://sentinel.test/other", nil)
	r.Header.Set("Authorization", "Bearer "+f.tokens["viewer"])
	api.Guard(deps, postgres.Viewer, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }), refuse).ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("a panic gives %d", w.Code)
	}
}
