package collector

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// cpuModes are the columns of /proc/stat behind the name, see proc(5). User time
// contains guest time, and nice guest_nice.
var cpuModes = [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"}

const (
	ticksPerSecond = 100 // USER_HZ is 100 on every architecture that Go runs on
	modeIdle       = 3
	modeIOWait     = 4
	modeGuest      = 8
)

// cpu reads the time each core spent in each mode.
type cpu struct {
	file
	path  string
	cores map[string]*cpuTimes
	total cpuTimes
	base  bool // total holds an earlier reading
}

type cpuTimes [len(cpuModes)]uint64

func newCPU(h host) (collector, error) {
	return &cpu{path: h.proc + "/stat", cores: make(map[string]*cpuTimes)}, nil
}

func (c *cpu) collect(_ context.Context, p *page) error {
	used := p.fixed(cpuUsed)
	data, err := c.read(c.path)
	if err != nil {
		return err
	}
	seen := 0
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		name, rest := cutField(line)
		if !bytes.HasPrefix(name, []byte("cpu")) {
			break // the cores stand first
		}
		name = name[len("cpu"):]
		var now cpuTimes
		n, ok := now.parse(rest)
		if !ok {
			continue
		}
		if len(name) == 0 {
			c.share(p, used[0], now)
			continue
		}
		if _, isNumber := parseUint(name); !isNumber {
			continue
		}
		seen++
		c.core(p, name, now, n)
	}
	if seen == 0 {
		return fmt.Errorf("%s names no core", c.path)
	}
	return nil
}

// parse reads the columns, of which old kernels have fewer, and says how many.
func (t *cpuTimes) parse(b []byte) (n int, ok bool) {
	for n < len(t) {
		field, rest := cutField(b)
		if len(field) == 0 {
			break
		}
		if t[n], ok = parseUint(field); !ok {
			return 0, false
		}
		b = rest
		n++
	}
	return n, n > modeIdle
}

// core says the times of one core.
func (c *cpu) core(p *page, name []byte, now cpuTimes, n int) {
	row, known := p.row(name)
	if !known {
		row = defineCPU(p, string(name))
	}
	last := c.cores[string(name)]
	if last == nil {
		last = new(cpuTimes)
		c.cores[string(name)] = last
	}
	for i := range now[:n] {
		// Some kernels let idle and iowait step back a little, which a reader would take
		// for a restart of the counter. A real restart (the core was switched off and on)
		// falls further than that.
		if now[i] < last[i] && last[i]-now[i] < 3*ticksPerSecond {
			now[i] = last[i]
		}
		p.set(row[i], float64(now[i])/ticksPerSecond)
	}
	*last = now
}

func defineCPU(p *page, core string) (row []id) {
	for _, mode := range cpuModes[:modeGuest] {
		row = append(row, p.intern(sentinel.NewSeries("node_cpu_seconds_total", sentinel.Counter, "seconds", "cpu", core, "mode", mode)))
	}
	for _, mode := range [...]string{"user", "nice"} {
		row = append(row, p.intern(sentinel.NewSeries("node_cpu_guest_seconds_total", sentinel.Counter, "seconds", "cpu", core, "mode", mode)))
	}
	return p.keep(core, row)
}

func cpuUsed() []column { return []column{gauge("sentinel_host_cpu_used_percent", "percent")} }

// share says how much of the time since the last cycle the cores were busy.
func (c *cpu) share(p *page, at id, now cpuTimes) {
	var busy, idle float64
	for i := range now[:modeGuest] {
		if d := now[i] - c.total[i]; now[i] < c.total[i] {
			continue
		} else if i == modeIdle || i == modeIOWait {
			idle += float64(d)
		} else {
			busy += float64(d)
		}
	}
	if c.base && busy+idle > 0 {
		p.set(at, percent(busy, busy+idle))
	}
	c.total, c.base = now, true
}
