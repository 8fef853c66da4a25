package host_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/host"
)

// TestMain is a plugin's process too, as the agent's program is.
func TestMain(m *testing.M) {
	if code, is := host.Run(context.Background()); is {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// hello returns the example in Go.
func hello(t testing.TB) plugin.Bundle {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Dir, cmd.Env = "../../../sdk/examples/hello", append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../../sdk/examples/hello/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	return plugin.Bundle{RawManifest: manifest, Module: module}
}

// BenchmarkKeptCall is one collection of the Go hello plugin within its process: 10 µs at
// the most.
func BenchmarkKeptCall(b *testing.B) {
	i, err := host.Load(b.Context(), hello(b), host.Options{Settings: map[string]string{"greeting": "you"}})
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		if a, emission := i.Collect(b.Context()); a.Error != "" || len(emission) == 0 {
			b.Fatalf("%+v", a)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/call")
}

// BenchmarkCompile is what a start costs without the cache.
func BenchmarkCompile(b *testing.B) {
	bundle := hello(b)
	for b.Loop() {
		if err := host.Compile(b.Context(), bundle, host.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
