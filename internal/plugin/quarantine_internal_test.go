package plugin

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// nowhere is a Sink that knows everything.
type nowhere struct{}

func (nowhere) Set([]byte, float64) bool                { return true }
func (nowhere) Define([]byte, sentinel.Series, float64) {}

// loaded returns the plugins of a host with a bundle of this module, its path, and what
// puts another one there, signed by the same key.
func loaded(t testing.TB, module []byte) (m *Manager, path string, swap func(module []byte)) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "plugins", "x.plugin")
	swap = func(module []byte) {
		bundle := Bundle{RawManifest: []byte("name: x\nversion: 1.0.0\nabi: 1\n"), Module: module}
		bundle.Sign(key)
		if err := os.WriteFile(path, bundle.Append(nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	swap(module)
	cfg := DefaultConfig()
	cfg.TrustedKeys = []string{PublicKey(public).String()}
	m, err = NewManager(cfg, Deps{State: dir, Logger: slog.New(slog.DiscardHandler), Program: []string{os.Args[0], Command}, Run: func(context.Context, *Plugin) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return m, path, swap
}

// names is a Sink that keeps names.
type names map[string]bool

func (n names) Set([]byte, float64) bool                      { return false }
func (n names) Define(_ []byte, s sentinel.Series, _ float64) { n[s.Name] = true }

// P25: what is run is what was looked at, whatever is put in its place.
func TestP25SwapBetweenCheckAndRun(t *testing.T) {
	first := plugintest.Emitting(plugintest.Record("first", 1))
	m, path, swap := loaded(t, first)
	p, err := m.inspect(t.Context(), path, m.cache(path), "")
	if err == nil {
		err = m.admit(p, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	swap(plugintest.Emitting(plugintest.Record("second", 1)))
	said := names{}
	if err := p.Collect(t.Context(), said); sentinel.CodeOf(err) != sentinel.Conflict {
		t.Errorf("it ran: %v", err)
	}
	swap(first)
	p.until = time.Time{}
	if err := p.Collect(t.Context(), said); err != nil || !said["first"] || said["second"] {
		t.Errorf("it said %v, %v", said, err)
	}
}

// P24: pauses grow, and after the fifth breakdown in a row a plugin is left alone for an
// hour; one that works then is as any other.
func TestP24BackOff(t *testing.T) {
	m := &plugintest.Module{}
	m.Plugin(plugintest.Trap(), plugintest.Const(0))
	mgr, path, _ := loaded(t, m.Bytes())
	clock := time.Now()
	mgr.now = func() time.Time { return clock }
	p, err := mgr.inspect(t.Context(), path, mgr.cache(path), "")
	if err == nil {
		err = mgr.admit(p, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	for i, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, quarantineFor, quarantineFor} {
		if err := p.Collect(t.Context(), nowhere{}); sentinel.CodeOf(err) != sentinel.Invalid {
			t.Fatalf("breakdown %d: %v", i+1, err)
		}
		clock = clock.Add(pause - time.Millisecond)
		starts := p.n.starts
		if err := p.Collect(t.Context(), nowhere{}); sentinel.CodeOf(err) != sentinel.Unavailable || p.n.starts != starts {
			t.Fatalf("after breakdown %d it was started too early: %v", i+1, err)
		}
		if want := map[bool]State{false: BackingOff, true: Quarantined}[pause == quarantineFor]; p.Status().State != want {
			t.Errorf("after breakdown %d it is %s", i+1, p.Status().State)
		}
		clock = clock.Add(time.Millisecond)
	}
	if p.n.starts != 6 || p.n.errors != 6 || p.n.kills != 0 {
		t.Errorf("it counts %+v", p.n)
	}
}
