//go:build windows || darwin

package collector

import (
	"context"
	"fmt"

	"github.com/shirou/gopsutil/v4/mem"
)

// memory reads the sums that have a meaning on every system.
type memory struct{}

func newMemory(host) (collector, error) { return memory{}, nil }

func memoryColumns() []column {
	return []column{
		gauge("node_memory_MemTotal_bytes", "bytes"),
		gauge("node_memory_MemAvailable_bytes", "bytes"),
		gauge("node_memory_MemFree_bytes", "bytes"),
		gauge("node_memory_SwapTotal_bytes", "bytes"),
		gauge("node_memory_SwapFree_bytes", "bytes"),
		gauge("sentinel_host_memory_used_percent", "percent"),
	}
}

func (memory) collect(ctx context.Context, p *page) error {
	row := p.fixed(memoryColumns)
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read memory: %w", err)
	}
	p.set(row[0], float64(m.Total))
	p.set(row[1], float64(m.Available))
	p.set(row[2], float64(m.Free))
	if m.Total > 0 {
		p.set(row[5], percent(float64(m.Total)-float64(m.Available), float64(m.Total)))
	}
	swap, err := mem.SwapMemoryWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read swap: %w", err)
	}
	p.set(row[3], float64(swap.Total))
	p.set(row[4], float64(swap.Free))
	return nil
}
