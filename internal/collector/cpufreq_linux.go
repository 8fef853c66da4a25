package collector

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// cpufreq reads the clock rates of the cores, where the kernel governs them. What
// a core can do at most and at least is read again only when cores are searched.
//
// Some kernels sleep for 10 to 50 ms over the rate of one core. Where that adds up to
// more than clockBudget, the other cores' turn comes in the next cycle, and their last
// rates are said again.
type cpufreq struct {
	file
	dir   string
	cores []coreClock
	next  int // whose turn it is
	cycle int
}

const clockBudget = 100 * time.Millisecond

// coreClock is one core with a clock rate.
type coreClock struct {
	name, now   string // its number, and the file with its present rate
	least, most uint64 // kHz, 0 where they are not known
	rate        uint64 // kHz, as last read
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
	start := time.Now()
	for range c.cores {
		core := &c.cores[c.next]
		c.next = (c.next + 1) % len(c.cores)
		var err error
		if core.rate, err = c.readUint(core.now); err != nil {
			core.rate = 0
		}
		if ctx.Err() != nil || time.Since(start) > clockBudget {
			break
		}
	}
	for _, core := range c.cores {
		row, known := p.row([]byte(core.name))
		if !known {
			row = p.define(core.name, cpufreqColumns(), "cpu", core.name)
		}
		for i, v := range [...]uint64{core.rate, core.least, core.most} {
			if v > 0 {
				p.set(row[i], float64(v)*1000)
			}
		}
	}
	return nil
}

func (c *cpufreq) search() error {
	last := make(map[string]uint64, len(c.cores))
	for _, core := range c.cores {
		last[core.name] = core.rate
	}
	c.cores, c.next = c.cores[:0], 0
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
		// Its limits are read at once, its rate takes time.
		core := coreClock{name: number, now: dir + "cur_freq", rate: last[number]}
		if v, err := c.readUint(dir + "min_freq"); err == nil {
			core.least = v
		}
		if v, err := c.readUint(dir + "max_freq"); err == nil {
			core.most = v
		}
		if core.least > 0 || core.most > 0 {
			c.cores = append(c.cores, core)
		}
	}
	return nil
}
