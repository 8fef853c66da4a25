package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// filesystem reads the room on the mounted file systems.
type filesystem struct {
	file
	path           string
	points, types  filter
	statfs         func(string) (volume, error)
	mu             sync.Mutex
	stuck          map[string]bool    // mount points whose question is unanswered; under mu
	seen           map[string]*uint64 // in which run a mount point was last met
	run            uint64
	point, scratch []byte
}

// perMount is how long a file system may take to say its room.
const perMount = 500 * time.Millisecond

var errStuck = errors.New("the file system does not answer")

func newFilesystem(h host) (collector, error) {
	points, err1 := h.cfg.Filesystem.MountPoints.compile()
	types, err2 := h.cfg.Filesystem.Types.compile()
	return &filesystem{path: h.proc + "/" + h.mounts + "/mountinfo", points: points, types: types,
		statfs: h.statfs, stuck: make(map[string]bool), seen: make(map[string]*uint64)}, errors.Join(err1, err2)
}

func filesystemColumns() []column {
	return []column{
		gauge("node_filesystem_size_bytes", "bytes"),
		gauge("node_filesystem_free_bytes", "bytes"),
		gauge("node_filesystem_avail_bytes", "bytes"),
		gauge("node_filesystem_files", ""),
		gauge("node_filesystem_files_free", ""),
		gauge("node_filesystem_readonly", ""),
		gauge("node_filesystem_device_error", ""),
	}
}

func diskUsed() []column { return []column{gauge("sentinel_host_disk_used_percent", "percent")} }

func (c *filesystem) collect(ctx context.Context, p *page) error {
	used := p.fixed(diskUsed)
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	c.run++
	worst, any, mounts := 0.0, false, 0
	for len(data) > 0 {
		var line []byte
		// From the end: where several are mounted over each other, the last one answers
		// for the path and the others cannot be reached.
		line, data = cutLastLine(data)
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		mounts++
		c.point = unescape(c.point[:0], m.point)
		if c.met(c.point) {
			continue
		}
		row := c.row(p, m)
		if len(row) == 0 {
			continue
		}
		path := string(c.point)
		vol, err := c.ask(ctx, path)
		if err != nil {
			p.set(row[6], 1)
			continue
		}
		setVolume(p, row, vol, m.readonly)
		if share, ok := usedShare(vol, m); ok {
			worst, any = max(worst, share), true
		}
	}
	if mounts == 0 {
		return fmt.Errorf("%s names no mount", c.path)
	}
	if any {
		p.set(used[0], worst)
	}
	return nil
}

func setVolume(p *page, row []id, vol volume, readonly bool) {
	for i, v := range [...]uint64{vol.size, vol.free, vol.avail, vol.files, vol.filesFree} {
		p.set(row[i], float64(v))
	}
	ro := 0.0
	if readonly {
		ro = 1
	}
	p.set(row[5], ro)
	p.set(row[6], 0)
}

// usedShare is what df shows: used of what an ordinary user can use. Only file
// systems that can fill up count.
func usedShare(vol volume, m mount) (float64, bool) {
	if vol.size == 0 || m.readonly || vol.free > vol.size {
		return 0, false
	}
	switch string(m.fstype) {
	case "tmpfs", "ramfs", "efivarfs", "overlay":
		return 0, false
	}
	used := float64(vol.size - vol.free)
	if used+float64(vol.avail) == 0 {
		return 0, false
	}
	return percent(used, used+float64(vol.avail)), true
}

// met notes a mount point and says whether this run has met it before.
func (c *filesystem) met(point []byte) bool {
	last := c.seen[string(point)]
	if last == nil {
		if len(c.seen) > 4096 { // mount points of containers that are long gone
			clear(c.seen)
		}
		last = new(uint64)
		c.seen[string(point)] = last
	}
	again := *last == c.run
	*last = c.run
	return again
}

// row returns the series of a mount, none where it is not wanted.
func (c *filesystem) row(p *page, m mount) []id {
	c.scratch = append(append(append(append(append(c.scratch[:0], "m "...), m.device...), ' '), m.point...), ' ')
	c.scratch = append(c.scratch, m.fstype...)
	row, known := p.row(c.scratch)
	if known {
		return row
	}
	point, fstype := string(c.point), string(m.fstype)
	if !c.points.takes(point) || !c.types.takes(fstype) {
		return p.define(string(c.scratch), nil)
	}
	device := string(unescape(nil, m.device))
	return p.define(string(c.scratch), filesystemColumns(), "device", device, "mountpoint", point, "fstype", fstype)
}

// ask asks a file system in a goroutine of its own, since a dead network mount may
// never answer. Until it does, it is not asked again.
func (c *filesystem) ask(ctx context.Context, path string) (volume, error) {
	c.mu.Lock()
	stuck := c.stuck[path]
	c.stuck[path] = true
	c.mu.Unlock()
	if stuck {
		return volume{}, errStuck
	}
	type answer struct {
		vol volume
		err error
	}
	done := make(chan answer, 1)
	go func() {
		vol, err := c.statfs(path)
		c.mu.Lock()
		delete(c.stuck, path)
		c.mu.Unlock()
		done <- answer{vol, err}
	}()
	timer := time.NewTimer(perMount)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.vol, a.err
	case <-timer.C:
	case <-ctx.Done():
	}
	return volume{}, errStuck
}

// mount is one line of /proc/self/mountinfo, see proc_pid_mountinfo(5). Its words
// are escaped and belong to the line.
type mount struct {
	point, device, fstype []byte
	// readonly is the file system's own state. What the mount says beside it, and
	// statfs with it, is also true of all that a service manager's sandbox shows.
	readonly bool
}

func parseMount(line []byte) (m mount, ok bool) {
	var field []byte
	for i := range 6 {
		field, line = cutField(line)
		if i == 4 {
			m.point = field
		}
	}
	for { // optional fields up to a lone dash
		field, line = cutField(line)
		if len(field) == 0 {
			return m, false
		}
		if string(field) == "-" {
			break
		}
	}
	m.fstype, line = cutField(line)
	m.device, line = cutField(line)
	field, _ = cutField(line)
	first, _, _ := bytes.Cut(field, []byte(","))
	m.readonly = string(first) == "ro"
	return m, len(m.device) > 0 && len(m.point) > 0 && m.point[0] == '/'
}

// unescape appends s with the kernel's \040 written out.
func unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			dst = append(dst, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }
