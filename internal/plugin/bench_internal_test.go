package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// helloModule builds the example in Go.
func helloModule(t testing.TB) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Dir, cmd.Env = "../../sdk/examples/hello", append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func helloPlugin(b *testing.B) *Plugin {
	b.Helper()
	m, path, swap := loaded(b, nil)
	_ = path
	swap(helloModule(b))
	p, err := m.inspect(b.Context(), path, m.cache(path), "")
	if err == nil {
		err = m.admit(p, "")
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.stop)
	return p
}

// BenchmarkCachedStart is from nothing to a plugin in Go that has started, with its
// compiled module in the cache: 60 ms at the most.
func BenchmarkCachedStart(b *testing.B) {
	p := helloPlugin(b)
	used := time.Duration(0)
	for b.Loop() {
		if err := p.ready(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		proc := p.proc
		p.stop()
		used += proc.cmd.ProcessState.UserTime() + proc.cmd.ProcessState.SystemTime()
		b.StartTimer()
	}
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/start")
}

// BenchmarkCollect is one collection as the agent sees it, over the pipes.
func BenchmarkCollect(b *testing.B) {
	p := helloPlugin(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Collect(b.Context(), nowhere{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(resident(p.proc.cmd.Process.Pid))/(1<<20), "MiB/process")
}
