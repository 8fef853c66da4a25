package agent

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
)

// memory returns what of this process is in memory, and what of that is files' pages, in
// MiB.
func memory(t *testing.T) (resident, shared float64) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, in, files int
	if _, err := fmt.Sscan(string(raw), &size, &in, &files); err != nil {
		t.Fatal(err)
	}
	page := float64(os.Getpagesize()) / (1 << 20)
	return float64(in) * page, float64(files) * page
}

// rss returns this process's memory in MiB.
func rss(t *testing.T) float64 {
	t.Helper()
	resident, _ := memory(t)
	return resident
}

// kept returns what this process holds of memory of its own, in MiB: without what the
// runtime would give back in the minutes to come, and without the program's pages.
func kept(t *testing.T) float64 {
	t.Helper()
	debug.FreeOSMemory()
	resident, shared := memory(t)
	return resident - shared
}

// hostile are plugins that do harm for as long as they may, by what they do.
func hostile() map[string][]byte {
	i32 := byte(plugintest.I32)
	made := func(f func(m *plugintest.Module)) []byte {
		m := &plugintest.Module{}
		f(m)
		return m.Bytes()
	}
	return map[string][]byte{
		"loop": made(func(m *plugintest.Module) { m.Plugin(plugintest.Forever(), plugintest.Const(0)) }),
		"fill": made(func(m *plugintest.Module) {
			m.Memory(512)
			m.Plugin(plugintest.Forever(plugintest.Fill(0, 7, 512*plugin.PageSize)), plugintest.Const(0))
		}),
		"logs": made(func(m *plugintest.Module) {
			log := m.Import("sentinel", "log", []byte{i32, i32, i32}, nil)
			m.Plugin(plugintest.Forever(plugintest.Const(-4), plugintest.Const(0), plugintest.Const(65536), plugintest.Call(log)), plugintest.Const(0))
		}),
		"recursion": made(func(m *plugintest.Module) { m.Plugin(plugintest.Call(1)) }),
		// This one ends well each time: it says as much as it may, always under new names.
		"output": made(func(m *plugintest.Module) {
			emit := m.Import("sentinel", "emit", []byte{i32, i32}, []byte{i32})
			var all []byte
			for i := range 1000 {
				all = append(all, plugintest.Record(fmt.Sprintf("output_%d_%s", i, strings.Repeat("x", 200)), 1)...)
			}
			m.Memory(16).Data(1024, all)
			m.Plugin(plugintest.Const(1024), plugintest.Const(int64(len(all))), plugintest.Call(emit), plugintest.Drop(), plugintest.Const(0))
		}),
	}
}

const (
	maxJitter = 50 * time.Millisecond // of 99 in 100 cycles
	maxGrowth = 10.0                  // MiB
	maxKept   = 3.0                   // MiB, when the zoo is gone
)

// P24: beside a zoo the agent collects on time, and takes no more memory than it may.
// SENTINEL_ZOO_SECONDS does it for longer, and then judges the times: a test host may
// have other things to do.
func TestP24AgentBesideTheZoo(t *testing.T) {
	seconds := 4
	text := os.Getenv("SENTINEL_ZOO_SECONDS")
	if text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRunning(t)
	r.write(fmt.Sprintf("  plugins: {trusted_keys: [%q], allow: {min_interval: 1s}}\n", plugin.PublicKey(public)))
	r.start()
	count := func() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.seen) }
	r.until("it collects", func() bool { return count() > 2 })
	least, before := kept(t), rss(t)
	dir := filepath.Join(r.dir, "state", "plugins")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, module []byte) {
		b := plugin.Bundle{RawManifest: fmt.Appendf(nil, "name: %s\nversion: 1.0.0\nabi: 1\ninterval: 1s\ntimeout: 300ms\n", name), Module: module}
		b.Sign(key)
		if err := os.WriteFile(filepath.Join(dir, name+".plugin"), b.Append(nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, module := range hostile() {
		put(name, module)
	}
	put("healthy", plugintest.Emitting(plugintest.Record("healthy", 1)))
	r.reload()
	main := r.mainCycles()
	most, from := 0.0, len(main)
	for i := range seconds {
		r.until("the zoo has run", func() bool { most = max(most, rss(t)); return len(r.mainCycles()) > from+i })
	}
	var healthy, kills uint64
	for _, p := range r.status().Plugins {
		kills += p.Kills
		if p.Name == "healthy" {
			healthy = p.Runs
		}
	}
	if int(healthy) < seconds/2 || kills == 0 {
		t.Errorf("the healthy one ran %d times in %d s beside %d kills", healthy, seconds, kills)
	}
	late := []time.Duration{}
	for _, at := range r.mainCycles()[from:] {
		d := at.Sub(at.Round(time.Second)) // cycles are due at whole seconds
		late = append(late, d.Abs())
	}
	slices.Sort(late)
	p99 := late[(len(late)-1)*99/100]
	for name := range hostile() {
		if err := os.Remove(filepath.Join(dir, name+".plugin")); err != nil {
			t.Fatal(err)
		}
	}
	r.reload()
	r.until("the zoo is gone", func() bool { return len(r.status().Plugins) == 1 })
	r.forget() // what the test itself holds
	after := kept(t)
	t.Logf("%d cycles, the worst of 99 in 100 %s late; memory %.1f MiB, beside the zoo at most %.1f; kept %.1f, after the zoo %.1f; %d kills", len(late), p99, before, most, least, after, kills)
	if raceEnabled {
		return
	}
	if most-before > maxGrowth {
		t.Errorf("the agent grew by %.1f MiB, want at most %.1f", most-before, maxGrowth)
	}
	if after-least > maxKept {
		t.Errorf("the agent keeps %.1f MiB more than before the zoo, want at most %.1f", after-least, maxKept)
	}
	if text != "" && p99 > maxJitter {
		t.Errorf("of 99 in 100 cycles the worst is %s late, want %s", p99, maxJitter)
	}
}

// forget drops the cycles that were seen.
func (r *running) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

// mainCycles returns the times of the collectors' cycles, the first of each second.
func (r *running) mainCycles() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []time.Time
	for _, c := range r.seen {
		if len(c.Values) > 100 && len(c.Values) < 900 { // neither a plugin's
			list = append(list, c.Time)
		}
	}
	return list
}
