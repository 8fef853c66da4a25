package collector

import (
	"bytes"
	"context"
	"fmt"
)

// memory reads /proc/meminfo, every line of it.
type memory struct {
	file
	path string
}

func newMemory(h host) (collector, error) { return &memory{path: h.proc + "/meminfo"}, nil }

func (c *memory) collect(_ context.Context, p *page) error {
	used := p.fixed(memoryUsed)
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	var m meminfo
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		key, v, unit, ok := memLine(line)
		if !ok {
			continue
		}
		row, known := p.row(key)
		if !known {
			row = p.define(string(key), memColumn(key, unit))
		}
		for _, at := range row {
			p.set(at, v)
		}
		m.note(key, v)
	}
	if m.total <= 0 {
		return fmt.Errorf("%s names no MemTotal", c.path)
	}
	p.set(used[0], percent(m.total-m.usable(), m.total))
	return nil
}

func memoryUsed() []column { return []column{gauge("sentinel_host_memory_used_percent", "percent")} }

// memLine reads "Key:   123 kB"; the value is in bytes where a unit stands.
func memLine(line []byte) (key []byte, v float64, unit, ok bool) {
	key, rest, found := bytes.Cut(line, []byte(":"))
	if !found || len(key) == 0 {
		return nil, 0, false, false
	}
	n, ok, rest := cutUint(rest)
	word, _ := cutField(rest)
	switch {
	case !ok:
		return nil, 0, false, false
	case len(word) == 0:
		return key, float64(n), false, true
	case string(word) == "kB":
		return key, float64(n) * 1024, true, true
	}
	return nil, 0, false, false
}

// memColumn names a line as node_exporter does: Active(anon) in kB becomes
// node_memory_Active_anon_bytes. A key of other letters gets no series.
func memColumn(key []byte, unit bool) []column {
	name := []byte("node_memory_")
	for _, c := range key {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			name = append(name, c)
		case c == '(':
			name = append(name, '_')
		case c == ')':
		default:
			return nil
		}
	}
	if unit {
		return []column{gauge(string(name)+"_bytes", "bytes")}
	}
	return []column{gauge(string(name), "")}
}

// meminfo is what the used share is computed from.
type meminfo struct {
	total, available, free, buffers, cached, reclaimable float64
	hasAvailable                                         bool
}

func (m *meminfo) note(key []byte, v float64) {
	switch string(key) {
	case "MemTotal":
		m.total = v
	case "MemAvailable":
		m.available, m.hasAvailable = v, true
	case "MemFree":
		m.free = v
	case "Buffers":
		m.buffers = v
	case "Cached":
		m.cached = v
	case "SReclaimable":
		m.reclaimable = v
	}
}

// usable is the kernel's own estimate, or where it makes none (before 3.14) the
// one that free(1) made.
func (m *meminfo) usable() float64 {
	if m.hasAvailable {
		return m.available
	}
	return m.free + m.buffers + m.cached + m.reclaimable
}
