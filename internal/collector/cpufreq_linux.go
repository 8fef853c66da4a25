package collector

import (
	"context"
	"errors"
	"io/fs"
	"strings"
)

// cpufreq reads the clock rates of the cores, where the kernel governs them. What
// a core can do at most and at least is read again only when cores are searched.
type cpufreq struct {
	file
	dir   string
	cores []coreClock
	cycle int
}

// coreClock is one core with a clock rate.
type coreClock struct {
	name, now   string // its number, and the file with its present rate
	least, most uint64 // kHz, 0 where they are not known
}

func newCPUFreq(h host) (collector, error) { return &cpufreq{dir: h.sys + "/devices/system/cpu"}, nil }

func cpufreqColumns() []column {
	return []column{
		gauge("node_cpu_scaling_frequency_hertz", "hertz"),
		gauge("node_cpu_scaling_frequency_min_hertz", "hertz"),
		gauge("node_cpu_scaling_frequency_max_hertz", "hertz"),
	}
}

func (c *cpufreq) collect(ctx context.Context, p *page) error {
	if c.cycle%searchEvery == 0 {
		if err := c.search(); err != nil {
			return err
		}
	}
	c.cycle++
	if len(c.cores) == 0 {
		return errNothing
	}
	for _, core := range c.cores {
		// Some kernels sleep for milliseconds over one rate; there are many cores.
		if err := ctx.Err(); err != nil {
			return err
		}
		row, known := p.row([]byte(core.name))
		if !known {
			row = p.define(core.name, cpufreqColumns(), "cpu", core.name)
		}
		if now, err := c.readUint(core.now); err == nil {
			p.set(row[0], float64(now)*1000)
		}
		for i, v := range [...]uint64{core.least, core.most} {
			if v > 0 {
				p.set(row[1+i], float64(v)*1000)
			}
		}
	}
	return nil
}

func (c *cpufreq) search() error {
	c.cores = c.cores[:0]
	names, err := readNames(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		number, ok := strings.CutPrefix(name, "cpu")
		if _, digits := parseUint([]byte(number)); !ok || !digits {
			continue
		}
		dir := c.dir + "/" + name + "/cpufreq/scaling_"
		if _, err := c.readUint(dir + "cur_freq"); err != nil {
			continue
		}
		core := coreClock{name: number, now: dir + "cur_freq"}
		if v, err := c.readUint(dir + "min_freq"); err == nil {
			core.least = v
		}
		if v, err := c.readUint(dir + "max_freq"); err == nil {
			core.most = v
		}
		c.cores = append(c.cores, core)
	}
	return nil
}
