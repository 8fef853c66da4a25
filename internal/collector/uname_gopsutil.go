//go:build windows || darwin

package collector

import (
	"context"
	"fmt"

	system "github.com/shirou/gopsutil/v4/host"
)

// uname says which system the host runs, since when, and with how many processes.
type uname struct{ machine string }

func newUname(h host) (collector, error) { return &uname{h.machine}, nil }

func unameColumns() []column {
	return []column{gauge("node_boot_time_seconds", "seconds"), gauge("node_processes_pids", "")}
}

func (c *uname) collect(ctx context.Context, p *page) error {
	row := p.fixed(unameColumns)
	info, err := system.InfoWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read host information: %w", err)
	}
	if info.BootTime > 0 {
		p.set(row[0], float64(info.BootTime))
	}
	if info.Procs > 0 {
		p.set(row[1], float64(info.Procs))
	}
	key := info.Hostname + "\n" + info.KernelVersion + "\n" + info.PlatformVersion
	name, known := p.row([]byte(key))
	if !known {
		name = p.define(key, []column{gauge("node_uname_info", "")}, "sysname", info.OS, "release", info.KernelVersion,
			"version", info.PlatformVersion, "nodename", info.Hostname, "domainname", "", "machine", c.machine)
	}
	for _, at := range name {
		p.set(at, 1)
	}
	return nil
}
