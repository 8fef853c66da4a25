package collector

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// processes counts the processes by state and their threads, and says which programs
// use most. That takes one small file per process and 4 to 20 microseconds for each,
// more than everything else together on a host with hundreds. So where a count takes
// longer than countBudget it is made in every second cycle, every third, and so on,
// and said again in between: no count is older than staleFor, or than the interval
// where that is longer.
type processes struct {
	file
	proc     string
	walk     walk
	states   [256]int
	pids     int
	threads  int
	stale    int // cycles that a count may serve
	rest     int // cycles to go until the next count
	programs programs
}

const (
	countBudget = time.Millisecond / 4
	staleFor    = time.Minute
)

// processStates are always there, so that a state's first process makes no new
// layout. Others (X, P, W of old kernels) appear when they are seen.
const processStates = "DIRSTZt"

func newProcesses(h host) (collector, error) {
	top, err := newPrograms(h)
	return &processes{proc: h.proc, programs: top, stale: max(int(staleFor/h.interval), 1)}, err
}

func processColumns() []column {
	return []column{
		gauge("node_processes_threads", ""),
		gauge("node_processes_pids", ""),
		gauge("node_processes_max_threads", ""),
		gauge("node_processes_max_processes", ""),
	}
}

func (c *processes) collect(ctx context.Context, p *page) error {
	row := p.fixed(processColumns)
	if c.rest > 0 {
		c.rest--
	} else if err := c.count(ctx); err != nil {
		return err
	}
	p.set(row[0], float64(c.threads))
	p.set(row[1], float64(c.pids))
	c.limits(p, row)
	c.byState(p)
	c.programs.say(p)
	return nil
}

// count looks at every process.
func (c *processes) count(ctx context.Context) error {
	start := time.Now()
	c.states, c.pids, c.threads = [256]int{}, 0, 0
	c.programs.begin()
	err := c.walk.each(ctx, c.proc, "stat", func(pid uint32, data []byte) {
		if s, ok := parseProcess(data); ok {
			c.states[s.state]++
			c.threads += s.threads
			c.pids++
			c.programs.add(pid, s)
		}
	})
	if err != nil {
		return err
	}
	if c.pids == 0 {
		return fmt.Errorf("%s names no process", c.proc)
	}
	c.programs.end()
	c.rest = int(min(time.Since(start)/countBudget, time.Duration(c.stale-1)))
	return nil
}

func (c *processes) limits(p *page, row []id) {
	if v, err := c.readUint(c.proc + "/sys/kernel/threads-max"); err == nil {
		p.set(row[2], float64(v))
	}
	if v, err := c.readUint(c.proc + "/sys/kernel/pid_max"); err == nil {
		p.set(row[3], float64(v))
	}
}

func (c *processes) byState(p *page) {
	for state, n := range c.states {
		always := bytes.IndexByte([]byte(processStates), byte(state)) >= 0
		if n == 0 && !always {
			continue
		}
		key := [...]byte{byte(state)}
		row, known := p.row(key[:])
		if !known {
			row = p.define(string(key[:]), []column{gauge("node_processes_state", "")}, "state", string(key[:]))
		}
		p.set(row[0], float64(n))
	}
}

// procStat is what /proc/<pid>/stat says, see proc_pid_stat(5).
type procStat struct {
	name    []byte // belongs to the file
	state   byte
	kernel  bool // a thread of the kernel
	threads int
	ticks   uint64 // of CPU time, in user and in system mode
	start   uint64 // ticks since the boot
	pages   uint64 // of resident memory
}

// parseProcess reads the line in /proc/<pid>/stat. The process' name stands in
// parentheses and may hold anything, parentheses too.
func parseProcess(b []byte) (s procStat, ok bool) {
	begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if begin < 0 || end < begin {
		return s, false
	}
	s.name = b[begin+1 : end]
	word, rest := cutField(b[end+1:])
	if len(word) != 1 || (word[0]|0x20) < 'a' || (word[0]|0x20) > 'z' {
		return s, false
	}
	s.state = word[0]
	for field := 4; field <= 24; field++ {
		word, rest = cutField(rest)
		switch field {
		case 9, 14, 15, 20, 22, 24:
		default:
			continue
		}
		v, numeric := parseUint(word)
		if !numeric {
			return s, false
		}
		switch field {
		case 9:
			const kernelThread = 0x00200000 // PF_KTHREAD
			s.kernel = v&kernelThread != 0
		case 14, 15:
			s.ticks += min(v, 1<<62)
		case 20:
			if v > 1<<22 {
				return s, false
			}
			s.threads = int(v)
		case 22:
			s.start = v
		case 24:
			s.pages = min(v, 1<<50)
		}
	}
	return s, true
}
