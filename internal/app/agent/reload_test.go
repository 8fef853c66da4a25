package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/control"
	"github.com/sentinelgo/sentinel/internal/plugin"
	pluginhost "github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/service"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wal"
)

// TestMain is a plugin's process too, as the agent's program is.
func TestMain(m *testing.M) {
	if code, is := pluginhost.Run(context.Background()); is {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// running is an agent with a configuration file, without a service to talk to.
type running struct {
	t      *testing.T
	dir    string
	file   string
	listen string
	level  slog.LevelVar
	logged syncBuffer
	ctl    *control.Client

	mu   sync.Mutex
	kept []wal.Position
	// What was kept, without what stands in it: values are the collectors' again.
	seen []sentinel.Cycle
	life *life // the one that runs

	manager *service.Notifier
	hangup  <-chan os.Signal
	stop    func() // and wait
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func closedAddress(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

const testAgent = "ag-aaaaaaaaaaaaaaaa"

// newRunning prepares an agent's folder; nothing runs yet.
func newRunning(t *testing.T) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &running{t: t, dir: dir, file: filepath.Join(dir, "agent.yml"), listen: closedAddress(t), stop: func() {}}
	r.ctl = control.NewClient(control.SocketPath(filepath.Join(dir, "state")))
	r.credential(testAgent)
	r.write("")
	return r
}

func (r *running) credential(id string) {
	r.t.Helper()
	cred := sign.Credential{Agent: sentinel.AgentID(id), Key: sign.NewKey()}
	if err := sign.FileStore(filepath.Join(r.dir, "credential.json")).Save(cred); err != nil {
		r.t.Fatal(err)
	}
}

// write puts the configuration with more keys of the section agent, one per line,
// into the file.
func (r *running) write(more string) {
	r.t.Helper()
	r.raw(fmt.Sprintf("agent:\n  state_dir: %s\n  credential_file: %s\n  listen: %s\n  collect: {interval: 1s, timeout: 1s, collectors: {cpu: false}}\n%s",
		filepath.Join(r.dir, "state"), filepath.Join(r.dir, "credential.json"), r.listen, more))
}

func (r *running) raw(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) load() (Config, error) {
	cfg := DefaultConfig()
	err := config.Load(r.file, nil, &cfg)
	return cfg, err
}

// start runs the agent until stop.
func (r *running) start() {
	r.t.Helper()
	cfg, trouble, err := Choose(r.file, nil, r.load)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg.Agent.PluginHost = []string{os.Args[0], plugin.Command}
	cfg.Agent.Acknowledged = func(p wal.Position, c sentinel.Cycle) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kept = append(r.kept, p)
		r.seen = append(r.seen, c)
	}
	logger, err := cfg.Log.LoggerAt(&r.logged, &r.level)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Options{File: r.file, Load: r.load, Trouble: trouble, Level: &r.level, Manager: r.manager, Reload: r.hangup,
			began: func(l *life) { r.mu.Lock(); defer r.mu.Unlock(); r.life = l }}.Run(ctx, cfg, "v1", logger)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the agent ended: %v", err)
		}
	})
	r.t.Cleanup(func() { r.stop() })
	r.until("the agent answers", func() bool { _, err := r.ctl.Status(r.t.Context()); return err == nil })
}

// until waits for something that other goroutines bring about.
func (r *running) until(what string, done func() bool) {
	r.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("waited in vain until %s\n%s", what, r.logged.String())
		}
	}
}

func (r *running) reload() control.Reload {
	r.t.Helper()
	out, err := r.ctl.Reload(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *running) status() control.Status {
	r.t.Helper()
	out, err := r.ctl.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + r.listen + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func (r *running) cycles() []wal.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kept)
}

