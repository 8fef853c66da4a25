package collector

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"syscall"
)

// pressure reads how long tasks waited for a resource (PSI, Linux 4.20 and later).
type pressure struct {
	file
	dir string
}

func newPressure(h host) (collector, error) { return &pressure{dir: h.proc + "/pressure/"}, nil }

// pressureFiles say which line of which file is which series. "some" is the time in
// which at least one task waited, "full" that in which all did.
var pressureFiles = [...]struct{ file, some, full string }{
	{"cpu", "node_pressure_cpu_waiting_seconds_total", ""},
	{"io", "node_pressure_io_waiting_seconds_total", "node_pressure_io_stalled_seconds_total"},
	{"memory", "node_pressure_memory_waiting_seconds_total", "node_pressure_memory_stalled_seconds_total"},
	{"irq", "", "node_pressure_irq_stalled_seconds_total"},
}

func (c *pressure) collect(_ context.Context, p *page) error {
	found := false
	for _, f := range pressureFiles {
		data, err := c.read(c.dir + f.file)
		// A kernel started without psi=1 has the files and refuses to read them.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return err
		}
		found = true
		for len(data) > 0 {
			var line []byte
			line, data = cutLine(data)
			kind, rest := cutField(line)
			name := f.some
			if string(kind) == "full" {
				name = f.full
			} else if string(kind) != "some" {
				continue
			}
			if v, ok := pressureTotal(rest); ok && name != "" {
				c.set(p, name, v)
			}
		}
	}
	if !found {
		return errNothing
	}
	return nil
}

func (c *pressure) set(p *page, name string, micros uint64) {
	row, known := p.row([]byte(name))
	if !known {
		row = p.define(name, []column{counter(name, "seconds")})
	}
	p.set(row[0], float64(micros)/1e6)
}

// pressureTotal reads "avg10=0.00 avg60=0.00 avg300=0.00 total=123" (microseconds).
func pressureTotal(rest []byte) (uint64, bool) {
	for {
		var field []byte
		if field, rest = cutField(rest); len(field) == 0 {
			return 0, false
		}
		if total, is := bytes.CutPrefix(field, []byte("total=")); is {
			return parseUint(total)
		}
	}
}
