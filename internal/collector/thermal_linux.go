package collector

import (
	"context"
	"errors"
	"io/fs"
	"strings"
)

// thermal reads the thermal zones of /sys/class/thermal, which is where small
// boards without hwmon chips keep their temperatures.
type thermal struct {
	file
	dir   string
	zones []zone
	cycle int
}

type zone struct{ path, number, kind string }

func newThermal(h host) (collector, error) { return &thermal{dir: h.sys + "/class/thermal"}, nil }

func (c *thermal) collect(_ context.Context, p *page) error {
	if c.cycle%searchEvery == 0 {
		if err := c.search(); err != nil {
			return err
		}
	}
	c.cycle++
	if len(c.zones) == 0 {
		return errNothing
	}
	for _, z := range c.zones {
		row, known := p.row([]byte(z.path))
		if !known {
			row = p.define(z.path, []column{gauge("node_thermal_zone_temp", "celsius")}, "zone", z.number, "type", z.kind)
		}
		if v, err := c.readInt(z.path); err == nil {
			p.set(row[0], float64(v)/1000)
		}
	}
	return nil
}

func (c *thermal) search() error {
	c.zones = c.zones[:0]
	names, err := readNames(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		number, ok := strings.CutPrefix(name, "thermal_zone")
		if !ok {
			continue
		}
		kind, err := c.readText(c.dir + "/" + name + "/type")
		if err != nil {
			continue
		}
		c.zones = append(c.zones, zone{c.dir + "/" + name + "/temp", number, kind})
	}
	return nil
}
