package collector

import (
	"os"
	"testing"
)

// FuzzFiles feeds one content to every parser of a whole file or line.
func FuzzFiles(f *testing.F) {
	for _, path := range []string{"stat", "meminfo", "net/snmp", "net/netstat", "net/sockstat", "net/dev", "self/mountinfo", "77/stat", "diskstats", "pressure/io", "net/tcp", "self/cgroup"} {
		for _, kernel := range []string{"linux-6.18", "linux-3.10"} {
			if data, err := os.ReadFile("testdata/" + kernel + "/proc/" + path); err == nil {
				f.Add(data)
			}
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var p page
		p.init(1000)
		p.begin()
		var times cpuTimes
		(&netstat{}).tables(&p, data)
		(&netstat{}).lines(&p, data)
		if s, ok := parseProcess(data); ok && (s.threads < 0 || len(s.name) > len(data)) {
			t.Errorf("read as %+v", s)
		}
		pressureTotal(data)
		var states [len(tcpStates)]int
		if rest := countTCP(data, &states); len(rest) > len(data) {
			t.Errorf("%d bytes are left of %d", len(rest), len(data))
		}
		if path, ok := cgroupPath(data, "memory"); ok && path[0] != '/' {
			t.Errorf("a control group at %q", path)
		}
		flatKey(data, "usage_usec")
		ioBytes(data)
		if _, name, ok := containerOf(string(data), "lxc"); ok && (name == "" || len(unescapeUnit(name)) > len(name)) {
			t.Errorf("%q is the container %q", data, name)
		}
		sensorOf(string(data))
		for rest := data; len(rest) > 0; {
			before := len(rest)
			var name []byte
			if name, rest = cutEntry(rest); len(name)+len(rest) > before || rest != nil && len(rest) == before {
				t.Fatalf("an entry of %d bytes is the name %q and leaves %d", before, name, len(rest))
			}
		}
		for rest := data; len(rest) > 0; {
			var line []byte
			line, rest = cutLine(rest)
			if n, ok := times.parse(line); ok && n <= modeIdle {
				t.Errorf("%d times are said to be enough", n)
			}
			if m, ok := parseMount(line); ok {
				if point := unescape(nil, m.point); len(point) > len(m.point) {
					t.Errorf("unescaping makes %q longer: %q", m.point, point)
				}
			}
			if key, v, unit, ok := memLine(line); ok {
				if v < 0 {
					t.Errorf("%q is %v", line, v)
				}
				memColumn(key, unit)
			}
		}
	})
}

// In a service manager's sandbox every mount is read-only, and the file systems that
// are mounted are not.
func TestParseMountOfASandbox(t *testing.T) {
	for line, readonly := range map[string]bool{
		"43 42 254:0 / / ro,relatime - ext4 /dev/vda rw,discard":                   false,
		"43 42 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda ro,discard": true,
		"43 42 254:0 / / rw - ext4 /dev/vda rw":                                    false,
		"43 42 254:0 / / ro - squashfs /dev/loop1 ro":                              true,
	} {
		if m, ok := parseMount([]byte(line)); !ok || m.readonly != readonly {
			t.Errorf("%s: readonly is %v (%v)", line, m.readonly, ok)
		}
	}
}
