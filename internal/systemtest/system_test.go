//go:build linux

// Package systemtest runs Sentinel as separate processes (this test binary under
// other roles), kills them, and compares what the agents' logs acknowledged with
// what the database holds.
package systemtest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/app/server"
	"github.com/sentinelgo/sentinel/internal/app/worker"
	"github.com/sentinelgo/sentinel/internal/broker/embedded"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/devca"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/localpg"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/postgres/postgrestest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/wal"
)

const roleVariable = "SYSTEMTEST_ROLE"

func TestMain(m *testing.M) {
	if code, is := host.Run(context.Background()); is { // the process of a plugin
		os.Exit(code)
	}
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := play(ctx, role); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

// play is one process of the system.
func play(ctx context.Context, role string) error {
	level := slog.LevelInfo
	if os.Getenv("SYSTEMTEST_LOG") == "debug" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("role", role)
	file := os.Getenv("SYSTEMTEST_CONFIG")
	switch role {
	case "nats":
		port, err := strconv.Atoi(os.Getenv("SYSTEMTEST_NATS_PORT"))
		if err != nil {
			return err
		}
		s, err := embedded.Start(embedded.Config{Dir: os.Getenv("SYSTEMTEST_NATS_DIR"), Listen: port, MaxBytes: 5 << 30}, log)
		if err != nil {
			return err
		}
		<-ctx.Done()
		s.Stop()
		return nil
	case "server":
		cfg := server.DefaultConfig()
		if err := config.Load(file, os.Environ(), &cfg); err != nil {
			return err
		}
		return server.Run(ctx, cfg, log)
	case "worker":
		cfg := worker.DefaultConfig()
		if err := config.Load(file, os.Environ(), &cfg); err != nil {
			return err
		}
		return worker.Run(ctx, cfg, log)
	case "fleet":
		return playFleet(ctx, file, log)
	case "agent":
		cfg := agent.DefaultConfig()
		if err := config.Load(file, os.Environ(), &cfg); err != nil {
			return err
		}
		journal, err := os.OpenFile(filepath.Join(cfg.Agent.StateDir, "journal"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		cfg.Agent.Acknowledged = func(p wal.Position, c sentinel.Cycle) {
			if _, err := fmt.Fprintln(journal, entryOf(c)); err != nil {
				panic(err)
			}
		}
		return agent.Run(ctx, cfg, "test", log)
	}
	return fmt.Errorf("no such role")
}

// system is a running Sentinel.
type system struct {
	t        *testing.T
	dir      string
	certs    devca.Files
	pg       *localpg.Server // nil where a database is given
	url      string
	db       *postgres.DB
	vault    *sign.Vault
	registry *fleet.Registry
	token    string // file of an enrolment token; empty where agents have credentials
	ports    map[string]int
	agents   []sentinel.AgentID
	creds    []sign.Credential
	procs    map[string]*proc
	logFile  *os.File
}

// proc is one process that can be killed and started again.
type proc struct {
	name string
	env  []string
	cmd  *exec.Cmd
	done chan struct{}
}

// folder returns a folder that PostgreSQL's user can reach, unlike t.TempDir.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sentinel-system-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func freePorts(t *testing.T, names ...string) map[string]int {
	t.Helper()
	ports := map[string]int{}
	for _, n := range names {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		ports[n] = lis.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// newSystem makes database, certificates, keys and agents; it starts nothing else.
func newSystem(t *testing.T, agents int) *system {
	t.Helper()
	s := &system{t: t, dir: folder(t), ports: freePorts(t, "nats", "gateway", "api", "server", "worker"), procs: map[string]*proc{}}
	var err error
	if s.logFile, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.showLog()
		}
		s.logFile.Close()
	})
	s.startDatabase()
	if s.certs, err = devca.Ensure(filepath.Join(s.dir, "certs")); err != nil {
		t.Fatal(err)
	}
	master := filepath.Join(s.dir, "master.key")
	if err := sign.CreateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	if s.vault, err = sign.LoadVault(master); err != nil {
		t.Fatal(err)
	}
	s.registry = fleet.NewRegistry(s.db, s.vault)
	for i := range agents {
		cred, err := s.registry.Register(t.Context(), fmt.Sprint("host-", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.agents, s.creds = append(s.agents, cred.Agent), append(s.creds, cred)
		if err := sign.FileStore(filepath.Join(s.agentDir(i), "credential.json")).Save(cred); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, p := range s.procs {
			p.kill()
		}
	})
	return s
}

func (s *system) agentDir(i int) string { return filepath.Join(s.dir, fmt.Sprint("agent-", i)) }

// startDatabase opens a private PostgreSQL that can be killed, or a fresh
// database on the server that SENTINEL_TEST_DATABASE_URL names.
func (s *system) startDatabase() {
	s.t.Helper()
	if os.Getenv("SENTINEL_TEST_DATABASE_URL") != "" {
		s.url = postgrestest.URL(s.t)
		s.db = postgrestest.Open(s.t, s.url)
		return
	}
	s.startPostgres()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.pg.Stop(ctx); err != nil {
			s.t.Log(err)
		}
	})
	s.db = postgrestest.Open(s.t, s.url)
	if err := s.db.Migrate(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) startPostgres() {
	s.t.Helper()
	pg, err := localpg.Start(s.t.Context(), localpg.Config{Dir: filepath.Join(s.dir, "postgres")})
	if err != nil {
		s.t.Fatal(err)
	}
	s.pg, s.url = pg, pg.URL()
}

// write writes a configuration file and returns its path.
func (s *system) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name+".yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *system) addNATS() {
	s.add("nats", "nats", "", "SYSTEMTEST_NATS_DIR="+s.natsDir(), fmt.Sprint("SYSTEMTEST_NATS_PORT=", s.ports["nats"]))
}

