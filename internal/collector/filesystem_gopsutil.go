//go:build windows || darwin

package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	psdisk "github.com/shirou/gopsutil/v4/disk"
)

// filesystem reads the room on the mounted file systems. One that hangs costs this
// collector's samples, by the Set's timeout.
type filesystem struct{ points, types filter }

func newFilesystem(h host) (collector, error) {
	points, err1 := h.cfg.Filesystem.MountPoints.compile()
	types, err2 := h.cfg.Filesystem.Types.compile()
	return &filesystem{points, types}, errors.Join(err1, err2)
}

func filesystemColumns() []column {
	return []column{
		gauge("node_filesystem_size_bytes", "bytes"),
		gauge("node_filesystem_free_bytes", "bytes"),
		gauge("node_filesystem_avail_bytes", "bytes"),
		gauge("node_filesystem_readonly", ""),
		gauge("node_filesystem_device_error", ""),
	}
}

func diskUsed() []column { return []column{gauge("sentinel_host_disk_used_percent", "percent")} }

func (c *filesystem) collect(ctx context.Context, p *page) error {
	used := p.fixed(diskUsed)
	mounts, err := psdisk.PartitionsWithContext(ctx, false)
	if err != nil {
		return fmt.Errorf("list file systems: %w", err)
	}
	worst, any := 0.0, false
	for _, m := range mounts {
		if !c.points.takes(m.Mountpoint) || !c.types.takes(m.Fstype) {
			continue
		}
		key := m.Device + " " + m.Mountpoint + " " + m.Fstype
		row, known := p.row([]byte(key))
		if !known {
			row = p.define(key, filesystemColumns(), "device", m.Device, "mountpoint", m.Mountpoint, "fstype", m.Fstype)
		}
		readonly := slices.Contains(m.Opts, "ro")
		u, err := psdisk.UsageWithContext(ctx, m.Mountpoint)
		if err != nil {
			p.set(row[4], 1)
			continue
		}
		p.set(row[0], float64(u.Total))
		p.set(row[1], float64(u.Total-u.Used))
		p.set(row[2], float64(u.Free))
		p.set(row[3], 0)
		if readonly {
			p.set(row[3], 1)
		}
		p.set(row[4], 0)
		if all := float64(u.Used) + float64(u.Free); !readonly && all > 0 {
			worst, any = max(worst, percent(float64(u.Used), all)), true
		}
	}
	if any {
		p.set(used[0], worst)
	}
	return nil
}
