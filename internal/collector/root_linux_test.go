package collector

import (
	"os"
	"testing"
)

// An agent in a container watches the host whose root folder it is given, not its own.
func TestHostBelowAFolder(t *testing.T) {
	root := t.TempDir()
	write(t, root, "proc/1/mountinfo", "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n31 30 8:2 / /data rw - ext4 /dev/sda2 rw\n")
	write(t, root, "proc/loadavg", "7.5 1 1 1/100 4711\n")
	if err := os.Mkdir(root+"/data", 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := only("filesystem", "load")
	cfg.Root = root
	s := newSet(t, cfg)
	found := map[string]float64{}
	snap := collect(t, s)
	for i, series := range layoutOf(t, snap) {
		found[series.String()] = snap.Cycle.Values[i]
	}
	if found["node_load1"] != 7.5 {
		t.Errorf("node_load1 is %v: the load is not that host's", found["node_load1"])
	}
	for _, point := range []string{"/", "/data"} {
		device := map[string]string{"/": "/dev/sda1", "/data": "/dev/sda2"}[point]
		if v := found[`node_filesystem_size_bytes{device="`+device+`",fstype="ext4",mountpoint="`+point+`"}`]; v <= 0 {
			t.Errorf("the size of %s is %v in %v", point, v, found)
		}
	}
	cfg.Root = "host"
	if _, err := New(cfg, nil); err == nil {
		t.Error("a relative root is taken")
	}
}
