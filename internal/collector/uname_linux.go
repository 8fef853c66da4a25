package collector

import "context"

// uname says which system the host runs, as labels of a series that is always 1. The
// names hardly ever change: they are read every so often.
type uname struct {
	file
	dir, machine string
	labels       []string
	key          string
	cycle        int
}

func newUname(h host) (collector, error) {
	return &uname{dir: h.proc + "/sys/kernel/", machine: h.machine}, nil
}

func (c *uname) collect(_ context.Context, p *page) error {
	if c.cycle%searchEvery == 0 {
		if err := c.search(); err != nil {
			return err
		}
	}
	c.cycle++
	row, known := p.row([]byte(c.key))
	if !known {
		row = p.define(c.key, []column{gauge("node_uname_info", "")}, append(c.labels, "machine", c.machine)...)
	}
	p.set(row[0], 1)
	return nil
}

func (c *uname) search() error {
	c.labels = []string{"sysname", "ostype", "release", "osrelease", "version", "version",
		"nodename", "hostname", "domainname", "domainname"}
	c.key = ""
	for i := 1; i < len(c.labels); i += 2 {
		text, err := c.readText(c.dir + c.labels[i])
		if err != nil {
			return err
		}
		c.labels[i] = text
		c.key += text + "\n"
	}
	return nil
}
