//go:build linux

package systemtest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/app/agent"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/fleet"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
	"github.com/sentinelgo/sentinel/internal/postgres"
)

// playFleet is many agents in one process, each with a folder, a log, a session and
// processes of plugins of its own. dir holds one file of configuration for each.
func playFleet(ctx context.Context, dir string, log *slog.Logger) error {
	files, err := filepath.Glob(filepath.Join(dir, "fleet-*.yml"))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, file := range files {
		cfg := agent.DefaultConfig()
		if err := config.Load(file, nil, &cfg); err != nil {
			return err
		}
		for name := range cfg.Agent.Collect.Collectors {
			cfg.Agent.Collect.Collectors[name] = name == "time"
		}
		cfg.Agent.PluginHost = []string{os.Args[0], plugin.Command}
		group.Go(func() error { return agent.Run(ctx, cfg, "test", log) })
	}
	return group.Wait()
}

// childrenOf returns the processes that a process has started.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range lists {
		if raw, err := os.ReadFile(path); err == nil {
			all = append(all, strings.Fields(string(raw))...)
		}
	}
	return all
}

// pushPatience is how long a plugin may take from its push to a sample of each agent.
const pushPatience = 30 * time.Second

// P24, and: a plugin that is pushed, in two stages, has a sample of each agent in the database
// within 30 s. SENTINEL_FLEET_AGENTS=200 does it with as many.
func TestP24PluginReachesTheFleet(t *testing.T) {
	n := 8
	if text := os.Getenv("SENTINEL_FLEET_AGENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newSystem(t, n)
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.addNATS()
	s.addServer()
	s.addWorker()
	for i := range s.agents {
		s.write(fmt.Sprint("fleet-", i), fmt.Sprintf(`
agent:
  state_dir: %s
  listen: ""
  server: {address: "127.0.0.1:%d", ca_file: %s, retry_max: 2s}
  collect: {interval: 5s, timeout: 1s}
  plugins: {trusted_keys: [%q]}
`, s.agentDir(i), s.ports["gateway"], s.certs.CA, plugin.PublicKey(public)))
	}
	s.add("fleet", "fleet", s.dir)
	db, err := pgx.Connect(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	said := func(metric string) (agents int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `SELECT count(DISTINCT agent) FROM samples WHERE name = $1 AND ts > now() - interval '10 minutes'`, metric).Scan(&agents); err != nil {
			t.Fatal(err)
		}
		return agents
	}
	waitFor(t, 2*time.Minute, "not all agents have come", func() bool { return said("node_time_seconds") == n })

	bundle := plugin.Bundle{RawManifest: []byte("name: hello\nversion: 1.0.0\nabi: 1\ninterval: 5s\ntimeout: 1s\n"), Module: plugintest.Emitting(plugintest.Record("hello", 42))}
	bundle.Sign(key)
	begin := time.Now()
	by := fleet.Console("test")
	if _, err := s.db.AddPlugin(t.Context(), by, postgres.PluginBundle{Name: "hello", Version: "1.0.0", Digest: bundle.Digest(), Signer: plugin.PublicKey(public).String()}, bundle.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.db.PutRollout(t.Context(), by, postgres.Rollout{Name: "hello", Version: "1.0.0", Stages: []int32{10, 100}, Hold: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	most := 0
	waitFor(t, 2*pushPatience, "the plugin has not reached all agents", func() bool { most = said("hello"); return most == n })
	took := time.Since(begin)
	t.Logf("%d agents, from push to a sample of each in the database: %s", n, took.Round(100*time.Millisecond))
	if took > pushPatience {
		t.Errorf("it took %s, want %s", took, pushPatience)
	}
	// P24: the processes of plugins end with their agent, however that ends.
	fleetProcess := s.procs["fleet"]
	children := childrenOf(t, fleetProcess.cmd.Process.Pid)
	if len(children) < n {
		t.Errorf("%d agents have %d processes of plugins", n, len(children))
	}
	fleetProcess.kill()
	waitFor(t, 10*time.Second, "processes of plugins outlive their agent", func() bool {
		for _, pid := range children {
			if raw, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline")); err == nil && len(raw) > 0 {
				return false
			}
		}
		return true
	})
	s.start(fleetProcess)
	if err := s.db.DeletePlugin(t.Context(), by, "hello"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "the plugin does not leave", func() bool {
		for i := range s.agents {
			if _, err := os.Stat(filepath.Join(s.agentDir(i), "plugins-remote", "hello.plugin")); err == nil {
				return false
			}
		}
		return true
	})
}
