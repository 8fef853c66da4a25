//go:build windows || darwin

package collector

import (
	"context"
	"fmt"
	"slices"

	"github.com/shirou/gopsutil/v4/net"
)

// network reads what the interfaces have carried, and whether they are up.
type network struct{ filter filter }

func newNetwork(h host) (collector, error) {
	f, err := h.cfg.Network.compile()
	return &network{f}, err
}

func networkColumns() []column {
	return []column{
		counter("node_network_receive_bytes_total", "bytes"),
		counter("node_network_receive_packets_total", ""),
		counter("node_network_receive_errs_total", ""),
		counter("node_network_receive_drop_total", ""),
		counter("node_network_transmit_bytes_total", "bytes"),
		counter("node_network_transmit_packets_total", ""),
		counter("node_network_transmit_errs_total", ""),
		counter("node_network_transmit_drop_total", ""),
		gauge("node_network_up", ""),
		gauge("node_network_mtu_bytes", "bytes"),
	}
}

func (c *network) collect(ctx context.Context, p *page) error {
	counters, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return fmt.Errorf("read network counters: %w", err)
	}
	for _, n := range counters {
		row := c.row(p, n.Name)
		if len(row) == 0 {
			continue
		}
		for i, v := range [...]uint64{n.BytesRecv, n.PacketsRecv, n.Errin, n.Dropin, n.BytesSent, n.PacketsSent, n.Errout, n.Dropout} {
			p.set(row[i], float64(v))
		}
	}
	interfaces, err := net.InterfacesWithContext(ctx)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, n := range interfaces {
		row := c.row(p, n.Name)
		if len(row) == 0 {
			continue
		}
		up := 0.0
		if slices.Contains(n.Flags, "up") && slices.Contains(n.Flags, "running") {
			up = 1
		}
		p.set(row[8], up)
		if n.MTU > 0 {
			p.set(row[9], float64(n.MTU))
		}
	}
	return nil
}

func (c *network) row(p *page, name string) []id {
	row, known := p.row([]byte(name))
	switch {
	case known:
		return row
	case !c.filter.takes(name):
		return p.define(name, nil)
	}
	return p.define(name, networkColumns(), "device", name)
}
