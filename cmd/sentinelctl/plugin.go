package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sentinelgo/sentinel/cmd/internal/command"
	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
	"github.com/sentinelgo/sentinel/internal/sentinel"
	"github.com/sentinelgo/sentinel/sdk/go"
)

func (c *ctl) pluginCommand() *cobra.Command {
	group := &cobra.Command{Use: "plugin", Short: "Write, test, sign and deliver plugins", Args: command.NoArgs,
		Long: `Write, test, sign and deliver plugins: collectors in WebAssembly that agents run
without trusting them. docs/plugins.md walks through all of it.`,
		Example: `  sentinelctl plugin new room
  sentinelctl plugin run room
  sentinelctl plugin keygen --out operator.key
  sentinelctl plugin pack room --key operator.key
  sentinelctl plugin push room-0.1.0.plugin --label site=fra`}
	group.AddCommand(c.pluginNew(), c.pluginBuild(), c.pluginCheck(), c.pluginRun(), c.pluginPack(), c.pluginKeygen(), c.pluginSign(), c.pluginInspect(),
		c.pluginPush(), c.pluginList(), c.pluginStatus(), c.pluginRemove())
	return group
}

const pluginFolder = "a plugin's folder, by default this one"

func (c *ctl) pluginNew() *cobra.Command {
	cmd := &cobra.Command{Use: "new NAME", Short: "Begin a plugin in Go", Args: command.Args(1, 1, "the plugin's name, of a-z, 0-9 and '-'"),
		Long: `Begin a plugin in Go, in a folder of its name: a manifest, a collector that works, a
test, and a copy of the SDK. It is built with plain Go from this folder alone.`,
		Example: "  sentinelctl plugin new room"}
	dir := cmd.Flags().String("dir", "", "the folder; by default the name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if *dir == "" {
			*dir = name
		}
		files, err := newPlugin(name)
		if err != nil {
			return err
		}
		if _, err := os.Stat(*dir); err == nil {
			return sentinel.Errorf(sentinel.Conflict, "%s is there already; --dir names another folder", *dir)
		}
		for _, path := range slices.Sorted(maps.Keys(files)) {
			full := filepath.Join(*dir, path)
			err := os.MkdirAll(filepath.Dir(full), 0o755)
			if err == nil {
				err = os.WriteFile(full, []byte(files[path]), 0o644)
			}
			if err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds a plugin that works; main.go is where it collects\n  sentinelctl plugin run %s\n", *dir, *dir)
		return err
	}
	return cmd
}

// newPlugin returns the files of a plugin that works, by their paths.
func newPlugin(name string) (map[string]string, error) {
	module := "example.com/" + name
	out := map[string]string{"go.mod": "module " + module + "\n\ngo 1.24\n", "manifest.yml": fmt.Sprintf(newManifest, name), "main.go": fmt.Sprintf(newMain, name, module, strings.ReplaceAll(name, "-", "_")),
		"main_test.go": fmt.Sprintf(newTest, module, strings.ReplaceAll(name, "-", "_")), ".gitignore": "*.wasm\n*.plugin\n"}
	if _, err := plugin.ParseManifest([]byte(out["manifest.yml"])); err != nil {
		return nil, err
	}
	err := fs.WalkDir(sdk.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := sdk.Files.ReadFile(path)
		out[path] = strings.ReplaceAll(string(raw), `"`+sdk.Path+"/", `"`+module+"/")
		return err
	})
	return out, err
}

const newManifest = `name: %s
version: 0.1.0
description: Says one number.
abi: 1
interval: 15s
timeout: 1s
# What it may do beyond saying samples, such as
#   capabilities: {http: ["127.0.0.1:8080"], private_networks: [127.0.0.0/8], files: [/proc/loadavg]}
# Settings that hosts can give it:
config:
  greeting:
    description: The value of the label greeting.
    default: hello
`

const newMain = `// Command %s is a plugin of Sentinel's agents.
package main

import "%s/sentinel"

var _ = sentinel.Collect(collect)

func main() {}

// collections is kept for as long as the plugin runs.
var collections float64

// collect is called once in each interval.
func collect(c *sentinel.Collection) error {
	collections++
	c.Counter("%s_collections_total", collections, sentinel.L("greeting", sentinel.Config("greeting")))
	return nil
}
`

const newTest = `package main

import (
	"testing"

	"%s/sentinel/sentineltest"
)

func TestCollect(t *testing.T) {
	h := sentineltest.Host{Config: map[string]string{"greeting": "hi"}}
	got, err := h.Collect()
	if err != nil {
		t.Fatal(err)
	}
	if got[` + "`%s_collections_total{greeting=\"hi\"}`" + `] != 1 {
		t.Errorf("got %%v", got)
	}
}
`

