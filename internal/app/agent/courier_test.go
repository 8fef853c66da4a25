package agent

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// delivery is a courier whose service is the test.
type delivery struct {
	t   *testing.T
	c   *courier
	dir string
	key ed25519.PrivateKey
}

func newDelivery(t *testing.T, change func(*plugin.Config)) *delivery {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := plugin.DefaultConfig()
	cfg.TrustedKeys = []string{plugin.PublicKey(public).String()}
	if change != nil {
		change(&cfg)
	}
	d := &delivery{t: t, dir: t.TempDir(), key: key}
	run := func(ctx context.Context, _ *plugin.Plugin) error { <-ctx.Done(); return nil }
	m, err := plugin.NewManager(cfg, plugin.Deps{State: d.dir, Logger: slog.New(slog.DiscardHandler), Run: run, Program: []string{os.Args[0], plugin.Command}})
	if err != nil {
		t.Fatal(err)
	}
	d.c = newCourier(func() *plugin.Manager { return m }, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- d.c.run(ctx) }()
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended; <-ended })
	return d
}

// bundle returns one that is signed, and how a service names it.
func (d *delivery) bundle(name, version, more string) ([]byte, *sentinelpb.PluginRef) {
	b := plugin.Bundle{RawManifest: []byte("name: " + name + "\nversion: " + version + "\nabi: 1\n" + more), Module: plugintest.Emitting(plugintest.Record("x", 1))}
	b.Sign(d.key)
	raw := b.Append(nil)
	return raw, &sentinelpb.PluginRef{Name: name, Version: version, Digest: b.Digest(), Size: uint32(len(raw))}
}

// answer plays the service until the courier reports on a plugin, and returns that.
func (d *delivery) answer(raw []byte) *sentinelpb.PluginState {
	d.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case m := <-d.c.Outgoing():
			if w := m.GetPluginWant(); w != nil {
				end := min(int(w.GetOffset())+100, len(raw)) // in small parts
				d.c.Chunk(&sentinelpb.PluginChunk{Digest: w.GetDigest(), Offset: w.GetOffset(), Data: raw[w.GetOffset():end]})
			}
			if r := m.GetPluginReport(); len(r.GetPlugins()) > 0 {
				return r.GetPlugins()[0]
			}
		case <-late:
			d.t.Fatal("nothing is reported")
		}
	}
}

func (d *delivery) there(name string) bool {
	_, err := os.Stat(filepath.Join(d.dir, "plugins-remote", name+plugin.Suffix))
	return err == nil
}

// P25: what the service delivers is run where this host trusts and allows it, else it is
// said why not, and what ran before goes on.
func TestP25TheHostDecidesWhatIsDelivered(t *testing.T) {
	for want, tt := range map[string]struct {
		change func(*plugin.Config)
		more   string
		spoil  func(raw []byte, ref *sentinelpb.PluginRef) []byte
	}{
		"agent.plugins.remote is false":  {change: func(c *plugin.Config) { c.Remote = false }},
		"is not trusted here":            {change: func(c *plugin.Config) { c.TrustedKeys = nil }},
		"no key that is trusted here":    {change: func(c *plugin.Config) { c.TrustedKeys, c.AllowUnsigned = nil, true }},
		"agent.plugins.allow.files":      {more: "capabilities: {files: [/etc]}\n"},
		"agent.plugins.allow.memory_mib": {more: "memory_mib: 100\n"},
		"not the one":                    {spoil: func(raw []byte, ref *sentinelpb.PluginRef) []byte { ref.Digest = strings.Repeat("0", 64); return raw }},
		"of the plugin room, not of hut": {spoil: func(raw []byte, ref *sentinelpb.PluginRef) []byte { ref.Name = "hut"; return raw }},
		"is no name of a plugin":         {spoil: func(raw []byte, ref *sentinelpb.PluginRef) []byte { ref.Name = "../../etc/x"; return raw }},
		"does not have it any more":      {spoil: func([]byte, *sentinelpb.PluginRef) []byte { return nil }},
		"too large":                      {spoil: func(raw []byte, ref *sentinelpb.PluginRef) []byte { ref.Size = 1 << 31; return raw }},
	} {
		t.Run(want, func(t *testing.T) {
			d := newDelivery(t, tt.change)
			raw, ref := d.bundle("room", "1.0.0", tt.more)
			if tt.spoil != nil {
				raw = tt.spoil(raw, ref)
			}
			d.c.Begin(&sentinelpb.PluginSet{Plugins: []*sentinelpb.PluginRef{ref}})
			got := d.answer(raw)
			if got.GetState() != "refused" || !strings.Contains(got.GetError(), want) {
				t.Errorf("reported %v", got)
			}
			if d.there("room") || d.there("hut") {
				t.Error("it was kept")
			}
		})
	}
}

func TestDeliveredPluginsComeAndGo(t *testing.T) {
	d := newDelivery(t, nil)
	raw, ref := d.bundle("room", "1.0.0", "")
	d.c.Begin(&sentinelpb.PluginSet{Plugins: []*sentinelpb.PluginRef{ref}})
	fetched := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !d.there("room") {
		select {
		case m := <-d.c.Outgoing():
			if w := m.GetPluginWant(); w != nil {
				fetched++
				d.c.Chunk(&sentinelpb.PluginChunk{Digest: "another", Offset: w.GetOffset(), Data: []byte("rubbish")}) // passed over, or overtaken
				d.c.Chunk(&sentinelpb.PluginChunk{Digest: w.GetDigest(), Offset: w.GetOffset(), Data: raw[w.GetOffset():]})
			}
		case <-tick.C:
		}
	}
	if fetched != 1 {
		t.Errorf("it asked %d times", fetched)
	}
	// A version that this host refuses leaves the one before where it is.
	bad, worse := d.bundle("room", "1.1.0", "memory_mib: 1000\n")
	d.c.Set(&sentinelpb.PluginSet{Plugins: []*sentinelpb.PluginRef{worse}})
	if got := d.answer(bad); got.GetVersion() != "1.1.0" || got.GetState() != "refused" || !d.there("room") {
		t.Errorf("reported %v", got)
	}
	d.c.Set(&sentinelpb.PluginSet{})
	for d.there("room") {
		select {
		case <-d.c.Outgoing():
		case <-tick.C:
		}
	}
}
