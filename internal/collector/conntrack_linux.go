package collector

import "context"

// conntrack reads how many connections the firewall tracks, where it does.
type conntrack struct {
	file
	entries, limit string
}

func newConntrack(h host) (collector, error) {
	dir := h.proc + "/sys/net/netfilter/nf_conntrack_"
	return &conntrack{entries: dir + "count", limit: dir + "max"}, nil
}

func conntrackColumns() []column {
	return []column{gauge("node_nf_conntrack_entries", ""), gauge("node_nf_conntrack_entries_limit", "")}
}

func (c *conntrack) collect(_ context.Context, p *page) error {
	entries, err := c.readUint(c.entries)
	if err != nil {
		return optional(err)
	}
	row := p.fixed(conntrackColumns)
	p.set(row[0], float64(entries))
	limit, err := c.readUint(c.limit)
	if err != nil {
		return err
	}
	p.set(row[1], float64(limit))
	return nil
}
