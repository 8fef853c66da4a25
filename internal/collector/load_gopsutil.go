//go:build windows || darwin

package collector

import (
	"context"
	"fmt"
	"runtime"

	psload "github.com/shirou/gopsutil/v4/load"
)

// load reads the load averages, which Windows does not have.
type load struct{}

func newLoad(host) (collector, error) { return load{}, nil }

func loadColumns() []column {
	return []column{gauge("node_load1", ""), gauge("node_load5", ""), gauge("node_load15", "")}
}

func (load) collect(ctx context.Context, p *page) error {
	if runtime.GOOS == "windows" {
		return errNothing
	}
	row := p.fixed(loadColumns)
	avg, err := psload.AvgWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read load averages: %w", err)
	}
	for i, v := range [...]float64{avg.Load1, avg.Load5, avg.Load15} {
		p.set(row[i], v)
	}
	return nil
}
