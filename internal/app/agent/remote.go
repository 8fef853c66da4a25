package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/collector"
	"github.com/sentinelgo/sentinel/internal/config"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// remoteName is the file in the state folder with what the service told the agent to
// collect, so that it holds without the service too.
const remoteName = "remote.json"

// remote is what the service told the agent to collect.
type remote struct {
	Version uint64 `json:"version"` // 0: nothing
	Content string `json:"content"`

	overlay collector.Overlay
}

// loadRemote returns what was kept. What cannot be read, or used, is nothing: the
// service tells the agent again.
func loadRemote(dir string) (r remote, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, remoteName))
	if errors.Is(err, fs.ErrNotExist) {
		return remote{}, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err == nil {
		err = config.Decode(remoteName, []byte(r.Content), &r.overlay)
	}
	if err != nil {
		return remote{}, fmt.Errorf("%s: %w", remoteName, err)
	}
	return r, nil
}

func (r remote) save(dir string) error {
	raw, err := json.Marshal(r)
	if err == nil {
		err = atomicfile.Replace(filepath.Join(dir, remoteName), raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the configuration: %w", err)
	}
	return nil
}

// over returns what runs: the host's own configuration, and over it what the service
// told the agent, where the host lets it.
func (r remote) over(c Config) Config {
	if r.Version != 0 && c.Agent.Remote.Enabled {
		c.Agent.Collect = r.overlay.Over(c.Agent.Collect, c.Agent.Remote)
	}
	return c
}

// configVersion returns the version of what the service told the agent and the agent
// runs with.
func (l *life) configVersion() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.base.Agent.Remote.Enabled {
		return 0
	}
	return l.remote.Version
}

// configure applies what the service tells the agent to collect; version 0 is
// nothing. Where it cannot be applied, or kept, the agent goes on with what it had.
func (l *life) configure(version uint64, content []byte) error {
	l.reloading.Lock()
	defer l.reloading.Unlock()
	l.mu.Lock()
	base, now := l.base, l.remote
	l.mu.Unlock()
	if !base.Agent.Remote.Enabled && version != 0 {
		return sentinel.Errorf(sentinel.Forbidden, "this host takes no configuration from the service: agent.remote.enabled is false there")
	}
	next := remote{Version: version, Content: string(content)}
	var err error
	if version != 0 {
		if err = config.Decode("configuration", content, &next.overlay); err != nil {
			return err
		}
	}
	cfg := next.over(base)
	t, err := prepare(cfg.Agent, l.self, l.logger)
	if err != nil {
		return err
	}
	if err := next.save(base.Agent.StateDir); err != nil {
		return err
	}
	if _, err := l.change(cfg, t); err != nil {
		_ = now.save(base.Agent.StateDir) // what it had; else the service tells it again
		return err
	}
	l.mu.Lock()
	l.remote = next
	l.mu.Unlock()
	l.logger.Info("the service has changed what is collected", "version", version, "interval", cfg.Agent.Collect.Interval)
	return nil
}
