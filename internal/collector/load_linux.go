package collector

import (
	"context"
	"fmt"
)

// load reads /proc/loadavg.
type load struct {
	file
	path string
}

func newLoad(h host) (collector, error) { return &load{path: h.proc + "/loadavg"}, nil }

func loadColumns() []column {
	return []column{gauge("node_load1", ""), gauge("node_load5", ""), gauge("node_load15", "")}
}

func (c *load) collect(_ context.Context, p *page) error {
	row := p.fixed(loadColumns)
	rest, err := c.read(c.path)
	if err != nil {
		return err
	}
	for i := range row {
		var field []byte
		field, rest = cutField(rest)
		v, ok := parseDecimal(field)
		if !ok {
			return fmt.Errorf("%s does not begin with three numbers", c.path)
		}
		p.set(row[i], v)
	}
	return nil
}