// A hundred reloads in a row, good ones that replace the collectors and the uplink
// and bad ones of every sort: what the log acknowledged has no hole, is read back
// whole, and the agent collects on.
func TestReloadLosesNothing(t *testing.T) {
	r := newRunning(t)
	r.start()
	r.until("the first cycle is kept", func() bool { return len(r.cycles()) > 0 })
	replaced := 0
	for i := range 100 {
		switch i % 4 {
		case 0, 2:
			r.write(fmt.Sprintf("  collect: {interval: 1s, timeout: %dms, collectors: {cpu: false}}\n", 500+i))
			r.raw(strings.Replace(r.read(), "  collect: {interval: 1s, timeout: 1s, collectors: {cpu: false}}\n", "", 1))
			replaced++
		case 1:
			r.write("  server: {address: \"nowhere.invalid:" + fmt.Sprint(1000+i) + "\"}\n")
			replaced++ // the timeout is 1s again
		case 3:
			r.raw([]string{"agent: [", "agent:\n  nonsense: 1\n", "agent:\n  collect: {interval: 1ms}\n", ""}[i/4%3])
		}
		if out := r.reload(); out.OK != (i%4 != 3) {
			t.Fatalf("reload %d: %+v", i, out)
		}
	}
	n := len(r.cycles())
	if n <= replaced/2 {
		t.Errorf("%d cycles were kept in %d changes of the collectors, which collect at once", n, replaced)
	}
	r.until("cycles go on", func() bool { return len(r.cycles()) >= n+2 })
	r.stop()

	kept := r.cycles()
	for i, p := range kept {
		if p.Epoch != kept[0].Epoch || p.Seq != uint64(i)+1 {
			t.Fatalf("cycle %d is %v: the log was opened anew, or has a hole", i, p)
		}
	}
	log, err := wal.Open(filepath.Join(r.dir, "state", "wal"), wal.DefaultConfig(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	reader, err := log.Reader(kept[0].Epoch, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for i := range kept {
		if rec, err := reader.Next(); err != nil || rec.Position != kept[i] {
			t.Fatalf("record %d is %v, %v; want %v", i, rec.Position, err, kept[i])
		}
	}
	if rec, err := reader.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the log has %v that nobody was told of (%v)", rec.Position, err)
	}
}

func (r *running) read() string {
	r.t.Helper()
	raw, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(raw)
}

// A reload that is not good changes nothing and is seen everywhere until one is.
func TestReloadThatIsNotGood(t *testing.T) {
	r := newRunning(t)
	r.start()
	if code, body := r.get("/readyz"); code != http.StatusOK {
		t.Fatalf("/readyz says %d %s", code, body)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key", "  bufer_limit: 1h\n", `agent.yml:6: agent.bufer_limit: unknown key; did you mean "buffer_limit"?`},
		{"bad value", "  buffer_limit: soon\n", "agent.yml:6: agent.buffer_limit: want a duration"},
		{"missing authority", "  server: {ca_file: nowhere.crt}\n", "agent.server.ca_file: "},
		{"bad bounds", "  wal: {max_bytes: 1}\n", "agent.wal.max_bytes: "},
	} {
		r.write(tt.text)
		out := r.reload()
		if out.OK || !strings.Contains(out.Error, tt.want) {
			t.Errorf("%s: the answer is %+v, want %q", tt.name, out, tt.want)
		}
		if s := r.status(); !s.Config.LastGood || s.Config.Error != out.Error || s.Config.LastReload == nil {
			t.Errorf("%s: the status is %+v", tt.name, s.Config)
		}
		code, body := r.get("/readyz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "config: runs with the last good one: ") || !strings.Contains(body, tt.want) {
			t.Errorf("%s: /readyz says %d %s", tt.name, code, body)
		}
		if code, _ := r.get("/healthz"); code != http.StatusOK {
			t.Errorf("%s: /healthz says %d, but the agent lives", tt.name, code)
		}
		if _, body := r.get("/metrics"); !strings.Contains(body, "\nsentinel_agent_config_last_reload_successful 0\n") {
			t.Errorf("%s: the metrics do not show it", tt.name)
		}
	}
	if !strings.Contains(r.logged.String(), "did you mean") {
		t.Error("the log does not show it")
	}
	r.write("")
	if out := r.reload(); !out.OK || len(out.Applied)+len(out.NeedsRestart) > 0 {
		t.Errorf("back to the first configuration: %+v", out)
	}
	if code, body := r.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz says %d %s", code, body)
	}
	_, body := r.get("/metrics")
	for _, want := range []string{"_last_reload_successful 1\n", `_reloads_total{outcome="failed"} 4` + "\n", `_reloads_total{outcome="ok"} 1` + "\n"} {
		if !strings.Contains(body, "sentinel_agent_config"+want) {
			t.Errorf("the metrics have no %q", want)
		}
	}
}

// A reload says what holds now and what waits for a restart.
func TestReloadApplies(t *testing.T) {
	r := newRunning(t)
	r.start()
	before, address := r.status().Connection, closedAddress(t)
	r.raw(strings.Replace(r.read(), r.listen, closedAddress(t), 1) + "  buffer_limit: 2h\n  host_metrics: true\n  wal: {max_bytes: 99999999}\n  server: {address: \"" + address + "\"}\nlog: {level: debug, format: json}\n")
	out := r.reload()
	applied := []string{"agent.server.address", "agent.wal.max_bytes", "agent.buffer_limit", "agent.host_metrics", "log.level"}
	if waits := []string{"agent.listen", "log.format"}; !out.OK || !slices.Equal(out.Applied, applied) || !slices.Equal(out.NeedsRestart, waits) {
		t.Errorf("the answer is %+v, want %q and %q", out, applied, waits)
	}
	if r.level.Level() != slog.LevelDebug {
		t.Errorf("the level is %s", r.level.Level())
	}
	s := r.status()
	if s.Connection.Server != address || !s.Connection.Since.After(before.Since) || !slices.Equal(s.Config.NeedsRestart, out.NeedsRestart) {
		t.Errorf("the status is %+v", s)
	}
	r.until("the new address is tried", func() bool { return strings.Contains(r.status().Connection.LastError, address) })
	r.until("the host's metrics are served", func() bool { _, body := r.get("/metrics"); return strings.Contains(body, "\nnode_load1 ") })

	// The same file again: what waits still waits, and nothing else is touched.
	if out = r.reload(); !out.OK || len(out.Applied) > 0 || len(out.NeedsRestart) != 2 {
		t.Errorf("the same again: %+v", out)
	}
}

// A key that has been exchanged is used from the next reload on, one of another
// agent is not: the log is this agent's.
func TestReloadReadsTheCredentialAgain(t *testing.T) {
	r := newRunning(t)
	r.start()
	since := r.status().Connection.Since
	r.credential(testAgent)
	if out := r.reload(); !out.OK || len(out.Applied) != 1 || !r.status().Connection.Since.After(since) {
		t.Errorf("another key: %+v", out)
	}
	r.credential("ag-bbbbbbbbbbbbbbbb")
	if out := r.reload(); out.OK || !strings.Contains(out.Error, "belongs to agent ag-b") {
		t.Errorf("another agent's credential: %+v", out)
	}
}

// With a file that is broken while the agent is down, it starts as it last ran.
func TestStartWithTheLastGoodConfiguration(t *testing.T) {
	for name, broken := range map[string]string{
		"not YAML":    "agent: [\n  state_dir: %s\n",
		"bad value":   "agent:\n  state_dir: %s # here\n  buffer_limit: soon\n",
		"one line":    "agent: {state_dir: \"%s\", listen: [}\n",
		"no such CA":  "agent:\n  state_dir: %s\n  server: {ca_file: nowhere}\n",
		"no identity": "agent:\n  state_dir: %s\n  credential_file: nowhere\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRunning(t)
			r.write("  buffer_limit: 3h\n")
			r.start()
			r.stop()
			r.raw(fmt.Sprintf(broken, filepath.Join(r.dir, "state")))
			r.start()
			if s := r.status(); !s.Config.LastGood || s.Config.Error == "" || s.Agent != testAgent {
				t.Errorf("the status is %+v", s.Config)
			}
			if code, body := r.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "runs with the last good one") {
				t.Errorf("/readyz says %d %s", code, body)
			}
			if !strings.Contains(r.logged.String(), "level=ERROR") {
				t.Error("the log does not show it")
			}
			// What is kept is still what ran, so that the next start finds it too.
			r.write("  buffer_limit: 3h\n  host_metrics: true\n")
			if out := r.reload(); !out.OK || !slices.Equal(out.Applied, []string{"agent.host_metrics"}) {
				t.Errorf("once the file is good: %+v", out)
			}
			if code, _ := r.get("/readyz"); code != http.StatusOK {
				t.Errorf("/readyz says %d", code)
			}
		})
	}
}