func (s *system) natsDir() string { return filepath.Join(s.dir, "nats") }

func (s *system) addServer() {
	s.add("server", "server", s.write("server", fmt.Sprintf(`
server:
  gateway: 127.0.0.1:%d
  api: 127.0.0.1:%d
  listen: 127.0.0.1:%d
  cert_file: %s
  key_file: %s
  ingest: {heartbeat: 2s}
  keys: {grace: 1m}
broker: {url: "nats://127.0.0.1:%d"}
security: {master_key_file: %s/master.key}
`, s.ports["gateway"], s.ports["api"], s.ports["server"], s.certs.Cert, s.certs.Key, s.ports["nats"], s.dir)))
}

func (s *system) addWorker() {
	s.add("worker", "worker", s.write("worker", fmt.Sprintf(`
worker: {listen: "127.0.0.1:%d"}
broker: {url: "nats://127.0.0.1:%d"}
security: {master_key_file: %s/master.key}
`, s.ports["worker"], s.ports["nats"], s.dir)))
}

func (s *system) addAgent(i int) {
	name := fmt.Sprint("agent-", i)
	s.add(name, "agent", s.write(name, fmt.Sprintf(`
agent:
  state_dir: %s
  listen: ""
  server: {address: "127.0.0.1:%d", ca_file: %s, retry_max: 2s, enrolment_token_file: "%s"}
  collect: {interval: 1s, timeout: 1s}
`, s.agentDir(i), s.ports["gateway"], s.certs.CA, s.token)))
}

// startAll starts the whole system.
func (s *system) startAll() {
	s.addNATS()
	s.addServer()
	s.addWorker()
	for i := range s.agents {
		s.addAgent(i)
	}
}

// add starts a process and keeps it under its name.
func (s *system) add(name, role, configFile string, env ...string) {
	s.t.Helper()
	p := &proc{name: name, env: append(env, roleVariable+"="+role, "SYSTEMTEST_CONFIG="+configFile, "DATABASE_URL="+s.url)}
	s.procs[name] = p
	s.start(p)
}

func (s *system) start(p *proc) {
	s.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = s.logFile, s.logFile
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.done = make(chan struct{})
	started := make(chan error)
	go func() {
		// Pdeathsig belongs to the thread that starts the child.
		runtime.LockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // killed, mostly
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process as a power cut would, and returns when it is gone.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.done
}

func (s *system) showLog() {
	raw, err := os.ReadFile(s.logFile.Name())
	if err != nil {
		s.t.Log(err)
		return
	}
	lines := bytes.Split(raw, []byte("\n"))
	s.t.Logf("the last lines of the processes:\n%s", bytes.Join(lines[max(0, len(lines)-80):], []byte("\n")))
}

// waitFor asks until ok is true, or fails the test.
func waitFor(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("after %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