// moduleFile is what build leaves in a plugin's folder.
const moduleFile = "plugin.wasm"

func folderOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

func (c *ctl) pluginBuild() *cobra.Command {
	cmd := &cobra.Command{Use: "build [DIR]", Short: "Build a plugin in Go", Args: command.Args(0, 1, pluginFolder),
		Long: `Build a plugin in Go, with the go command on this host, into ` + moduleFile + ` in its
folder. A plugin in another language is built with its own tools into the same file.`,
		Example: "  sentinelctl plugin build room"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir := folderOf(args)
		if err := buildPlugin(cmd.Context(), dir); err != nil {
			return err
		}
		about, err := os.Stat(filepath.Join(dir, moduleFile))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, %d bytes\n", filepath.Join(dir, moduleFile), about.Size())
		return err
	}
	return cmd
}

func buildPlugin(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "main.go")); err != nil {
		return sentinel.Errorf(sentinel.NotFound, "%s holds no plugin in Go: %w; `sentinelctl plugin new NAME` begins one", dir, err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags", "-s -w", "-o", moduleFile, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return sentinel.Errorf(sentinel.Invalid, "go build: %w\n%s", err, out)
	}
	return nil
}

// bundleOf returns the bundle in a file, or what the plugin in a folder makes: its
// manifest, and the module that was built, or is built now where there is none that is
// newer than the sources.
func bundleOf(ctx context.Context, path string) (b plugin.Bundle, err error) {
	about, err := os.Stat(path)
	if err != nil {
		return b, sentinel.Errorf(sentinel.NotFound, "%w; want a bundle or a plugin's folder", err)
	}
	if !about.IsDir() {
		return plugin.ReadBundle(path)
	}
	if b.RawManifest, err = os.ReadFile(filepath.Join(path, "manifest.yml")); err != nil {
		return b, sentinel.Errorf(sentinel.NotFound, "%s holds no plugin: %w", path, err)
	}
	if _, err := os.Stat(filepath.Join(path, "main.go")); err == nil {
		if err := buildPlugin(ctx, path); err != nil {
			return b, err
		}
	}
	if b.Module, err = os.ReadFile(filepath.Join(path, moduleFile)); err != nil {
		return b, sentinel.Errorf(sentinel.NotFound, "%w; `sentinelctl plugin build %s` makes it of Go, other tools of other languages", err, path)
	}
	return b, nil
}

func (c *ctl) pluginCheck() *cobra.Command {
	cmd := &cobra.Command{Use: "check [DIR | BUNDLE]", Short: "Check that agents could load a plugin", Args: command.Args(0, 1, pluginFolder+", or a bundle"),
		Long: `Check that agents could load a plugin: its manifest, the form of its module, that it
asks for what it calls, that it compiles. Nothing of it runs. What a host has to allow
is said.`,
		Example: "  sentinelctl plugin check room"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := bundleOf(cmd.Context(), folderOf(args))
		if err != nil {
			return err
		}
		m, err := host.Check(b)
		if err == nil {
			err = host.Compile(cmd.Context(), b, host.Options{})
		}
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), aboutPlugin(b, m), infoOf(b, m))
	}
	return cmd
}

// pluginInfo is what a bundle is, for programs.
type pluginInfo struct {
	Name         string              `json:"name"`
	Version      string              `json:"version"`
	Digest       string              `json:"digest"`
	Signer       string              `json:"signer,omitempty"`
	Bytes        int                 `json:"module_bytes"`
	Interval     string              `json:"interval"`
	Timeout      string              `json:"timeout"`
	MemoryMiB    int                 `json:"memory_mib"`
	MaxSeries    int                 `json:"max_series"`
	Capabilities map[string][]string `json:"capabilities"`
	Settings     []string            `json:"settings"`
}

func infoOf(b plugin.Bundle, m plugin.Manifest) pluginInfo {
	out := pluginInfo{Name: m.Name, Version: m.Version, Digest: b.Digest(), Bytes: len(b.Module), Interval: sentinel.FormatDuration(m.Interval), Timeout: sentinel.FormatDuration(m.Timeout),
		MemoryMiB: m.MemoryMiB, MaxSeries: m.MaxSeries, Capabilities: map[string][]string{}, Settings: slices.Sorted(maps.Keys(m.Config))}
	if b.Signed() {
		out.Signer = plugin.PublicKey(b.Key).String()
	}
	for key, list := range map[string][]string{"http": m.Capabilities.HTTP, "tcp": m.Capabilities.TCP, "private_networks": m.Capabilities.PrivateNetworks, "files": m.Capabilities.Files} {
		if len(list) > 0 {
			out.Capabilities[key] = list
		}
	}
	return out
}

