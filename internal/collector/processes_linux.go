package collector

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// processes counts the processes by state and their threads. That takes one small
// file per process and 10 to 20 microseconds for each, more than everything else
// together on a host with hundreds. So where a count takes longer than countBudget
// it is made in every second cycle, every third, and so on, and said again in
// between: no count is older than staleCycles.
type processes struct {
	file
	proc    string
	path    []byte
	states  [256]int
	pids    int
	threads int
	rest    int // cycles to go until the next count
}

const (
	countBudget = time.Millisecond
	staleCycles = 6
)

// processStates are always there, so that a state's first process makes no new
// layout. Others (X, P, W of old kernels) appear when they are seen.
const processStates = "DIRSTZt"

func newProcesses(h host) (collector, error) { return &processes{proc: h.proc}, nil }

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
	return nil
}

// count looks at every process.
func (c *processes) count(ctx context.Context) error {
	start := time.Now()
	dir, err := os.Open(c.proc)
	if err != nil {
		return readError(c.proc, err)
	}
	defer dir.Close()
	c.states, c.pids, c.threads = [256]int{}, 0, 0
	for ctx.Err() == nil {
		// In parts, so that ten thousand processes do not swell the agent.
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if name[0] < '0' || name[0] > '9' {
				continue
			}
			c.path = append(append(append(append(c.path[:0], c.proc...), '/'), name...), "/stat"...)
			data, err := c.read(string(c.path))
			if err != nil {
				continue // it has ended meanwhile
			}
			if state, n, ok := parseProcess(data); ok {
				c.states[state]++
				c.threads += n
				c.pids++
			}
		}
		if err != nil || len(names) == 0 {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("count processes: %w", err)
	}
	if c.pids == 0 {
		return fmt.Errorf("%s names no process", c.proc)
	}
	c.rest = int(min(time.Since(start)/countBudget, staleCycles-1))
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

// parseProcess reads the state and the number of threads from /proc/<pid>/stat. The
// process' name stands in parentheses and may hold anything, parentheses too.
func parseProcess(b []byte) (state byte, threads int, ok bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return 0, 0, false
	}
	word, rest := cutField(b[end+1:])
	if len(word) != 1 || (word[0]|0x20) < 'a' || (word[0]|0x20) > 'z' {
		return 0, 0, false
	}
	for range 16 { // ppid … nice
		_, rest = cutField(rest)
	}
	field, _ := cutField(rest)
	n, numeric := parseUint(field)
	if !numeric || n > 1<<22 {
		return 0, 0, false
	}
	return word[0], int(n), true
}
