// Package agent is the agent's process: it joins collectors, log and uplink.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sentinelgo/sentinel/internal/app/process"
	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
	"github.com/sentinelgo/sentinel/internal/sign"
	"github.com/sentinelgo/sentinel/internal/telemetry"
	"github.com/sentinelgo/sentinel/internal/uplink"
	"github.com/sentinelgo/sentinel/internal/wal"
)

// Config is the agent's part of the configuration file.
type Config struct {
	Agent Section             `yaml:"agent"`
	Log   telemetry.LogConfig `yaml:"log"`
}

// Section is what stands below the key agent.
type Section struct {
	// StateDir holds the log, the dead letters and, unless said otherwise, the
	// credential.
	StateDir string `yaml:"state_dir"`
	// CredentialFile is what `sentinelctl agent register --out` wrote.
	CredentialFile string `yaml:"credential_file"`
	// KeyStore says how it is kept.
	KeyStore sign.StoreKind   `yaml:"key_store"`
	Server   uplink.Config    `yaml:"server"`
	Collect  collector.Config `yaml:"collect"`
	WAL      wal.Config       `yaml:"wal"`
	// Listen is where /healthz, /readyz and /metrics are served; empty is nowhere.
	Listen string `yaml:"listen"`
	// BufferLimit is how long the agent may be without a server and still be ready.
	BufferLimit time.Duration `yaml:"buffer_limit"`

	// Acknowledged, where set, is told each cycle that the log has acknowledged.
	// Tests compare what it was told with what the database holds.
	Acknowledged func(wal.Position, sentinel.Cycle) `yaml:"-"`
}

// DefaultConfig returns the agent's defaults on this system.
func DefaultConfig() Config {
	state := "/var/lib/sentinel-agent"
	switch runtime.GOOS {
	case "windows":
		state = filepath.Join(os.Getenv("ProgramData"), "Sentinel", "Agent")
	case "darwin":
		state = "/Library/Application Support/Sentinel/Agent"
	}
	return Config{
		Agent: Section{
			StateDir: state, KeyStore: sign.StoreAuto, Server: uplink.DefaultConfig(), Collect: collector.DefaultConfig(), WAL: wal.DefaultConfig(),
			Listen: "127.0.0.1:9465", BufferLimit: time.Hour,
		},
		Log: telemetry.DefaultLogConfig(),
	}
}

// Validate says which key is wrong and what is allowed.
func (s Section) Validate() error {
	if s.StateDir == "" {
		return sentinel.Errorf(sentinel.Invalid, "state_dir: is empty, want a folder of the agent's own")
	}
	if s.BufferLimit <= 0 {
		return sentinel.Errorf(sentinel.Invalid, "buffer_limit: %s, want more than 0s", s.BufferLimit)
	}
	return nil
}

// Credential returns the path of the credential file.
func (s Section) Credential() string {
	if s.CredentialFile != "" {
		return s.CredentialFile
	}
	return filepath.Join(s.StateDir, "credential.json")
}

// LogDir returns the folder of the write-ahead log.
func (s Section) LogDir() string { return filepath.Join(s.StateDir, "wal") }

const maxDeadLetterBytes = 64 << 20

// Run is the agent until ctx ends; then it returns nil. An error means that it
// could not start: a missing credential, a log in use, an unusable address.
func Run(ctx context.Context, cfg Config, version string, logger *slog.Logger) error {
	c := cfg.Agent
	store, err := sign.OpenStore(c.Credential(), c.KeyStore)
	if err != nil {
		return fmt.Errorf("agent.%w", err)
	}
	cred, err := store.Load()
	if err != nil && (sentinel.CodeOf(err) != sentinel.NotFound || c.Server.EnrolmentTokenFile == "") {
		return fmt.Errorf("agent: %w; `sentinelctl agent register --out %s` makes one, or agent.server.enrolment_token_file buys one", err, c.Credential())
	}
	lis, err := process.Listen(ctx, "agent.listen", c.Listen)
	if err != nil {
		return err
	}
	log, err := wal.Open(c.LogDir(), c.WAL, logger.With("part", "wal"))
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			logger.Error("log could not be closed", "error", err)
		}
	}()
	reg := telemetry.NewRegistry()
	up := uplink.New(c.Server, uplink.Deps{
		Log: log, Identity: store, Info: hostInfo(version), Metrics: reg, Logger: logger.With("part", "uplink"),
		DeadLetter: uplink.DeadLetters{Dir: filepath.Join(c.StateDir, "deadletters"), MaxBytes: maxDeadLetterBytes},
	})
	start := time.Now()
	keep := &keeper{
		log: log, logger: logger, acknowledged: c.Acknowledged, service: up.ServiceTime,
		now: time.Now, elapsed: func() time.Duration { return time.Since(start) },
	}
	set, err := collector.New(c.Collect, logger.With("part", "collector"), collector.WithSelf(keep.self(up.Status)))
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	keep.register(reg, set.Skipped)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer keep.stop()
		return set.Run(ctx, keep)
	})
	group.Go(func() error { return up.Run(ctx) })
	if lis != nil {
		mux := telemetry.Handler(reg, []telemetry.Check{{Name: "log", Ask: keep.healthy}}, []telemetry.Check{
			{Name: "log", Ask: keep.healthy},
			{Name: "uplink", Ask: func(context.Context) error { return uplinkReady(up.Status(), c.BufferLimit) }},
		})
		group.Go(func() error { return telemetry.Serve(ctx, lis, mux) })
	}
	logger.Info("agent started", "agent", cred.Agent, "version", version, "state", c.StateDir)
	return group.Wait()
}

func uplinkReady(s uplink.Status, limit time.Duration) error {
	if !s.Connected && time.Since(s.Since) > limit {
		return sentinel.Errorf(sentinel.Unavailable, "no server for %s: %s", time.Since(s.Since).Round(time.Second), s.LastError)
	}
	return nil
}

func hostInfo(version string) *sentinelpb.AgentInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &sentinelpb.AgentInfo{Hostname: host, Version: version, Os: runtime.GOOS, Arch: runtime.GOARCH}
}
