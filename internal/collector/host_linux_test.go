package collector

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestAHangingFileSystemIsMarkedAndLeftAlone(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan string, 100)
	s := newSet(t, DefaultConfig(), fixture("testdata/linux-6.18"), func(st *settings) {
		inner := st.host.statfs
		st.host.statfs = func(path string) (volume, error) {
			if path == "/srv/share" {
				asked <- path
				<-release
			}
			return inner(path)
		}
	})
	const labels = `{device="storage.example:/export/a",fstype="nfs4",mountpoint="/srv/share"}`
	for i := range 3 {
		start := time.Now()
		got := byName(t, collect(t, s))
		took := time.Since(start)
		wantValues(t, got, map[string]float64{
			"node_filesystem_device_error" + labels:                                              1,
			"node_filesystem_size_bytes" + labels:                                                sentinel.Absent(),
			`node_scrape_collector_success{collector="filesystem"}`:                              1,
			`node_filesystem_device_error{device="/dev/nvme0n1p2",fstype="ext4",mountpoint="/"}`: 0,
		})
		if i > 0 && took > perMount/2 {
			t.Errorf("cycle %d took %s: a file system that hangs is asked again", i, took)
		}
	}
	if n := len(asked); n != 1 {
		t.Errorf("the hanging file system was asked %d times, want 1", n)
	}
	close(release)
	for { // until its goroutine has come back
		got := byName(t, collect(t, s))
		if got["node_filesystem_device_error"+labels] == 0 {
			wantValues(t, got, map[string]float64{"node_filesystem_size_bytes" + labels: 1 << 30})
			return
		}
	}
}

func TestAChipIsNamedByItsDevice(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sys/devices/platform/Coretemp.0/hwmon/hwmon3/name", "coretemp\n")
	write(t, dir, "sys/devices/platform/Coretemp.0/hwmon/hwmon3/temp1_input", "61000\n")
	symlink(t, "../..", dir+"/sys/devices/platform/Coretemp.0/hwmon/hwmon3/device")
	symlink(t, "../../devices/platform/Coretemp.0/hwmon/hwmon3", dir+"/sys/class/hwmon/hwmon3")
	s := newSet(t, only("hwmon"), WithRoots(dir+"/proc", dir+"/sys"))
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		`node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"}`: 61,
	})
}

func TestCPUCounters(t *testing.T) {
	dir := t.TempDir()
	stat := func(idle, user int) {
		n := strconv.Itoa
		write(t, dir, "proc/stat", "cpu  "+n(user)+" 0 0 "+n(idle)+" 0 0 0 0 0 0\ncpu0 "+n(user)+" 0 0 "+n(idle)+" 0 0 0 0 0 0\n")
	}
	s := newSet(t, only("cpu"), WithRoots(dir+"/proc", dir+"/sys"))
	const idle = `node_cpu_seconds_total{cpu="0",mode="idle"}`
	stat(100000, 1000)
	wantValues(t, byName(t, collect(t, s)), map[string]float64{idle: 1000, "sentinel_host_cpu_used_percent": sentinel.Absent()})
	stat(100750, 1250)
	wantValues(t, byName(t, collect(t, s)), map[string]float64{idle: 1007.5, "sentinel_host_cpu_used_percent": 25})
	stat(100740, 1250) // idle steps back a little, as some kernels let it
	wantValues(t, byName(t, collect(t, s)), map[string]float64{idle: 1007.5})
	stat(10, 20) // the core was off and on again
	wantValues(t, byName(t, collect(t, s)), map[string]float64{idle: 0.1})
}

// TestHostileFiles gives every collector files of junk: it may fail and must
// neither panic nor say a value that was not there.
func TestHostileFiles(t *testing.T) {
	junk := map[string][]byte{
		"empty":   nil,
		"binary":  bytes.Repeat([]byte{0, 0xff, 0x80, '\n', ':', ' ', 0x1b}, 3000),
		"letters": []byte(strings.Repeat("x", 1<<17)),
		"numbers": []byte(strings.Repeat("99999999999999999999999 ", 5000)),
		"lines":   []byte(strings.Repeat("\n", 1<<16)),
		"negative": []byte("cpu0 -1 -2 -3 -4\nintr -5\nMemTotal: -1 kB\neth0: -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1\n" +
			"8 0 sda -1 -1 -1\npgfault -3\nsome total=-5\n"),
		"huge": bytes.Repeat([]byte("cpu0 1 2 3 4\n"), maxFile/12),
	}
	var paths []string
	err := filepath.WalkDir("testdata/linux-6.18", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, strings.TrimPrefix(path, "testdata/linux-6.18/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range junk {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, path := range paths {
				if name == "huge" && path != "proc/stat" {
					continue
				}
				write(t, dir, path, string(content))
			}
			var out bytes.Buffer
			s, err := New(DefaultConfig(), slog.New(slog.NewTextHandler(&out, nil)), WithRoots(dir+"/proc", dir+"/sys"))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				for name, v := range byName(t, collect(t, s)) {
					switch {
					case strings.HasPrefix(name, "node_scrape_"), strings.HasPrefix(name, "sentinel_collector_"),
						strings.HasPrefix(name, "node_time_"), strings.HasPrefix(name, "node_uname_"),
						strings.HasPrefix(name, "node_hwmon_sensor_label"), strings.HasPrefix(name, "node_timex_"):
					case v != 0 && !strings.HasPrefix(name, "node_network_speed_bytes"):
						t.Errorf("%s is %v, and no file says so", name, v)
					}
				}
			}
			if strings.Contains(out.String(), "panic") {
				t.Errorf("a collector panicked:\n%s", out.String())
			}
		})
	}
}

