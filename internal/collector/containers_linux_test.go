package collector

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func docker(t *testing.T, dir string, n int) (label, path string) {
	t.Helper()
	id := fmt.Sprintf("%012x", n) + strings.Repeat("a", 52)
	path = "sys/fs/cgroup/system.slice/docker-" + id + ".scope"
	write(t, dir, path+"/cpu.stat", "usage_usec 1500000\n")
	return `container_cpu_usage_seconds_total{container="` + id[:12] + `",engine="docker"}`, path
}

func TestContainersBeyondTheLimitAreCounted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sys/fs/cgroup/cgroup.controllers", "cpu\n")
	first, path := docker(t, dir, 0)
	for n := 1; n < 5; n++ {
		docker(t, dir, n)
	}
	cfg := only("containers")
	cfg.Containers.Max = 3
	cfg.Containers.Exclude = "^000000000001$"
	s := newSet(t, cfg, WithRoots(dir+"/proc", dir+"/sys"))
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		"sentinel_containers_left_out": 1, first: 1.5,
		`container_cpu_usage_seconds_total{container="000000000001",engine="docker"}`: sentinel.Absent(),
		`container_cpu_usage_seconds_total{container="000000000002",engine="docker"}`: 1.5,
	})
	// One is gone: its place is another's in the next cycle.
	if err := os.RemoveAll(dir + "/" + path); err != nil {
		t.Fatal(err)
	}
	wantValues(t, byName(t, collect(t, s)), map[string]float64{first: sentinel.Absent()})
	wantValues(t, byName(t, collect(t, s)), map[string]float64{
		first: sentinel.Absent(), "sentinel_containers_left_out": 0,
		`container_cpu_usage_seconds_total{container="000000000004",engine="docker"}`: 1.5,
		`node_scrape_collector_success{collector="containers"}`:                       1,
	})
	// A new one is found within three cycles.
	label, _ := docker(t, dir, 0xbeef)
	if err := os.RemoveAll(dir + "/" + strings.Replace(path, "000000000000", "000000000002", 1)); err != nil {
		t.Fatal(err)
	}
	for range searchContainers {
		collect(t, s)
	}
	wantValues(t, byName(t, collect(t, s)), map[string]float64{label: 1.5})
}

// Chips and zones are selected by their labels, and a group without a limit has none.
func TestFiltersOfSensors(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Hwmon.Exclude, cfg.Thermal.Include = "^k10", "^Fan$"
	got := byName(t, collect(t, newSet(t, cfg, fixture("testdata/linux-6.18"))))
	wantValues(t, got, map[string]float64{
		`node_hwmon_temp_celsius{chip="k10temp",sensor="temp1"}`: sentinel.Absent(),
		`node_thermal_zone_temp{type="cpu-thermal",zone="0"}`:    sentinel.Absent(),
		`node_cooling_device_cur_state{name="0",type="Fan"}`:     2,
		`node_scrape_collector_success{collector="hwmon"}`:       1,
		`node_scrape_collector_success{collector="thermal"}`:     1,
	})
}

func TestAGroupWithoutLimits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "proc/self/cgroup", "4:memory:/a/b\n3:cpu,cpuacct:/a/b\n0::/\n")
	write(t, dir, "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "4096\n")
	write(t, dir, "sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
	write(t, dir, "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n")
	write(t, dir, "sys/fs/cgroup/cpu/a/b/cpu.stat", "nr_periods 1\n")
	write(t, dir, "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n")
	write(t, dir, "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n")
	wantValues(t, byName(t, collect(t, newSet(t, only("cgroup"), WithRoots(dir+"/proc", dir+"/sys")))), map[string]float64{
		"sentinel_cgroup_memory_usage_bytes": 4096, "sentinel_cgroup_cpu_periods_total": 1,
		"sentinel_cgroup_memory_limit_bytes": sentinel.Absent(), "sentinel_cgroup_cpu_limit_cores": sentinel.Absent(),
	})
	write(t, dir, "proc/self/cgroup", "0::/x.service\n")
	write(t, dir, "sys/fs/cgroup/x.service/memory.current", "8192\n")
	write(t, dir, "sys/fs/cgroup/x.service/memory.max", "max\n")
	write(t, dir, "sys/fs/cgroup/x.service/cpu.max", "max 100000\n")
	wantValues(t, byName(t, collect(t, newSet(t, only("cgroup"), WithRoots(dir+"/proc", dir+"/sys")))), map[string]float64{
		"sentinel_cgroup_memory_usage_bytes": 8192,
		"sentinel_cgroup_memory_limit_bytes": sentinel.Absent(), "sentinel_cgroup_cpu_limit_cores": sentinel.Absent(),
	})
}

func TestContainersByTheNameOfTheirFolder(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct{ parent, name, want string }{
		{"system.slice", "docker-" + id + ".scope", "docker 0123456789ab"},
		{"docker", id, "docker 0123456789ab"},
		{"machine.slice", "libpod-" + id + ".scope", "podman 0123456789ab"},
		{"libpod_parent", "libpod-" + id, "podman 0123456789ab"},
		{"kubepods-pod1.slice", "crio-" + id + ".scope", "crio 0123456789ab"},
		{"pod12ab", id, "containerd 0123456789ab"},
		{"machine.slice", `machine-a\x2db.scope`, "machine a-b"},
		{"machine.slice", `systemd-nspawn@a\x2d\x2x.service`, `nspawn a-\x2x`},
		{"lxc", "web", "lxc web"},
		{"", "lxc.payload.web", "lxc web"},
		{"lxc", "memory.max", ""},
		{"", "lxc.monitor.web", ""},
		{"machine.slice", "libpod-conmon-" + id + ".scope", ""},
		{"system.slice", "docker-" + id, ""},
		{"system.slice", "docker-" + id[1:] + ".scope", ""},
		{"system.slice", "docker-" + strings.ToUpper(id) + ".scope", ""},
		{"system.slice", "docker.service", ""},
		{"system.slice", id, ""},
	} {
		engine, name, ok := containerOf(c.name, c.parent)
		if got := strings.TrimSpace(engine + " " + name); got != c.want || ok != (c.want != "") {
			t.Errorf("%s in %q is %q (%v), want %q", c.name, c.parent, got, ok, c.want)
		}
	}
}
