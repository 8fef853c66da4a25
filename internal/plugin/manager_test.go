package plugin_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// values is a Sink that keeps what it was given last.
type values struct {
	mu     sync.Mutex
	series map[string]string
	values map[string]float64
}

func newValues() *values { return &values{series: map[string]string{}, values: map[string]float64{}} }

func (v *values) Set(key []byte, x float64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	name, known := v.series[string(key)]
	if known {
		v.values[name] = x
	}
	return known
}

func (v *values) Define(key []byte, s sentinel.Series, x float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.series[string(key)], v.values[s.String()] = s.String(), x
}

func (v *values) get(name string) (float64, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	x, is := v.values[name]
	return x, is
}

// one is one collection that has ended.
type one struct {
	plugin *plugin.Plugin
	err    error
	took   time.Duration
}

// bench is an agent's plugins, which collect when the test says so.
type bench struct {
	t        *testing.T
	dir      string
	key      ed25519.PrivateKey
	cfg      plugin.Config
	m        *plugin.Manager
	log      *bytes.Buffer
	said     *values
	patience time.Duration
	mu       sync.Mutex
	runs     map[string]chan chan one
}

func newBench(t *testing.T, change func(*plugin.Config)) *bench {
	t.Helper()
	return newPatientBench(t, time.Second, change)
}

// newPatientBench lets plugins take so long to start.
func newPatientBench(t *testing.T, patience time.Duration, change func(*plugin.Config)) *bench {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: t.TempDir(), key: private, cfg: plugin.DefaultConfig(), said: newValues(), log: &bytes.Buffer{}, runs: map[string]chan chan one{}}
	b.cfg.TrustedKeys = []string{plugin.PublicKey(public).String()}
	b.cfg.Allow.MinInterval = time.Second
	if change != nil {
		change(&b.cfg)
	}
	b.patience = patience
	if err := os.MkdirAll(filepath.Join(b.dir, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.start()
	return b
}

func (b *bench) start() {
	b.t.Helper()
	var err error
	b.m, err = plugin.NewManager(b.cfg, plugin.Deps{State: b.dir, Logger: slog.New(slog.NewTextHandler(&safe{b: b.log}, nil)), Run: b.run, Program: []string{os.Args[0], plugin.Command}, Start: b.patience})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.t.Context())
	ended := make(chan error)
	go func() { ended <- b.m.Run(ctx) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
		if b.t.Failed() {
			b.t.Log(b.log)
		}
	})
}

type safe struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (b *bench) run(ctx context.Context, p *plugin.Plugin) error {
	asked := make(chan chan one)
	b.mu.Lock()
	b.runs[p.Manifest.Name] = asked
	b.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case answer := <-asked:
			begin := time.Now()
			err := p.Collect(ctx, b.said)
			answer <- one{p, err, time.Since(begin)}
		}
	}
}

// manifest returns one with these lines more.
func manifest(name, version string, more ...string) string {
	return fmt.Sprintf("name: %s\nversion: %s\nabi: 1\ninterval: 5s\n%s\n", name, version, strings.Join(more, "\n"))
}

// put signs a bundle and puts it into the folder, as a whole.
func (b *bench) put(file, manifest string, module []byte) {
	b.t.Helper()
	bundle := plugin.Bundle{RawManifest: []byte(manifest), Module: module}
	bundle.Sign(b.key)
	b.raw(file, bundle.Append(nil))
}

func (b *bench) raw(file string, raw []byte) {
	b.t.Helper()
	path := filepath.Join(b.dir, "plugins", file+plugin.Suffix)
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		b.t.Fatal(err)
	}
}

// look has the folder looked at and returns how plugins stand.
func (b *bench) look() map[string]plugin.Status {
	b.t.Helper()
	_, before := b.m.Status()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		b.m.Nudge()
		list, done := b.m.Status()
		if done >= before+2 { // one that began after the call has ended
			out := map[string]plugin.Status{}
			for _, s := range list {
				out[s.Name] = s
			}
			return out
		}
	}
	return nil
}

// collect has a plugin collect once.
func (b *bench) collect(name string) one {
	b.t.Helper()
	var asked chan chan one
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for asked == nil {
		<-tick.C
		b.mu.Lock()
		asked = b.runs[name]
		b.mu.Unlock()
	}
	answer := make(chan one)
	select {
	case asked <- answer:
	case <-time.After(20 * time.Second):
		b.t.Fatalf("%s does not run", name)
	}
	return <-answer
}

func TestPluginRuns(t *testing.T) {
	b := newBench(t, nil)
	b.put("hello", manifest("hello", "1.0.0"), plugintest.Emitting(plugintest.Record("hello", 42, "who", "world")))
	if got := b.look()["hello"]; got.State != plugin.Running {
		t.Fatalf("it is %+v", got)
	}
	for range 3 {
		if got := b.collect("hello"); got.err != nil {
			t.Fatal(got.err)
		}
	}
	if v, _ := b.said.get(`hello{who="world"}`); v != 42 {
		t.Errorf("it said %v", b.said.values)
	}
	if v, _ := b.said.get(`sentinel_plugin_runs_total`); v != 3 {
		t.Errorf("there is %v", b.said.values)
	}
	if err := os.Remove(filepath.Join(b.dir, "plugins", "hello.plugin")); err != nil {
		t.Fatal(err)
	}
	if got := b.look(); len(got) != 0 {
		t.Errorf("there is still %+v", got)
	}
}