// TestThisHost compares what is collected with the same files read another way.
func TestThisHost(t *testing.T) {
	s := newSet(t, DefaultConfig())
	collect(t, s)
	got := byName(t, collect(t, s))
	word := func(file, key string, field int) float64 {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Skip(err)
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) > field && (key == "" || strings.TrimSuffix(f[0], ":") == key) {
				v, err := strconv.ParseFloat(f[field], 64)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
		}
		t.Fatalf("%s has no %s", file, key)
		return 0
	}
	near := func(name string, want float64) {
		t.Helper()
		v, there := got[name]
		if !there || math.Abs(v-want) > math.Abs(want)/100+0.02 {
			t.Errorf("%s is %v (there: %v), the host says %v", name, v, there, want)
		}
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs("/", &st); err != nil {
		t.Fatal(err)
	}
	near("node_memory_MemTotal_bytes", word("/proc/meminfo", "MemTotal", 1)*1024)
	near("node_memory_MemAvailable_bytes", word("/proc/meminfo", "MemAvailable", 1)*1024)
	near(`node_cpu_seconds_total{cpu="0",mode="idle"}`, word("/proc/stat", "cpu0", 4)/100)
	near("node_context_switches_total", word("/proc/stat", "ctxt", 1))
	near("node_boot_time_seconds", word("/proc/stat", "btime", 1))
	near("sentinel_host_uptime_seconds", word("/proc/uptime", "", 0))
	near("sentinel_agent_threads", word("/proc/self/status", "Threads", 1))
	near("node_forks_total", word("/proc/stat", "processes", 1))
	near("node_vmstat_pgpgout", word("/proc/vmstat", "pgpgout", 1))
	near("node_load15", word("/proc/loadavg", "", 2))
	near("node_filefd_maximum", word("/proc/sys/fs/file-nr", "", 2))
	near(`node_network_receive_bytes_total{device="lo"}`, word("/proc/net/dev", "lo", 1))
	near("node_time_seconds", float64(time.Now().Unix()))
	near("node_processes_max_processes", word("/proc/sys/kernel/pid_max", "", 0))
	for name, v := range got {
		if strings.HasPrefix(name, "node_filesystem_size_bytes{") && strings.Contains(name, `mountpoint="/"}`) && v != float64(st.Blocks)*float64(st.Bsize) {
			t.Errorf("%s is %v, statfs says %v", name, v, float64(st.Blocks)*float64(st.Bsize))
		}
	}
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	if n := got["node_processes_pids"]; math.Abs(n-float64(len(pids))) > 10 {
		t.Errorf("node_processes_pids is %v, /proc has %d", n, len(pids))
	}
	if u := got["sentinel_host_memory_used_percent"]; u <= 0 || u >= 100 {
		t.Errorf("sentinel_host_memory_used_percent is %v", u)
	}
	for _, name := range Names() {
		if !off(name) && got[`node_scrape_collector_success{collector="`+name+`"}`] != 1 {
			t.Errorf("collector %s fails on this host", name)
		}
	}
}

// TestNoForeignPackagesOnLinux keeps gopsutil out of Linux builds.
func TestNoForeignPackagesOnLinux(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", ".")
	cmd.Env = append(os.Environ(), "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("go list does not run here: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		root, _, _ := strings.Cut(line, "/")
		if strings.Contains(root, ".") && !strings.Contains(line, "sentinelgo/sentinel") {
			t.Errorf("the package needs %s", strings.TrimSpace(line))
		}
	}
}

// TestACycleAllocatesLittle keeps the steady state cheap.
func TestACycleAllocatesLittle(t *testing.T) {
	s := newSet(t, DefaultConfig(), fixture("testdata/linux-6.18"))
	collect(t, s)
	if n := testing.AllocsPerRun(20, func() { collect(t, s) }); n > 500 {
		t.Errorf("a cycle makes %v allocations, want fewer than 500", n)
	}
}

func BenchmarkCollect(b *testing.B) {
	s, err := New(DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		if _, err := s.Collect(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N)/1e6, "cpu-ms/cycle")
}

func only(names ...string) Config {
	cfg := DefaultConfig()
	for name := range cfg.Collectors {
		cfg.Collectors[name] = false
	}
	for _, name := range names {
		cfg.Collectors[name] = true
	}
	return cfg
}

func write(t *testing.T, dir, path, content string) {
	t.Helper()
	path = filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
