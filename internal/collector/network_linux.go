package collector

import (
	"bytes"
	"context"
	"fmt"
)

// network reads the counters of /proc/net/dev.
type network struct {
	file
	path   string
	filter filter
}

func newNetwork(h host) (collector, error) {
	f, err := h.cfg.Network.compile()
	return &network{path: h.proc + "/net/dev", filter: f}, err
}

// networkFields are the columns of /proc/net/dev in their order.
var networkFields = [...]string{
	"receive_bytes", "receive_packets", "receive_errs", "receive_drop", "receive_fifo", "receive_frame",
	"receive_compressed", "receive_multicast",
	"transmit_bytes", "transmit_packets", "transmit_errs", "transmit_drop", "transmit_fifo", "transmit_colls",
	"transmit_carrier", "transmit_compressed",
}

func (c *network) collect(_ context.Context, p *page) error {
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	found := false
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		// An old kernel leaves no blank behind the colon; an alias holds a colon itself.
		colon := bytes.LastIndexByte(line, ':')
		if colon < 0 {
			continue // the two lines of headings
		}
		name, _ := cutField(line[:colon])
		if countFields(line[colon+1:]) != len(networkFields) || len(name) == 0 {
			continue
		}
		found = true
		row, known := p.row(name)
		if !known {
			row = c.define(p, string(name))
		}
		rest := line[colon+1:]
		for i := range row {
			v, ok, more := cutUint(rest)
			if ok {
				p.set(row[i], float64(v))
			}
			rest = more
		}
	}
	if !found {
		return fmt.Errorf("%s names no interface", c.path)
	}
	return nil
}

func (c *network) define(p *page, name string) []id {
	if !c.filter.takes(name) {
		return p.define(name, nil)
	}
	var cols []column
	for _, field := range networkFields {
		unit := ""
		if field == "receive_bytes" || field == "transmit_bytes" {
			unit = "bytes"
		}
		cols = append(cols, counter("node_network_"+field+"_total", unit))
	}
	return p.define(name, cols, "device", name)
}
