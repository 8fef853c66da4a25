package collector

import (
	"bytes"
	"context"
	"fmt"
)

// vmstat reads the paging, swapping and out-of-memory counters of /proc/vmstat.
type vmstat struct {
	file
	path string
}

func newVMStat(h host) (collector, error) { return &vmstat{path: h.proc + "/vmstat"}, nil }

func (c *vmstat) collect(_ context.Context, p *page) error {
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	found := 0
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		key, rest := cutField(line)
		if !vmstatWanted(key) {
			continue
		}
		v, ok, _ := cutUint(rest)
		if !ok {
			continue
		}
		row, known := p.row(key)
		if !known {
			row = p.define(string(key), []column{counter("node_vmstat_"+string(key), "")})
		}
		p.set(row[0], float64(v))
		found++
	}
	if found == 0 {
		return fmt.Errorf("%s holds nothing that is known", c.path)
	}
	return nil
}

// vmstatWanted is node_exporter's selection: ^(oom_kill|pgpg|pswp|pg.*fault).*
func vmstatWanted(key []byte) bool {
	return bytes.HasPrefix(key, []byte("pgpg")) || bytes.HasPrefix(key, []byte("pswp")) ||
		bytes.HasPrefix(key, []byte("oom_kill")) ||
		bytes.HasPrefix(key, []byte("pg")) && bytes.Contains(key, []byte("fault"))
}
