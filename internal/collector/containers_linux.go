package collector

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
)

// containers reads what containers use from the tree of control groups (version 2),
// in which every engine gives each of its own a folder; no engine is asked. Names
// are cAdvisor's. The label container is the first 12 letters of the engine's id,
// which is what its tools print, or the name where there is no id.
type containers struct {
	file
	root   string
	filter filter
	most   int
	list   []container
	over   int // containers beyond most
	cycle  int
}

type container struct {
	dir, name, engine string
	limit             uint64 // of memory in bytes; 0 is none
}

const (
	// searchContainers is how many cycles pass between two searches. One that has
	// vanished is noticed at once.
	searchContainers = 3
	// maxFolders bounds a search, and maxDepth how far down it goes:
	// user.slice/user-N.slice/user@N.service/user.slice/libpod-ID.scope.
	maxFolders = 2000
	maxDepth   = 5
)

func newContainers(h host) (collector, error) {
	c := h.cfg.Containers
	f, err := Filter{c.Include, c.Exclude}.compile()
	return &containers{file: file{comes: true}, root: h.sys + "/fs/cgroup", filter: f, most: c.Max}, err
}

func containerColumns() []column {
	return []column{
		counter("container_cpu_usage_seconds_total", "seconds"),
		counter("container_cpu_cfs_periods_total", ""),
		counter("container_cpu_cfs_throttled_periods_total", ""),
		counter("container_cpu_cfs_throttled_seconds_total", "seconds"),
		gauge("container_memory_usage_bytes", "bytes"),
		gauge("container_memory_working_set_bytes", "bytes"),
		gauge("container_spec_memory_limit_bytes", "bytes"),
		counter("container_oom_events_total", ""),
		counter("container_fs_reads_bytes_total", "bytes"),
		counter("container_fs_writes_bytes_total", "bytes"),
		gauge("container_threads", ""),
	}
}

// containersLeftOut is how many there are beyond collect.containers.max.
func containersLeftOut() []column { return []column{gauge("sentinel_containers_left_out", "")} }

func (c *containers) collect(ctx context.Context, p *page) error {
	if c.cycle%searchContainers == 0 {
		if err := c.search(ctx); err != nil {
			return err
		}
	}
	c.cycle++
	if len(c.list) == 0 && c.over == 0 {
		return errNothing
	}
	p.set(p.fixed(containersLeftOut)[0], float64(c.over))
	for _, one := range c.list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !c.one(p, one) {
			c.cycle = 0 // it is gone: search again
		}
	}
	return nil
}

// one says what a container uses, and reports whether it is still there. Controllers
// that are switched off have no files.
func (c *containers) one(p *page, one container) bool {
	stat, err := c.read(one.dir + "/cpu.stat")
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	row, known := p.row([]byte(one.dir))
	if !known {
		row = p.define(one.dir, containerColumns(), "container", one.name, "engine", one.engine)
	}
	if v, ok := flatKey(stat, "usage_usec"); ok {
		p.set(row[0], float64(v)/1e6)
	}
	setThrottled(p, row[1:4], stat)
	if used, err := c.readUint(one.dir + "/memory.current"); err == nil {
		p.set(row[4], float64(used))
		if stat, err := c.read(one.dir + "/memory.stat"); err == nil {
			if idle, ok := flatKey(stat, "inactive_file"); ok {
				p.set(row[5], float64(used-min(idle, used)))
			}
		}
	}
	if one.limit > 0 {
		p.set(row[6], float64(one.limit))
	}
	if events, err := c.read(one.dir + "/memory.events"); err == nil {
		if v, ok := flatKey(events, "oom_kill"); ok {
			p.set(row[7], float64(v))
		}
	}
	if io, err := c.read(one.dir + "/io.stat"); err == nil {
		read, written := ioBytes(io)
		p.set(row[8], float64(read))
		p.set(row[9], float64(written))
	}
	if v, err := c.readUint(one.dir + "/pids.current"); err == nil {
		p.set(row[10], float64(v))
	}
	return true
}

