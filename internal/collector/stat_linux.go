package collector

import (
	"context"
	"fmt"
)

// stat reads the counters in /proc/stat that are not about single cores.
type stat struct {
	file
	path, uptime string
}

// statKeys are the lines that statColumns' series are read from.
var statKeys = [...]string{"intr", "ctxt", "btime", "processes", "procs_running", "procs_blocked"}

func statColumns() []column {
	return []column{
		counter("node_intr_total", ""),
		counter("node_context_switches_total", ""),
		gauge("node_boot_time_seconds", "seconds"),
		counter("node_forks_total", ""),
		gauge("node_procs_running", ""),
		gauge("node_procs_blocked", ""),
		gauge("sentinel_host_uptime_seconds", "seconds"),
	}
}

func newStat(h host) (collector, error) {
	return &stat{path: h.proc + "/stat", uptime: h.proc + "/uptime"}, nil
}

func (c *stat) collect(_ context.Context, p *page) error {
	row := p.fixed(statColumns)
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	found := 0
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		key, rest := cutField(line)
		for i, want := range statKeys {
			if string(key) != want {
				continue
			}
			if v, ok, _ := cutUint(rest); ok {
				p.set(row[i], float64(v))
				found++
			}
		}
	}
	if found == 0 {
		return fmt.Errorf("%s holds nothing that is known", c.path)
	}
	if data, err = c.read(c.uptime); err != nil {
		return err
	}
	field, _ := cutField(data)
	if v, ok := parseDecimal(field); ok {
		p.set(row[len(statKeys)], v)
	}
	return nil
}
