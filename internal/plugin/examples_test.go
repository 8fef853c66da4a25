package plugin_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/plugin"
	"github.com/sentinelgo/sentinel/internal/plugin/plugintest"
)

// module builds an example, or anything else that is a plugin in Go, once.
func module(t testing.TB, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func example(t testing.TB, name string) (manifest string, wasm []byte) {
	t.Helper()
	dir := filepath.Join("../../sdk/examples", name)
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), module(t, dir)
}

// nginx answers as nginx does at stub_status.
func nginx(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("Active connections: 3 \nserver accepts handled requests\n 10 10 25 \nReading: 0 Writing: 1 Waiting: 2 \n"))
	}))
	t.Cleanup(srv.Close)
	return srv
}

// redis answers as Redis does, and closes after QUIT.
func redis(t *testing.T) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				var said []byte
				buf := make([]byte, 512)
				for !bytes.HasSuffix(said, []byte("QUIT\r\n")) {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					said = append(said, buf[:n]...)
				}
				_, _ = conn.Write([]byte("+PONG\r\n$20\r\n# Clients\r\nconnected_clients:7\r\n\r\n+OK\r\n"))
			})
		}
	})
	t.Cleanup(func() { lis.Close(); all.Wait() })
	return lis.Addr().String()
}

// The examples do what they say, built with plain Go and run as an agent runs them.
func TestExamples(t *testing.T) {
	zones := t.TempDir()
	if err := os.Mkdir(filepath.Join(zones, "thermal_zone0"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"temp": "45500\n", "type": "cpu\n"} {
		if err := os.WriteFile(filepath.Join(zones, "thermal_zone0", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	web, server := nginx(t), redis(t)
	b := newPatientBench(t, 20*time.Second, func(c *plugin.Config) {
		c.Allow.HTTP, c.Allow.TCP, c.Allow.PrivateNetworks = []string{"127.0.0.1"}, []string{server}, []string{"127.0.0.0/8"}
		c.Allow.Files = []string{zones, "/sys/class/thermal", "/sys/devices/virtual/thermal"}
		c.Settings = map[string]map[string]string{"nginx": {"url": web.URL}, "redis": {"address": server}, "temperature": {"directory": zones}, "hello": {"greeting": "you"}}
	})
	for _, name := range []string{"hello", "nginx", "redis", "temperature"} {
		manifest, wasm := example(t, name)
		if name == "temperature" { // the test's zones are elsewhere
			manifest = strings.Replace(manifest, "files: [", "files: ["+zones+", ", 1)
		}
		b.put(name, manifest, wasm)
	}
	wat, err := os.ReadFile("../../sdk/examples/hello-wat/manifest.yml")
	if err != nil {
		t.Fatal(err)
	}
	b.put("hello-wat", string(wat), watModule(t))
	for name, s := range b.look() {
		if s.State != plugin.Running {
			t.Errorf("%s: %+v", name, s)
			continue
		}
		if got := b.collect(name); got.err != nil {
			t.Errorf("%s: %v", name, got.err)
		}
	}
	for series, want := range map[string]float64{
		`hello_collections_total{greeting="you"}`: 1, `nginx_http_requests_total`: 25, `redis_connected_clients`: 7,
		`temperature_celsius{type="cpu",zone="0"}`: 45.5, `hello{from="wat"}`: 42,
	} {
		if got, is := b.said.get(series); !is || got != want {
			t.Errorf("%s is %v, %v", series, got, is)
		}
	}
}

// watModule assembles sdk/examples/hello-wat/hello.wat by hand, and compares with what
// is committed beside it.
func watModule(t *testing.T) []byte {
	t.Helper()
	m := &plugintest.Module{}
	emit := m.Import("sentinel", "emit", []byte{plugintest.I32, plugintest.I32}, []byte{plugintest.I32})
	m.Memory(1).Data(1024, plugintest.Record("hello", 42, "from", "wat"))
	m.Func("sentinel_abi_version", []byte{plugintest.I32}, 0, plugintest.Const(1))
	m.Func("sentinel_collect", []byte{plugintest.I32}, 0, plugintest.Const(1024), plugintest.Const(30), plugintest.Call(emit), plugintest.Drop(), plugintest.Const(0))
	path := "../../sdk/examples/hello-wat/hello.wasm"
	if *update {
		if err := os.WriteFile(path, m.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, m.Bytes()) {
		t.Errorf("%s is not what its source says; -update writes it", path)
	}
	return raw
}
