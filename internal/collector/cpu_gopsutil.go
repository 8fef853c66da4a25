//go:build windows || darwin

package collector

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// cores reads the time each core spent in each mode.
type cores struct {
	busy, all float64 // sums of the last cycle
	base      bool
}

func newCPU(host) (collector, error) { return &cores{}, nil }

func cpuUsed() []column { return []column{gauge("sentinel_host_cpu_used_percent", "percent")} }

func (c *cores) collect(ctx context.Context, p *page) error {
	used := p.fixed(cpuUsed)
	times, err := cpu.TimesWithContext(ctx, true)
	if err != nil {
		return fmt.Errorf("read cpu times: %w", err)
	}
	var busy, all float64
	for _, t := range times {
		row, known := p.row([]byte(t.CPU))
		if !known {
			row = defineCPU(p, t.CPU)
		}
		for i, v := range [...]float64{t.User, t.System, t.Idle, t.Nice, t.Irq} {
			if i < len(row) {
				p.set(row[i], math.Round(v*1e3)/1e3)
			}
			all += v
		}
		busy += t.User + t.System + t.Nice + t.Irq
	}
	if c.base && all > c.all {
		p.set(used[0], percent(busy-c.busy, all-c.all))
	}
	c.busy, c.all, c.base = busy, all, true
	return nil
}

// defineCPU names the modes that the system tells apart.
func defineCPU(p *page, core string) (row []id) {
	label := strings.TrimPrefix(core, "cpu")
	for _, mode := range cpuModes() {
		row = append(row, p.intern(sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", label, "mode", mode)))
	}
	return p.keep(core, row)
}