// search goes through the folders in which engines put theirs.
func (c *containers) search(ctx context.Context) error {
	c.list, c.over = c.list[:0], 0
	if _, err := c.read(c.root + "/cgroup.controllers"); err != nil {
		return optional(err) // version 1
	}
	folders := maxFolders
	return c.descend(ctx, c.root, "", 0, &folders)
}

func (c *containers) descend(ctx context.Context, dir, parent string, depth int, folders *int) error {
	if *folders--; *folders < 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	names, err := readNames(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, name := range names {
		engine, id, is := containerOf(name, parent)
		switch {
		case is:
			c.add(dir+"/"+name, engine, id)
		case depth < maxDepth && holdsContainers(name, parent):
			if err := c.descend(ctx, dir+"/"+name, name, depth+1, folders); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *containers) add(dir, engine, name string) {
	if !c.filter.takes(name) {
		return
	}
	if len(c.list) >= c.most {
		c.over++
		return
	}
	one := container{dir: dir, name: name, engine: engine}
	if v, err := c.readUint(dir + "/memory.max"); err == nil { // "max" is no number
		one.limit = v
	}
	c.list = append(c.list, one)
}

// holdsContainers says whether a folder is one that engines put theirs in.
func holdsContainers(name, parent string) bool {
	switch name {
	case "docker", "libpod_parent", "kubepods", "lxc", "lxc.payload":
		return true
	case "burstable", "besteffort", "guaranteed":
		return parent == "kubepods"
	}
	return strings.HasSuffix(name, ".slice") ||
		strings.HasPrefix(name, "user@") && strings.HasSuffix(name, ".service") || // podman without root
		strings.HasPrefix(name, "pod") && (parent == "kubepods" || parent == "burstable" || parent == "besteffort" || parent == "guaranteed")
}

// containerOf reads the engine and the container's name from its folder.
func containerOf(name, parent string) (engine, id string, ok bool) {
	bare, scope := strings.CutSuffix(name, ".scope")
	for _, f := range [...]struct{ prefix, engine string }{
		{"docker-", "docker"}, {"libpod-", "podman"}, {"cri-containerd-", "containerd"}, {"crio-", "crio"}, {"nerdctl-", "containerd"},
	} {
		if id, is := strings.CutPrefix(bare, f.prefix); is && isID(id) && (scope || f.engine == "podman") {
			return f.engine, id[:12], true
		}
	}
	if machine, is := strings.CutPrefix(bare, "machine-"); is && scope && machine != "" {
		return "machine", unescapeUnit(machine), true
	}
	if machine, is := strings.CutPrefix(name, "systemd-nspawn@"); is && strings.HasSuffix(machine, ".service") {
		return "nspawn", unescapeUnit(strings.TrimSuffix(machine, ".service")), true
	}
	if lxc, is := strings.CutPrefix(name, "lxc.payload."); is && lxc != "" {
		return "lxc", lxc, true
	}
	switch {
	case isID(name) && parent == "docker":
		return "docker", name[:12], true
	case isID(name) && (parent == "kubepods" || strings.HasPrefix(parent, "pod")):
		return "containerd", name[:12], true
	case (parent == "lxc" || parent == "lxc.payload") && name != "" && !isControl(name):
		return "lxc", name, true
	}
	return "", "", false
}

// isControl says whether a name is one of the kernel's files.
func isControl(name string) bool {
	kind, _, file := strings.Cut(name, ".")
	switch kind {
	case "cgroup", "cpu", "cpuset", "hugetlb", "io", "irq", "memory", "misc", "pids", "rdma", "dmem":
		return file
	}
	return false
}

func isID(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// unescapeUnit writes systemd's \x2d out.
func unescapeUnit(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if v, ok := hexByte([]byte(s[i+2 : i+4])); ok {
				b = append(b, v)
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// ioBytes adds up what all devices read and wrote: "8:0 rbytes=1 wbytes=2 rios=3".
func ioBytes(data []byte) (read, written uint64) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		for {
			var word []byte
			if word, line = cutField(line); len(word) == 0 {
				break
			}
			key, text, _ := bytes.Cut(word, []byte("="))
			v, ok := parseUint(text)
			switch {
			case ok && string(key) == "rbytes":
				read += v
			case ok && string(key) == "wbytes":
				written += v
			}
		}
	}
	return read, written
}
