package plugin_test

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/plugin"
	. "github.com/sentinelgo/sentinel/internal/plugin/plugintest" //nolint:staticcheck // modules are written in its words
)

// signed returns a bundle signed with the bench's key.
func (b *bench) signed(manifest string, module []byte) plugin.Bundle {
	bundle := plugin.Bundle{RawManifest: []byte(manifest), Module: module}
	bundle.Sign(b.key)
	return bundle
}

func (b *bench) trusted() []plugin.PublicKey {
	return []plugin.PublicKey{plugin.PublicKey(b.key.Public().(ed25519.PublicKey))}
}

// P25: no bit of a bundle can be another. All flips are tried on the verification, and
// some on a process, as an agent starts it.
func TestP25EveryBitCounts(t *testing.T) {
	b := newBench(t, nil)
	raw := b.signed(manifest("bits", "1.0.0"), Emitting(Record("bits", 1))).Append(nil)
	if good, err := plugin.DecodeBundle(raw); err != nil || good.Verify(b.trusted()) != nil {
		t.Fatal("the bundle itself is not good")
	}
	for at := range len(raw) * 8 {
		raw[at/8] ^= 1 << (at % 8)
		bundle, err := plugin.DecodeBundle(raw)
		if err == nil {
			err = bundle.Verify(b.trusted())
		}
		if err == nil {
			t.Fatalf("bit %d may be another", at)
		}
		if at%199 == 0 {
			b.raw("bits", raw)
			for _, s := range b.look() {
				if s.State != plugin.Refused {
					t.Fatalf("bit %d: it runs: %+v", at, s)
				}
			}
		}
		raw[at/8] ^= 1 << (at % 8)
	}
	for n := range len(raw) {
		if bundle, err := plugin.DecodeBundle(raw[:n]); err == nil && bundle.Verify(b.trusted()) == nil {
			t.Fatalf("the first %d bytes are taken", n)
		}
	}
	if _, err := plugin.DecodeBundle(append(raw, 0)); err == nil {
		t.Error("a byte more is taken")
	}
	if _, said := b.said.get("bits"); said {
		t.Error("something ran")
	}
}

// P25: who signed it has to be trusted, and what was signed has to be this.
func TestP25WhoSigned(t *testing.T) {
	b := newBench(t, nil)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	one, two := b.signed(manifest("one", "1.0.0"), Emitting(Record("one", 1))), b.signed(manifest("two", "1.0.0"), Emitting(Record("two", 1)))
	for want, change := range map[string]func() plugin.Bundle{
		"nobody has signed":   func() plugin.Bundle { c := one; c.Key, c.Signature = nil, nil; return c },
		"is not trusted here": func() plugin.Bundle { c := one; c.Sign(stranger); return c },
		"does not fit":        func() plugin.Bundle { c := one; c.RawManifest = two.RawManifest; return c },
		"does not fit its":    func() plugin.Bundle { c := one; c.Module = two.Module; return c },
		"does not fit its c":  func() plugin.Bundle { c := one; c.Signature = two.Signature; return c },
		"does not fit its co": func() plugin.Bundle { // a signature of something else
			c := one
			c.Signature = ed25519.Sign(b.key, []byte(c.Digest()))
			return c
		},
	} {
		b.raw("bundle", change().Append(nil))
		s := b.look()["bundle"]
		if s.State != plugin.Refused || !strings.Contains(s.Error, want) {
			t.Errorf("%s: %+v", want, s)
		}
	}
	b.raw("bundle", one.Append(nil))
	if s := b.look()["one"]; s.State != plugin.Running || s.Signer != b.trusted()[0].String() {
		t.Errorf("the good one: %+v", s)
	}
}

// P25: a version is one content, and a bundle is a file.
func TestP25OneContentPerVersion(t *testing.T) {
	b := newBench(t, nil)
	b.put("swap", manifest("swap", "1.0.0"), Emitting(Record("first", 1)))
	b.look()
	b.put("swap", manifest("swap", "1.0.0"), Emitting(Record("second", 1))) // signed as well
	if s := b.look()["swap"]; s.State != plugin.Refused || !strings.Contains(s.Error, "another content") {
		t.Errorf("the same version with another content: %+v", s)
	}
	if runtime.GOOS == "windows" { // where a link takes a privilege
		return
	}
	path := filepath.Join(b.dir, "plugins", "swap.plugin")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	if s := b.look()["swap"]; s.State != plugin.Refused || !strings.Contains(s.Error, "no regular file") {
		t.Errorf("a link: %+v", s)
	}
}

