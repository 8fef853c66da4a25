package collector

import (
	"os"
	"testing"
)

// FuzzFiles feeds one content to every parser of a whole file or line.
func FuzzFiles(f *testing.F) {
	for _, path := range []string{"stat", "meminfo", "net/snmp", "net/netstat", "net/sockstat", "net/dev", "self/mountinfo", "77/stat", "diskstats", "pressure/io"} {
		for _, kernel := range []string{"linux-6.18", "linux-3.10"} {
			if data, err := os.ReadFile("testdata/" + kernel + "/proc/" + path); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p page
		p.init(1000)
		p.begin()
		var times cpuTimes
		(&netstat{}).tables(&p, data)
		(&netstat{}).lines(&p, data)
		if _, n, ok := parseProcess(data); ok && n < 0 {
			t.Errorf("%d threads", n)
		}
		pressureTotal(data)
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
