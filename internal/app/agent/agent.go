// Package agent is the agent's process: it joins collectors, log and uplink.
package agent

import (
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/plugin"
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
	// Remote is what the service may change of Collect.
	Remote collector.Ceiling `yaml:"remote"`
	WAL    wal.Config        `yaml:"wal"`
	// Plugins are collectors that others have written.
	Plugins plugin.Config `yaml:"plugins"`
	// Listen is where /healthz, /readyz and /metrics are served; empty is nowhere.
	Listen string `yaml:"listen"`
	// BufferLimit is how long the agent may be without a server and still be ready.
	BufferLimit time.Duration `yaml:"buffer_limit"`
	// HostMetrics serves the host's last values at /metrics too.
	HostMetrics bool `yaml:"host_metrics"`

	// HandedCredential is the file of a credential that the service manager hands over;
	// empty where it hands none over. It counts until the agent has one of its own.
	HandedCredential string `yaml:"-"`
	// PluginHost is the program, and its arguments, that runs a plugin; nil is this one.
	PluginHost []string `yaml:"-"`
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
			StateDir: state, KeyStore: sign.StoreAuto, Server: uplink.DefaultConfig(), Collect: collector.DefaultConfig(), Remote: collector.DefaultCeiling(), WAL: wal.DefaultConfig(), Plugins: plugin.DefaultConfig(),
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

// store returns what keeps the credential.
func (s Section) store() (sign.Store, error) {
	store, err := sign.OpenStore(s.Credential(), s.KeyStore)
	if err == nil && s.CredentialFile == "" && s.HandedCredential != "" {
		store = store.WithOrigin(s.HandedCredential)
	}
	return store, err
}

// LogDir returns the folder of the write-ahead log.
func (s Section) LogDir() string { return filepath.Join(s.StateDir, "wal") }

func hostInfo(version string) *sentinelpb.AgentInfo {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &sentinelpb.AgentInfo{Hostname: host, Version: version, Os: runtime.GOOS, Arch: runtime.GOARCH}
}