// P25: nobody brings an old version back, with all its holes.
func TestP25Downgrade(t *testing.T) {
	b := newBench(t, nil)
	module := Emitting(Record("v", 1))
	for _, tt := range []struct{ version, refused string }{
		{"1.2.0", ""}, {"1.10.0", ""}, {"1.9.9", "is older than 1.10.0"}, {"1.10.0", ""}, {"0.99.0", "is older"}, {"2.0.0", ""}, {"1.10.0", "is older"},
	} {
		b.put("v", manifest("v", tt.version), module)
		s := b.look()["v"]
		if (s.State == plugin.Refused) != (tt.refused != "") || !strings.Contains(s.Error, tt.refused) {
			t.Errorf("%s: %+v", tt.version, s)
		}
	}
	if err := os.WriteFile(filepath.Join(b.dir, "plugins.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.put("v", manifest("v", "3.0.0"), module)
	if s := b.look()["v"]; s.State != plugin.Refused || !strings.Contains(s.Error, "plugins.json") {
		t.Errorf("it is not known what ran: %+v", s)
	}
}

// P25: names lead nowhere.
func TestP25OddNames(t *testing.T) {
	b := newBench(t, nil)
	for _, name := range []string{"", "../up", "/abs", "UPPER", "a b", "-a", "1a", "a_b", "ä", "a\x00b", strings.Repeat("a", 33), "{a: b}", "agent\"}"} {
		b.put("odd", manifest("'"+strings.ReplaceAll(name, "\x00", "\\0")+"'", "1.0.0"), Emitting(Record("odd", 1)))
		if s := b.look()["odd"]; s.State != plugin.Refused {
			t.Errorf("%q: %+v", name, s)
		}
	}
	for _, version := range []string{"", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-rc1", "v1.0.0", "1.0.4294967296", "-1.0.0", "1. 0.0"} {
		b.put("odd", manifest("odd", "'"+version+"'"), Emitting(Record("odd", 1)))
		if s := b.look()["odd"]; s.State != plugin.Refused || !strings.Contains(s.Error, "version") {
			t.Errorf("version %q: %+v", version, s)
		}
	}
	for _, file := range []string{"a\nb", "-rf", "ä", strings.Repeat("x", 200)} {
		if runtime.GOOS == "windows" && strings.Contains(file, "\n") {
			continue // there is no such name
		}
		b.put(file, manifest("odd-file", "1.0.0"), Emitting(Record("odd", 1)))
		if s := b.look()["odd-file"]; s.State != plugin.Running {
			t.Errorf("file %q: %+v", file, s)
		}
		if err := os.Remove(filepath.Join(b.dir, "plugins", file+plugin.Suffix)); err != nil {
			t.Fatal(err)
		}
	}
	b.put("one", manifest("same", "1.0.0"), Emitting(Record("odd", 1)))
	b.look()
	b.put("two", manifest("same", "1.0.0"), Emitting(Record("odd", 1)))
	if s := b.look(); s["same"].State != plugin.Running && !strings.Contains(s["same"].Error, "there already") {
		t.Errorf("one name twice: %+v", s)
	}
}

// P25: files are named by full paths, as Unix or as Windows writes them, wherever that is
// looked at; what is allowed of one does not allow what looks like it.
func TestP25PathsOfEverySystem(t *testing.T) {
	parse := func(path string) (plugin.Manifest, error) {
		return plugin.ParseManifest([]byte(manifest("room", "1.0.0", fmt.Sprintf("capabilities: {files: [%q]}", path))))
	}
	for _, path := range []string{"/", "/etc/hostname", `/a\b`, `C:\`, `c:\ProgramData\My App\x.txt`, "/C:/x"} {
		if _, err := parse(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, path := range []string{"", "x", "./x", "/a//b", "/a/", "/a/../b", "/./a", `C:`, `C:x`, `C:/x`, `C:\a/b`, `C:\a\`, `C:\..\a`, `C:\a\\b`, `C:\a:stream`,
		`\\server\share`, `\\?\C:\x`, `\x`, `1:\x`, "/a\x00b", "C:\\a\x00"} {
		if _, err := parse(path); err == nil || !strings.Contains(err.Error(), "files[0]") {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, tt := range []struct {
		allowed, wanted string
		ok              bool
	}{
		{"/a", "/a/b", true}, {"/", "/a", true}, {"/a", "/ab", false}, {`C:\a`, `C:\a\b`, true}, {`C:\`, `C:\a`, true}, {`C:\a`, `C:\ab`, false},
		{`C:\a`, `D:\a\b`, false}, {"/", `C:\a`, false}, {`C:\`, "/a", false}, {"/C:", `C:\a`, false},
	} {
		_, err := plugin.Capabilities{Files: []string{tt.wanted}}.Grant(plugin.Capabilities{Files: []string{tt.allowed}})
		if (err == nil) != tt.ok {
			t.Errorf("%q where %q is allowed: %v", tt.wanted, tt.allowed, err)
		}
	}
}

// P25: what a host does not allow a plugin is refused before it runs, by its name.
func TestP25Ceiling(t *testing.T) {
	b := newBench(t, func(c *plugin.Config) {
		c.Max = 2
		c.Allow.HTTP, c.Allow.PrivateNetworks, c.Allow.Files = []string{"example.org:443", "10.0.0.1"}, []string{"10.0.0.0/8"}, []string{"/sys/class/thermal"}
		c.Settings = map[string]map[string]string{"ask": {"known": "1"}}
	})
	for want, more := range map[string]string{
		`http for "evil.example:443"`:     "capabilities: {http: [evil.example:443]}",
		`http for "example.org"`:          "capabilities: {http: [example.org]}",
		`tcp for "10.0.0.1:6379"`:         "capabilities: {tcp: ['10.0.0.1:6379']}",
		"tcp for anything at all":         "capabilities: {tcp: ['*']}",
		`private_networks for "10.0.0.0/`: "capabilities: {private_networks: [10.0.0.0/7]}",
		`private_networks for "127.0.0.`:  "capabilities: {private_networks: [127.0.0.1]}",
		`files for "/sys/class"`:          "capabilities: {files: [/sys/class]}",
		`files for "/sys/class/thermalX"`: "capabilities: {files: [/sys/class/thermalX]}",
		"want a full path":                "capabilities: {files: [/sys/class/thermal/../../../etc]}",
		"agent.plugins.allow.memory_mib":  "memory_mib: 65",
		"agent.plugins.allow.max_series":  "max_series: 2001",
		"allow.min_interval":              "timeout: 500ms\ninterval: 999ms",
		"agent.plugins.allow.max_timeout": "timeout: 11s\ninterval: 20s",
		`no setting "known"`:              "",
		`the setting "needed" is missing`: "config: {needed: {required: true}, known: {}}",
	} {
		text := strings.Replace(manifest("ask", "1.0.0", more), "interval: 5s\n", "", min(strings.Count(more, "interval"), 1))
		b.put("ask", text, Emitting(Record("ask", 1)))
		var got plugin.Status
		for _, got = range b.look() {
		}
		if got.State != plugin.Refused || !strings.Contains(got.Error, want) && want != "allow.min_interval" {
			t.Errorf("%s: %+v", want, got)
		}
	}
	b.put("ask", manifest("ask", "1.0.0", "capabilities: {http: ['*', '10.0.0.1:80'], private_networks: [10.1.0.0/16], files: [/sys/class/thermal/thermal_zone0/temp]}\nconfig: {known: {}}"), Emitting(Record("ask", 1)))
	if s := b.look()["ask"]; s.State != plugin.Running {
		t.Errorf("what is allowed: %+v", s)
	}
	b.put("b", manifest("b", "1.0.0"), Emitting(Record("ask", 1)))
	b.put("c", manifest("c", "1.0.0"), Emitting(Record("ask", 1)))
	if s := b.look()["c"]; s.State != plugin.Refused || !strings.Contains(s.Error, "agent.plugins.max") {
		t.Errorf("one too many: %+v", s)
	}
}

// Without a signature only development runs, and says so.
func TestP25UnsignedIsSaid(t *testing.T) {
	b := newBench(t, func(c *plugin.Config) { c.AllowUnsigned = true })
	bundle := plugin.Bundle{RawManifest: []byte(manifest("dev", "1.0.0")), Module: Emitting(Record("dev", 1))}
	b.raw("dev", bundle.Append(nil))
	if s := b.look()["dev"]; s.State != plugin.Running || s.Signer != "" {
		t.Fatalf("it is %+v", s)
	}
	b.collect("dev")
	if v, _ := b.said.get("sentinel_plugin_unsigned"); v != 1 {
		t.Error("it is not said that it is unsigned")
	}
	bundle.RawManifest = []byte(manifest("dev", "0.9.0")) // to and fro
	b.raw("dev", bundle.Append(nil))
	if s := b.look()["dev"]; s.State != plugin.Running {
		t.Errorf("an older one, in development: %+v", s)
	}
}
