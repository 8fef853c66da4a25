//go:build unix

package control_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake answers what it was made with.
type fake struct{ flushed chan time.Duration }

func (fake) Status() control.Status { return control.Status{Agent: "ag-1"} }
func (fake) Reload() control.Reload { return control.Reload{Error: "no"} }
func (f fake) Flush(ctx context.Context) control.Flush {
	until, _ := ctx.Deadline()
	f.flushed <- time.Until(until)
	return control.Flush{Done: true}
}

// socket returns a short path: a socket's must be.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return control.SocketPath(dir)
}

// serve answers at path until the test ends or stop is called.
func serve(t *testing.T, path string, h http.Handler) (stop func()) {
	t.Helper()
	lis, err := control.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()
	stop = func() { srv.Close(); <-done; done <- nil }
	t.Cleanup(stop)
	return stop
}

func TestRequests(t *testing.T) {
	path := socket(t)
	f := fake{make(chan time.Duration, 1)}
	stop := serve(t, path, control.Handler(f))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	c := control.NewClient(path)
	if s, err := c.Status(t.Context()); err != nil || s.Agent != "ag-1" {
		t.Errorf("status: %+v, %v", s, err)
	}
	if r, err := c.Reload(t.Context()); err != nil || r.OK || r.Error != "no" {
		t.Errorf("reload: %+v, %v", r, err)
	}
	if out, err := c.Flush(t.Context(), time.Minute); err != nil || !out.Done {
		t.Errorf("flush: %+v, %v", out, err)
	}
	if d := <-f.flushed; d > time.Minute || d < 50*time.Second {
		t.Errorf("the flush had %s, want a minute", d)
	}
	for _, d := range []time.Duration{0, -time.Second, time.Hour} {
		if _, err := c.Flush(t.Context(), d); err == nil || !strings.Contains(err.Error(), "want a duration up to 10m") {
			t.Errorf("flush for %s: %v", d, err)
		}
	}
	stop()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there after the end")
	}
}

// A socket that nobody listens at any more gives way; what is no socket does not.
func TestListenReplacesStaleSocketsAlone(t *testing.T) {
	path := socket(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	lis, err := control.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	lis.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(t.Context(), path); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("a file under the socket's name: %v", err)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "mine" {
		t.Error("the file is gone")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	path := socket(t)
	for _, tt := range []struct {
		name, answer string
		code         sentinel.Code
		want         string
	}{
		{"not JSON", "<html>", sentinel.Internal, "is it of another version?"},
		{"cut", `{"agent_id": "a`, sentinel.Internal, "is it of another version?"},
	} {
		stop := serve(t, path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(tt.answer)) }))
		if _, err := control.NewClient(path).Status(t.Context()); sentinel.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		stop()
	}
	if _, err := control.NewClient(path).Status(t.Context()); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Errorf("nobody is there: %v", err)
	}
	never := make(chan struct{})
	serve(t, path, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-never:
		case <-r.Context().Done():
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := control.NewClient(path).Status(ctx); sentinel.CodeOf(err) != sentinel.Unavailable || !strings.Contains(err.Error(), "does not answer in time") {
		t.Errorf("it does not answer: %v", err)
	}
	if os.Geteuid() == 0 {
		t.Skip("root may open every socket: that others may not is not tested")
	}
	if err := os.Chmod(filepath.Dir(path), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Dir(path), 0o700)
	if _, err := control.NewClient(path).Status(t.Context()); sentinel.CodeOf(err) != sentinel.Forbidden {
		t.Errorf("it is not for this user: %v", err)
	}
}
