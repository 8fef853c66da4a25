package collector

import "context"

// uname says which system the host runs, as labels of a series that is always 1.
type uname struct {
	file
	dir, machine string
}

func newUname(h host) (collector, error) {
	return &uname{dir: h.proc + "/sys/kernel/", machine: h.machine}, nil
}

func (c *uname) collect(_ context.Context, p *page) error {
	labels := []string{"sysname", "ostype", "release", "osrelease", "version", "version",
		"nodename", "hostname", "domainname", "domainname"}
	key := ""
	for i := 1; i < len(labels); i += 2 {
		text, err := c.readText(c.dir + labels[i])
		if err != nil {
			return err
		}
		labels[i] = text
		key += text + "\n"
	}
	row, known := p.row([]byte(key))
	if !known {
		row = p.define(key, []column{gauge("node_uname_info", "")}, append(labels, "machine", c.machine)...)
	}
	p.set(row[0], 1)
	return nil
}
