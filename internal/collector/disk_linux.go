package collector

import (
	"context"
)

// disk reads /proc/diskstats, see the kernel's admin-guide/iostats.
type disk struct {
	file
	path   string
	filter filter
}

func newDisk(h host) (collector, error) {
	f, err := h.cfg.Disk.compile()
	return &disk{path: h.proc + "/diskstats", filter: f}, err
}

const sectorBytes = 512 // the unit of diskstats, whatever the device's own is

// diskFields are the columns of diskstats behind the device's name, in their order,
// each with its factor. Old kernels end after the 11th (4.18: 15, 5.5: 17).
var diskFields = [...]struct {
	column
	mul, div float64
}{
	{counter("node_disk_reads_completed_total", ""), 1, 1},
	{counter("node_disk_reads_merged_total", ""), 1, 1},
	{counter("node_disk_read_bytes_total", "bytes"), sectorBytes, 1},
	{counter("node_disk_read_time_seconds_total", "seconds"), 1, 1000},
	{counter("node_disk_writes_completed_total", ""), 1, 1},
	{counter("node_disk_writes_merged_total", ""), 1, 1},
	{counter("node_disk_written_bytes_total", "bytes"), sectorBytes, 1},
	{counter("node_disk_write_time_seconds_total", "seconds"), 1, 1000},
	{gauge("node_disk_io_now", ""), 1, 1},
	{counter("node_disk_io_time_seconds_total", "seconds"), 1, 1000},
	{counter("node_disk_io_time_weighted_seconds_total", "seconds"), 1, 1000},
	{counter("node_disk_discards_completed_total", ""), 1, 1},
	{counter("node_disk_discards_merged_total", ""), 1, 1},
	{counter("node_disk_discarded_sectors_total", ""), 1, 1},
	{counter("node_disk_discard_time_seconds_total", "seconds"), 1, 1000},
	{counter("node_disk_flush_requests_total", ""), 1, 1},
	{counter("node_disk_flush_requests_time_seconds_total", "seconds"), 1, 1000},
}

func (c *disk) collect(_ context.Context, p *page) error {
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		_, rest := cutField(line) // major
		_, rest = cutField(rest)  // minor
		name, rest := cutField(rest)
		if len(name) == 0 {
			continue
		}
		row, known := p.row(name)
		if !known {
			row = c.define(p, string(name), countFields(rest))
		}
		for i := range row {
			var field []byte
			field, rest = cutField(rest)
			if v, ok := parseUint(field); ok {
				p.set(row[i], float64(v)*diskFields[i].mul/diskFields[i].div)
			}
		}
	}
	return nil
}

func (c *disk) define(p *page, name string, fields int) []id {
	var cols []column
	if c.filter.takes(name) {
		for _, f := range diskFields[:min(fields, len(diskFields))] {
			cols = append(cols, f.column)
		}
	}
	return p.define(name, cols, "device", name)
}

func countFields(b []byte) (n int) {
	for {
		var field []byte
		if field, b = cutField(b); len(field) == 0 {
			return n
		}
		n++
	}
}