func aboutPlugin(b plugin.Bundle, m plugin.Manifest) table {
	d := infoOf(b, m)
	t := table{columns: []string{"key", "value"}}
	t.add("name", d.Name)
	t.add("version", d.Version)
	t.add("digest", d.Digest)
	signer := "nobody"
	if d.Signer != "" {
		signer = d.Signer
	}
	t.add("signed by", signer)
	t.add("module", fmt.Sprintf("%d bytes", d.Bytes))
	t.add("collects", fmt.Sprintf("every %s, for at most %s, with at most %d MiB and %d series", d.Interval, d.Timeout, d.MemoryMiB, d.MaxSeries))
	if len(d.Capabilities) == 0 {
		t.add("wants", "nothing: it can say samples, and no more")
	}
	for _, key := range slices.Sorted(maps.Keys(d.Capabilities)) {
		t.add("wants "+key, strings.Join(d.Capabilities[key], ", "))
	}
	for _, key := range d.Settings {
		s := m.Config[key]
		what := fmt.Sprintf("%s (default %q)", s.Description, s.Default)
		if s.Required {
			what = s.Description + " (required)"
		}
		t.add("setting "+key, what)
	}
	return t
}

func (c *ctl) pluginRun() *cobra.Command {
	cmd := &cobra.Command{Use: "run [DIR | BUNDLE]", Short: "Run a plugin once, as an agent would", Args: command.Args(0, 1, pluginFolder+", or a bundle"),
		Long: `Run a plugin once, in a process of its own with the limits that agents set it, and
print its samples. It gets all that its manifest asks for, on this host.`,
		Example: "  sentinelctl plugin run room --set greeting=hi"}
	settings := cmd.Flags().StringArray("set", nil, "name=value of a setting; may stand there several times")
	times := cmd.Flags().Int("times", 1, "collect so many times, and print the last")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set, err := labelFlags(*settings)
		if err != nil || *times < 1 {
			return sentinel.Errorf(sentinel.Invalid, "--set: want name=value, and --times at least 1")
		}
		b, err := bundleOf(cmd.Context(), folderOf(args))
		if err != nil {
			return err
		}
		m, err := host.Check(b)
		if err != nil {
			return err
		}
		f, err := os.CreateTemp("", "*"+plugin.Suffix)
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		_, err = f.Write(b.Append(nil))
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		out := &samples{known: map[string]int{}}
		_, err = plugin.Once(cmd.Context(), everything(m, set), plugin.Deps{Logger: logger}, f.Name(), *times, out)
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), out.table(), out.list)
	}
	return cmd
}

// everything lets a plugin have what it wants.
func everything(m plugin.Manifest, set map[string]string) plugin.Config {
	cfg := plugin.DefaultConfig()
	cfg.AllowUnsigned = true
	cfg.Allow = plugin.Ceiling{
		Capabilities: plugin.Capabilities{HTTP: []string{"*"}, TCP: []string{"*"}, PrivateNetworks: []string{"0.0.0.0/0", "::/0"}, Files: m.Capabilities.Files},
		MemoryMiB:    m.MemoryMiB, MaxSeries: m.MaxSeries, MinInterval: m.Interval, MaxTimeout: m.Timeout,
	}
	cfg.Settings = map[string]map[string]string{m.Name: set}
	return cfg
}

// samples are what a plugin said, in its order.
type samples struct {
	known map[string]int
	list  []pluginSample
}

type pluginSample struct {
	Series string  `json:"series"`
	Kind   string  `json:"kind"`
	Value  float64 `json:"value"`
}

// Set implements plugin.Sink.
func (s *samples) Set(key []byte, v float64) bool {
	i, known := s.known[string(key)]
	if known {
		s.list[i].Value = v
	}
	return known
}

// Define implements plugin.Sink.
func (s *samples) Define(key []byte, series sentinel.Series, v float64) {
	s.known[string(key)] = len(s.list)
	s.list = append(s.list, pluginSample{series.String(), series.Kind.String(), v})
}

func (s *samples) table() table {
	t := table{columns: []string{"series", "value", "kind"}, empty: "the plugin said nothing"}
	for _, one := range s.list {
		t.add(one.Series, one.Value, one.Kind)
	}
	return t
}
