package agent

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
)

// bundled returns a signed bundle and the key that signed it.
func bundled(t *testing.T, manifest string, module []byte) ([]byte, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := plugin.Bundle{RawManifest: []byte(manifest), Module: module}
	b.Sign(private)
	return b.Append(nil), plugin.PublicKey(public).String()
}

// A bundle that is put into the folder is collected into the log, beside the
// collectors, and no more when it is taken away.
func TestP24PluginsComeAndGo(t *testing.T) {
	r := newRunning(t)
	hello := plugintest.Emitting(plugintest.Record("hello", 42, "plugin", "liar"), plugintest.Record("sentinel_plugin_runs_total", 77))
	raw, key := bundled(t, "name: hello\nversion: 1.0.0\nabi: 1\ninterval: 1s\ntimeout: 500ms\n", hello)
	r.write(fmt.Sprintf("  host_metrics: true\n  plugins: {trusted_keys: [%q], allow: {min_interval: 1s}}\n", key))
	r.start()
	dir := filepath.Join(r.dir, "state", "plugins")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello.plugin"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := r.reload(); !got.OK {
		t.Fatal(got.Error)
	}
	said := func() string { _, text := r.get("/metrics"); return text }
	r.until("the plugin's samples are there", func() bool { return strings.Contains(said(), `hello{exported_plugin="liar",plugin="hello"} 42`) })
	text := said()
	for _, want := range []string{`sentinel_plugin_success{plugin="hello"} 1`, `sentinel_plugin_unsigned{plugin="hello"} 0`, `sentinel_plugin_info{plugin="hello",version="1.0.0"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, `sentinel_plugin_runs_total{plugin="hello"} 77`) {
		t.Error("a plugin has said what is said of it")
	}
	if got := r.status().Plugins; len(got) != 1 || got[0].State != "running" || got[0].Runs == 0 || got[0].Signer != key {
		t.Errorf("the status is %+v", got)
	}
	if err := os.Remove(filepath.Join(dir, "hello.plugin")); err != nil {
		t.Fatal(err)
	}
	r.reload()
	r.until("the plugin is gone", func() bool { return !strings.Contains(said(), "hello") && len(r.status().Plugins) == 0 })
}
