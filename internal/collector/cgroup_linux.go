package collector

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
)

// cgroup reads the limits that the agent itself lives under: those of its container,
// or of its service. They are not the host's. Without a group that the agent could
// read (a host without systemd, say) there is nothing.
//
// With version 2 the group is a folder below /sys/fs/cgroup; with version 1 there is
// one folder per controller. Inside a container the path that /proc/self/cgroup
// names may be the one outside; what is mounted is then the group itself.
type cgroup struct {
	file
	proc, root string
}

func newCgroup(h host) (collector, error) {
	return &cgroup{proc: h.proc, root: h.sys + "/fs/cgroup"}, nil
}

func cgroupColumns() []column {
	return []column{
		gauge("sentinel_cgroup_memory_usage_bytes", "bytes"),
		gauge("sentinel_cgroup_memory_limit_bytes", "bytes"),
		gauge("sentinel_cgroup_cpu_limit_cores", ""),
		counter("sentinel_cgroup_cpu_periods_total", ""),
		counter("sentinel_cgroup_cpu_throttled_periods_total", ""),
		counter("sentinel_cgroup_cpu_throttled_seconds_total", "seconds"),
	}
}

// unlimited is what version 1 says of memory without a limit: the largest number of
// whole pages. No host has half as much.
const unlimited = 1 << 62

func (c *cgroup) collect(_ context.Context, p *page) error {
	data, err := c.read(c.proc + "/self/cgroup")
	if err != nil {
		return optional(err)
	}
	memory, one := cgroupPath(data, "memory")
	cpu, _ := cgroupPath(data, "cpu")
	unified, two := cgroupPath(data, "")
	switch {
	case one:
		return c.first(p, memory, cpu)
	case two:
		return c.second(p, unified)
	}
	return errNothing
}

// first reads the files of version 1.
func (c *cgroup) first(p *page, memory, cpu string) error {
	dir := c.folder("/memory", memory, "/memory.usage_in_bytes")
	usage, err := c.readUint(dir + "/memory.usage_in_bytes")
	if err != nil {
		return optional(err)
	}
	row := p.fixed(cgroupColumns)
	p.set(row[0], float64(usage))
	if v, err := c.readUint(dir + "/memory.limit_in_bytes"); err == nil && v < unlimited {
		p.set(row[1], float64(v))
	}
	dir = c.folder("/cpu", cpu, "/cpu.stat")
	quota, err1 := c.readInt(dir + "/cpu.cfs_quota_us")
	period, err2 := c.readInt(dir + "/cpu.cfs_period_us")
	if err1 == nil && err2 == nil && quota > 0 && period > 0 {
		p.set(row[2], float64(quota)/float64(period))
	}
	if data, err := c.read(dir + "/cpu.stat"); err == nil {
		setThrottled(p, row[3:6], data)
	}
	return nil
}

// second reads the files of version 2. Its root, which is no container's, has none.
func (c *cgroup) second(p *page, path string) error {
	dir := c.folder("", path, "/memory.current")
	usage, err := c.readUint(dir + "/memory.current")
	if err != nil {
		return optional(err)
	}
	row := p.fixed(cgroupColumns)
	p.set(row[0], float64(usage))
	if v, err := c.readUint(dir + "/memory.max"); err == nil { // "max" is no number
		p.set(row[1], float64(v))
	}
	if data, err := c.read(dir + "/cpu.max"); err == nil {
		quota, limited, rest := cutUint(data)
		if period, ok, _ := cutUint(rest); limited && ok && period > 0 {
			p.set(row[2], float64(quota)/float64(period))
		}
	}
	if data, err := c.read(dir + "/cpu.stat"); err == nil {
		setThrottled(p, row[3:6], data)
	}
	return nil
}

// folder returns where the group of a controller is: at its path, or where that is
// not to be seen, where the controller is mounted.
func (c *cgroup) folder(controller, path, file string) string {
	dir := c.root + controller + strings.TrimSuffix(path, "/")
	if _, err := c.read(dir + file); errors.Is(err, fs.ErrNotExist) {
		return c.root + controller
	}
	return dir
}

// setThrottled says what cpu.stat tells of the times without CPU: periods, those in
// which the group was throttled, and for how long.
func setThrottled(p *page, row []id, stat []byte) {
	for i, key := range [...]string{"nr_periods", "nr_throttled"} {
		if v, ok := flatKey(stat, key); ok {
			p.set(row[i], float64(v))
		}
	}
	if v, ok := flatKey(stat, "throttled_usec"); ok {
		p.set(row[2], float64(v)/1e6)
	} else if v, ok := flatKey(stat, "throttled_time"); ok { // version 1
		p.set(row[2], float64(v)/1e9)
	}
}

// cgroupPath returns the path in the line of /proc/<pid>/cgroup that names a
// controller, "" for version 2: "4:cpu,cpuacct:/docker/1f".
func cgroupPath(data []byte, controller string) (path string, ok bool) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		_, rest, ok1 := bytes.Cut(line, []byte(":"))
		names, at, ok2 := bytes.Cut(rest, []byte(":"))
		if !ok1 || !ok2 || len(at) == 0 || at[0] != '/' || bytes.Contains(at, []byte("/../")) {
			continue
		}
		for name := range bytes.SplitSeq(names, []byte(",")) {
			if string(name) == controller {
				return string(at), true
			}
		}
	}
	return "", false
}

// flatKey returns the number behind a key at the start of a line.
func flatKey(data []byte, key string) (uint64, bool) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		if word, rest := cutField(line); string(word) == key {
			v, ok, _ := cutUint(rest)
			return v, ok
		}
	}
	return 0, false
}