// The copy is this agent's and this file's alone, and nobody else may read it.
func TestLastGoodIsItsOwn(t *testing.T) {
	r := newRunning(t)
	r.raw(r.read() + "database: {url: \"postgres://u:hunter2@h/d\"}\n")
	r.start()
	r.stop()
	path := filepath.Join(r.dir, "state", lastGoodName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "hunter2") {
		t.Error("P20: the copy has a secret of another program")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy's mode is %v", info.Mode())
	}
	other := filepath.Join(r.dir, "other.yml")
	r.raw("agent:\n  state_dir: " + filepath.Join(r.dir, "state") + "\n  x: 1\n")
	if err := os.Rename(r.file, other); err != nil {
		t.Fatal(err)
	}
	load := func() (Config, error) { cfg := DefaultConfig(); return cfg, config.Load(other, nil, &cfg) }
	if _, _, err := Choose(other, nil, load); err == nil || !strings.Contains(err.Error(), "other.yml:3: agent.x") {
		t.Errorf("another file's agent: %v", err)
	}
	// A file that is gone altogether is no better than a broken one, where the
	// environment says where the copy is.
	if _, trouble, err := Choose(r.file, []string{"SENTINEL_AGENT_STATE_DIR=" + filepath.Join(r.dir, "state")}, r.load); err != nil || trouble == nil {
		t.Errorf("the file is gone: %v, %v", trouble, err)
	}
	if _, _, err := Choose(r.file, nil, r.load); sentinel.CodeOf(err) != sentinel.NotFound {
		t.Errorf("nobody says where the copy is: %v", err)
	}
}

