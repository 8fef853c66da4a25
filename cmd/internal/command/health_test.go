package command_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestHealth(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			http.Error(w, "database: does not answer", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	}))
	defer srv.Close()
	_, port, _ := strings.Cut(srv.Listener.Addr().String(), ":")
	for _, address := range []string{srv.Listener.Addr().String(), ":" + port, "0.0.0.0:" + port, "[::]:" + port} {
		ask := func(args ...string) (string, error) {
			c := command.HealthCommand(func() (string, string, error) { return "x.listen", address, nil })
			var out bytes.Buffer
			c.SetOut(&out)
			c.SetArgs(args)
			err := c.Execute()
			return out.String(), err
		}
		if out, err := ask(); err != nil || out != "ok\n" {
			t.Errorf("%s: %q, %v", address, out, err)
		}
		if _, err := ask("--path", "readyz"); sentinel.CodeOf(err) != sentinel.Unavailable || !strings.Contains(err.Error(), "database: does not answer") {
			t.Errorf("%s: not ready, but %v", address, err)
		}
	}
}
