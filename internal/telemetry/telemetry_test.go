package telemetry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sentinelgo/sentinel/internal/telemetry"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

func check(name string, err error) telemetry.Check {
	return telemetry.Check{Name: name, Ask: func(context.Context) error { return err }}
}

func TestHealthSaysWhatFails(t *testing.T) {
	h := telemetry.Handler(telemetry.NewRegistry(), nil, []telemetry.Check{
		check("database", errors.New("connection refused")), check("broker", nil), check("disk", errors.New("full"))})
	if w := get(t, h, "/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("healthz: %d %q", w.Code, w.Body)
	}
	if w := get(t, h, "/readyz"); w.Code != 503 || w.Body.String() != "database: connection refused\nbroker: ok\ndisk: full\n" {
		t.Errorf("readyz: %d %q", w.Code, w.Body)
	}
	h = telemetry.Handler(telemetry.NewRegistry(), []telemetry.Check{check("log", errors.New("broken"))}, []telemetry.Check{check("database", nil)})
	if w := get(t, h, "/healthz"); w.Code != 503 || w.Body.String() != "log: broken\n" {
		t.Errorf("healthz: %d %q", w.Code, w.Body)
	}
	if w := get(t, h, "/readyz"); w.Code != 200 || w.Body.String() != "database: ok\n" {
		t.Errorf("readyz: %d %q", w.Code, w.Body)
	}
}

func TestACheckThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.Handler(telemetry.NewRegistry(), nil, []telemetry.Check{{Name: "database", Ask: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}})
		start := time.Now()
		if w := get(t, h, "/readyz"); w.Code != 503 || !strings.Contains(w.Body.String(), "database: context deadline exceeded") {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// sampleLine is one sample in Prometheus' text format, version 0.0.4.
var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",? ?)*)\})? (\S+)$`)

func TestMetricsParse(t *testing.T) {
	reg := telemetry.NewRegistry()
	reg.Counter("test_drops_total", "reason", "a \"quoted\" \\ back\nline").Add(3)
	reg.Counter("test_drops_total", "reason", "a \"quoted\" \\ back\nline").Inc()
	reg.Gauge("test_depth", func() float64 { return 1 })
	reg.Gauge("test_depth", func() float64 { return 2.5 }) // takes the other's place
	reg.Writer(func(w io.Writer) { fmt.Fprintln(w, "test_written 7") })
	reg.Histogram("test_seconds", "part", "writer").Observe(0.3)
	w := get(t, telemetry.Handler(reg, nil, nil), "/metrics")
	if ct := w.Header().Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type is %q", ct)
	}
	found := map[string]float64{}
	for scan := bufio.NewScanner(w.Body); scan.Scan(); {
		line := scan.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %s", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		id := m[1] + "{" + m[2] + "}"
		if _, twice := found[id]; twice {
			t.Errorf("%s comes twice", id)
		}
		found[id] = v
	}
	for id, want := range map[string]float64{
		`test_drops_total{reason="a \"quoted\" \\ back\nline"}`: 4, `test_depth{}`: 2.5, `test_written{}`: 7,
		`test_seconds_bucket{part="writer",le="+Inf"}`: 1, `test_seconds_count{part="writer"}`: 1, `test_seconds_sum{part="writer"}`: 0.3,
	} {
		if got, ok := found[id]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", id, got, ok, want)
		}
	}
	if found["go_goroutines{}"] < 1 || found["process_start_time_seconds{}"] == 0 {
		t.Error("the process does not show itself")
	}
}

// pipes is a listener whose connections are in memory, so that time in a synctest
// bubble is theirs as well.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// served runs f beside a server of h, ends the server and wants it to end well.
func served(t *testing.T, h http.Handler, f func(p *pipes, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p, done := newPipes(), make(chan error, 1)
		go func() { done <- telemetry.Serve(ctx, p, h) }()
		f(p, cancel)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error("the listener is still open")
		}
	})
}

// TestP22SlowClientsAreCutOff holds for those that send slowly, send nothing, or
// take nothing.
func TestP22SlowClientsAreCutOff(t *testing.T) {
	big := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20))
	})
	for _, tt := range []struct {
		name, send string
		reads      bool
		within     time.Duration
	}{
		{"a header that does not end", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", true, 10 * time.Second},
		{"not a word", "", true, 3 * time.Minute},
		{"a body that never comes", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", true, 3 * time.Minute},
		{"an answer that is not taken", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, 5 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			served(t, big, func(p *pipes, _ func()) {
				start := time.Now()
				conn := p.dial()
				defer conn.Close()
				if _, err := io.WriteString(conn, tt.send); err != nil {
					t.Error(err)
				}
				if tt.reads {
					// It ends with EOF when the server hangs up.
					if err := conn.SetReadDeadline(start.Add(tt.within)); err != nil {
						t.Error(err)
					}
					if _, err := io.Copy(io.Discard, conn); err != nil {
						t.Errorf("the connection is still held after %s: %v", time.Since(start), err)
					}
					return
				}
				<-time.After(tt.within) // the bubble's time
				synctest.Wait()
				if n, err := io.Copy(io.Discard, conn); err != nil || n >= 1<<20 {
					t.Errorf("after %s the server still had all %d bytes to give: %v", tt.within, n, err)
				}
			})
		})
	}
}

func TestServeLetsRunningRequestsFinish(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(2 * time.Second): // the bubble's time
			fmt.Fprint(w, "whole")
		case <-r.Context().Done():
			fmt.Fprint(w, "given up")
		}
	})
	served(t, h, func(p *pipes, stop func()) {
		conn := p.dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		stop()
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasSuffix(string(answer), "whole") {
			t.Errorf("%q %v", answer, err)
		}
	})
}

func TestServeDoesNotWaitForEver(t *testing.T) {
	stuck := make(chan struct{})
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }) // and does not look at its context
	served(t, h, func(p *pipes, stop func()) {
		stuck = make(chan struct{}) // of the bubble
		conn := p.dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		start := time.Now()
		stop()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		close(stuck)
	})
}

func TestServeSaysWhatIsWrongWithItsListener(t *testing.T) {
	p := newPipes()
	p.Close()
	if err := telemetry.Serve(t.Context(), p, http.NotFoundHandler()); err == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("error is %v", err)
	}
}

func TestLogConfig(t *testing.T) {
	for _, tt := range []struct{ level, format, want string }{
		{"loud", "text", `level: "loud" is not known, want debug, info, warn or error`},
		{"info", "xml", `format: "xml" is not known, want text or json`},
		{"", "text", "level: "},
		{"debug", "json", ""},
		{"WARN", "text", ""},
	} {
		err := telemetry.LogConfig{Level: tt.level, Format: tt.format}.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %q: error is %v, want %q", tt.level, tt.format, err, tt.want)
		}
	}
	var out bytes.Buffer
	log, err := telemetry.LogConfig{Level: "warn", Format: "json"}.Logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("heard")
	if s := out.String(); strings.Contains(s, "quiet") || !strings.Contains(s, `"msg":"heard"`) {
		t.Errorf("got %s", s)
	}
}
