package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestPeople keeps the web interface, which answers every path, out of the REST
// interface's.
func TestPeople(t *testing.T) {
	say := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	const rest, prometheus, ui = http.StatusTeapot, http.StatusAccepted, http.StatusOK
	h := people(say(rest), say(prometheus), say(ui))
	for path, want := range map[string]int{
		"/": ui, "/hosts/ag-a": ui, "/assets/app.js": ui, "/apiary": ui, "/openapi": ui,
		"/prometheus/": prometheus, "/prometheus/api/v1/query": prometheus, "/prometheusque": ui,
		"/api/": rest, "/api/v1/agents": rest, "/api/v2": rest, "/docs": rest, "/docsy": ui, "/openapi.json": rest, "/openapi-3.0.yaml": rest,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s gives %d, want %d", path, w.Code, want)
		}
	}
}
