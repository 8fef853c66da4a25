//go:build windows || darwin

package collector

import (
	"context"
	"fmt"

	psdisk "github.com/shirou/gopsutil/v4/disk"
)

// disk reads what the block devices have done.
type disk struct{ filter filter }

func newDisk(h host) (collector, error) {
	f, err := h.cfg.Disk.compile()
	return &disk{f}, err
}

func diskColumns() []column {
	return []column{
		counter("node_disk_reads_completed_total", ""),
		counter("node_disk_read_bytes_total", "bytes"),
		counter("node_disk_read_time_seconds_total", "seconds"),
		counter("node_disk_writes_completed_total", ""),
		counter("node_disk_written_bytes_total", "bytes"),
		counter("node_disk_write_time_seconds_total", "seconds"),
	}
}

func (c *disk) collect(ctx context.Context, p *page) error {
	devices, err := psdisk.IOCountersWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read disk counters: %w", err)
	}
	for name, d := range devices {
		if !c.filter.takes(name) {
			continue
		}
		row, known := p.row([]byte(name))
		if !known {
			row = p.define(name, diskColumns(), "device", name)
		}
		p.set(row[0], float64(d.ReadCount))
		p.set(row[1], float64(d.ReadBytes))
		p.set(row[2], float64(d.ReadTime)/1000)
		p.set(row[3], float64(d.WriteCount))
		p.set(row[4], float64(d.WriteBytes))
		p.set(row[5], float64(d.WriteTime)/1000)
	}
	return nil
}