// A second agent in the same folder is turned away by the log's lock, and does not
// touch the socket of the one that runs; one that was killed leaves none in the way.
func TestOneAgentOwnsTheSocket(t *testing.T) {
	r := newRunning(t)
	r.start()
	cfg, err := r.load()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Agent.Listen = ""
	if err := Run(t.Context(), cfg, "v2", slog.New(slog.DiscardHandler)); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Fatalf("a second agent: %v", err)
	}
	if s := r.status(); s.Version != "v1" {
		t.Errorf("the socket answers for %s", s.Version)
	}
	r.stop()
	socket := control.SocketPath(filepath.Join(r.dir, "state"))
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there after a clean end")
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	r.start()
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state folder's mode is %v, %v", info.Mode(), err)
	}
}

// Without a service nothing is settled, and a flush says so when its time is over.
func TestFlushWithoutAService(t *testing.T) {
	r := newRunning(t)
	r.start()
	r.until("the first cycle is kept", func() bool { return len(r.cycles()) > 0 })
	f, err := r.ctl.Flush(t.Context(), 200*time.Millisecond)
	if err != nil || f.Done || !strings.Contains(f.Reason, "there is no connection: ") || len(f.Marks) != 1 || f.Marks[0].Settled != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	if s := r.status(); s.Log.OldestUnsettled == nil || s.Log.Appended == 0 || len(s.Collectors) < 5 {
		t.Errorf("the status is %+v", s)
	}
}

// What is part of another program is not reloaded, and that is no trouble.
func TestReloadWithoutAFile(t *testing.T) {
	r := newRunning(t)
	cfg, err := r.load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, "v1", slog.New(slog.DiscardHandler)) }()
	r.until("the agent answers", func() bool { _, err := r.ctl.Status(t.Context()); return err == nil })
	if out := r.reload(); out.OK || !strings.Contains(out.Error, "restart that") {
		t.Errorf("the answer is %+v", out)
	}
	if code, body := r.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz says %d %s", code, body)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "state", lastGoodName)); err == nil {
		t.Error("a last good configuration was kept")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
