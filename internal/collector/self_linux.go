package collector

import (
	"context"
	"fmt"
)

// usage reads what this process takes, from /proc/self/stat.
type usage struct {
	file
	path string
	page float64 // bytes of a page of memory
}

func newUsage(h host) collector {
	return &usage{path: h.proc + "/self/stat", page: float64(h.pageSize)}
}

func usageColumns() []column {
	return []column{
		counter("sentinel_agent_cpu_seconds_total", "seconds"),
		gauge("sentinel_agent_resident_memory_bytes", "bytes"),
		gauge("sentinel_agent_threads", ""),
	}
}

func (c *usage) collect(_ context.Context, p *page) error {
	data, err := c.read(c.path)
	if err != nil {
		return optional(err)
	}
	s, ok := parseProcess(data)
	if !ok {
		return fmt.Errorf("%s is not as it is documented", c.path)
	}
	row := p.fixed(usageColumns)
	p.set(row[0], float64(s.ticks)/ticksPerSecond)
	p.set(row[1], float64(s.pages)*c.page)
	p.set(row[2], float64(s.threads))
	return nil
}
