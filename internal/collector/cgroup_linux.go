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
	found      cgroupFiles
	cycle      int
}

// cgroupFiles are where the group's numbers are; none without a group.
type cgroupFiles struct {
	usage, limit, stat string
	quota, period      string // version 1
	max                string // version 2, both in one
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
	if c.cycle%searchEvery == 0 {
		if err := c.search(); err != nil {
			return err
		}
	}
	c.cycle++
	if c.found.usage == "" {
		return errNothing
	}
	usage, err := c.readUint(c.found.usage)
	if err != nil {
		return optional(err) // the root of version 2, which is no container's, has none
	}
	row := p.fixed(cgroupColumns)
	p.set(row[0], float64(usage))
	if v, err := c.readUint(c.found.limit); err == nil && v < unlimited { // "max" is no number
		p.set(row[1], float64(v))
	}
	if quota, period, ok := c.cores(); ok {
		p.set(row[2], float64(quota)/float64(period))
	}
	if data, err := c.read(c.found.stat); err == nil {
		setThrottled(p, row[3:6], data)
	}
	return nil
}

// cores returns how much CPU time the group may use in how long, if that is limited.
func (c *cgroup) cores() (quota, period uint64, ok bool) {
	if c.found.max == "" {
		quota, err1 := c.readUint(c.found.quota) // -1 is no limit
		period, err2 := c.readUint(c.found.period)
		return quota, period, err1 == nil && err2 == nil && quota > 0 && period > 0
	}
	data, err := c.read(c.found.max)
	if err != nil {
		return 0, 0, false
	}
	quota, limited, rest := cutUint(data)
	period, known, _ := cutUint(rest)
	return quota, period, limited && known && period > 0
}

func (c *cgroup) search() error {
	c.found = cgroupFiles{}
	data, err := c.read(c.proc + "/self/cgroup")
	if err != nil {
		return optional(err)
	}
	memory, one := cgroupPath(data, "memory")
	cpu, _ := cgroupPath(data, "cpu")
	unified, two := cgroupPath(data, "")
	switch {
	case one:
		m, t := c.folder("/memory", memory, "/memory.usage_in_bytes"), c.folder("/cpu", cpu, "/cpu.stat")
		c.found = cgroupFiles{usage: m + "/memory.usage_in_bytes", limit: m + "/memory.limit_in_bytes",
			stat: t + "/cpu.stat", quota: t + "/cpu.cfs_quota_us", period: t + "/cpu.cfs_period_us"}
	case two:
		d := c.folder("", unified, "/memory.current")
		c.found = cgroupFiles{usage: d + "/memory.current", limit: d + "/memory.max", stat: d + "/cpu.stat", max: d + "/cpu.max"}
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
