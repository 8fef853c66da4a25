package collector

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// programs says which programs use most of the host's CPU time and memory. Processes
// of one name are one program: people ask what eats the CPU, not which of its forty
// workers does, a name lives longer than a process, and the number of series stays
// small. Kernel threads lose what stands behind a slash (kworker/3:1 is kworker).
//
// What is shown must not make a new layout in every cycle. So the first of CPU and of
// memory are chosen at most once per chooseEvery, by the CPU time used since the last
// choice; and a program that was chosen is shown until it was not for showFor, so
// that its way down is seen too and one that takes turns does not come and go.
//
// The memory of a program is the sum over its processes. What they share (PostgreSQL's
// buffers, a library) counts in each.
type programs struct {
	most   int
	filter filter
	now    func() time.Time
	page   float64 // bytes of a page of memory
	walk   uint32
	tasks  map[uint32]task
	byName map[string]*program
	chosen time.Time
	sorted []*program
	key    []byte
}

const (
	chooseEvery = time.Minute
	showFor     = keepVanished
	// maxTasks and maxPrograms bound what is remembered; processes and names beyond
	// them are not counted here. Anyone on the host may choose names.
	maxTasks    = 1 << 15
	maxPrograms = 4096
)

// task is what a process was when it was last seen.
type task struct {
	start uint64 // ticks since the boot: another process under the same number has another
	ticks uint64 // of CPU time
	walk  uint32
}

// program is the processes of one name.
type program struct {
	name   string
	ticks  uint64 // of CPU time, of all its processes since the first was seen
	before uint64 // ticks at the last choice
	pages  uint64
	count  int
	chosen time.Time
}

func newPrograms(h host) (programs, error) {
	c := h.cfg.Processes
	f, err := Filter{c.Include, c.Exclude}.compile()
	return programs{most: c.Top, filter: f, now: h.now, page: float64(h.pageSize),
		tasks: make(map[uint32]task), byName: make(map[string]*program)}, err
}

// begin starts a walk over all processes.
func (c *programs) begin() {
	c.walk++
	for _, one := range c.byName {
		one.pages, one.count = 0, 0
	}
}

// add counts one process.
func (c *programs) add(pid uint32, s procStat) {
	if c.most == 0 {
		return
	}
	name := s.name
	if s.kernel {
		name, _, _ = bytes.Cut(name, []byte("/"))
	}
	one := c.byName[string(name)]
	if one == nil {
		if len(c.byName) >= maxPrograms || !c.filter.takes(string(name)) {
			return
		}
		one = &program{name: string(name)}
		c.byName[one.name] = one
	}
	one.count++
	one.pages += s.pages
	last, known := c.tasks[pid]
	if !known && len(c.tasks) >= maxTasks {
		return
	}
	used := s.ticks
	if known && last.start == s.start {
		used -= min(last.ticks, used)
	}
	one.ticks += used
	c.tasks[pid] = task{s.start, s.ticks, c.walk}
}

// end forgets what is gone and chooses, where that is due.
func (c *programs) end() {
	for pid, t := range c.tasks {
		if t.walk != c.walk {
			delete(c.tasks, pid)
		}
	}
	now := c.now()
	for name, one := range c.byName {
		if one.count == 0 && !one.shown(now) {
			delete(c.byName, name)
		}
	}
	if !c.chosen.IsZero() && now.Sub(c.chosen) < chooseEvery {
		return
	}
	c.chosen = now
	c.sorted = c.sorted[:0]
	for _, one := range c.byName {
		c.sorted = append(c.sorted, one)
	}
	c.choose(now, func(one *program) uint64 { return one.ticks - one.before })
	c.choose(now, func(one *program) uint64 { return one.pages })
	for _, one := range c.sorted {
		one.before = one.ticks
	}
	clear(c.sorted) // those that end are not kept by it
}

// choose marks the first by a measure.
func (c *programs) choose(now time.Time, by func(*program) uint64) {
	slices.SortFunc(c.sorted, func(a, b *program) int {
		return cmp.Or(cmp.Compare(by(b), by(a)), cmp.Compare(a.name, b.name))
	})
	for _, one := range c.sorted[:min(c.most, len(c.sorted))] {
		if by(one) > 0 {
			one.chosen = now
		}
	}
}

func (one *program) shown(now time.Time) bool {
	return !one.chosen.IsZero() && now.Sub(one.chosen) < showFor
}

func programColumns() []column {
	return []column{
		counter("sentinel_process_cpu_seconds_total", "seconds"),
		gauge("sentinel_process_resident_memory_bytes", "bytes"),
		gauge("sentinel_process_count", ""),
	}
}

// say sets the values of the programs that are shown.
func (c *programs) say(p *page) {
	now := c.now()
	for _, one := range c.byName {
		if !one.shown(now) {
			continue
		}
		c.key = append(append(c.key[:0], "program "...), one.name...)
		row, known := p.row(c.key)
		if !known {
			row = p.define(string(c.key), programColumns(), "name", one.name)
		}
		p.set(row[0], float64(one.ticks)/ticksPerSecond)
		p.set(row[1], float64(one.pages)*c.page)
		p.set(row[2], float64(one.count))
	}
}
