package plugin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sentinelgo/sentinel/internal/atomicfile"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Deliver puts a bundle that the service delivered in place of the one of the same name,
// if it is what it should be and may run here; else what runs goes on and the error says
// why. The bundle is in a file of the RemoteFolder, which Deliver moves or removes.
func (m *Manager) Deliver(ctx context.Context, file, name, digest string) error {
	part := filepath.Join(m.RemoteFolder(), file)
	defer os.Remove(part) // where it was not moved
	if !m.cfg.Enabled || !m.cfg.Remote {
		return ErrNotRemote
	}
	if !validName(name) {
		return sentinel.Errorf(sentinel.Invalid, "%.60q is no name of a plugin", name)
	}
	target := m.remotePath(name)
	m.mu.Lock()
	m.delivered = target
	m.mu.Unlock()
	p, err := m.inspect(ctx, part, m.cache(target), digest)
	if err != nil {
		return err
	}
	if p.Manifest.Name != name {
		return sentinel.Errorf(sentinel.Invalid, "the bundle is of the plugin %s, not of %s", p.Manifest.Name, name)
	}
	if p.Signer == "" {
		return sentinel.Errorf(sentinel.Unauthenticated, "no key that is trusted here signed the bundle; what the service delivers must be signed")
	}
	if err := m.admit(p, target); err != nil {
		return err
	}
	if err := atomicfile.Rename(part, target); err != nil {
		return fmt.Errorf("keep a delivered plugin: %w", err)
	}
	m.Nudge()
	return nil
}

// ErrNotRemote says that this host takes no plugins from the service.
var ErrNotRemote = sentinel.Errorf(sentinel.Forbidden, "this host takes no plugins from the service: agent.plugins.remote is false there")

// Withdraw removes a bundle that the service delivered and does not want any more.
func (m *Manager) Withdraw(name string) error {
	if !validName(name) {
		return nil
	}
	err := os.Remove(m.remotePath(name))
	if os.IsNotExist(err) {
		err = nil
	}
	m.Nudge()
	return err
}

func (m *Manager) remotePath(name string) string {
	return filepath.Join(m.RemoteFolder(), name+Suffix)
}

// Remote reports whether this host takes plugins from the service.
func (m *Manager) Remote() bool { return m.cfg.Enabled && m.cfg.Remote }
