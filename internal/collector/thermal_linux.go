package collector

import (
	"context"
	"errors"
	"io/fs"
	"strings"
)

// thermal reads the thermal zones of /sys/class/thermal, which is where small
// boards without hwmon chips keep their temperatures, and how hard the devices that
// cool them work.
type thermal struct {
	file
	dir     string
	filter  filter
	zones   []zone
	devices []zone
	cycle   int
}

// zone is a zone, or a device that cools, with the folder it is in.
type zone struct{ path, number, kind string }

func newThermal(h host) (collector, error) {
	f, err := h.cfg.Thermal.compile()
	return &thermal{dir: h.sys + "/class/thermal", filter: f}, err
}

func coolingColumns() []column {
	return []column{gauge("node_cooling_device_cur_state", ""), gauge("node_cooling_device_max_state", "")}
}

func (c *thermal) collect(_ context.Context, p *page) error {
	if c.cycle%searchEvery == 0 {
		if err := c.search(); err != nil {
			return err
		}
	}
	c.cycle++
	if len(c.zones)+len(c.devices) == 0 {
		return errNothing
	}
	for _, z := range c.zones {
		row, known := p.row([]byte(z.path))
		if !known {
			row = p.define(z.path, []column{gauge("node_thermal_zone_temp", "celsius")}, "zone", z.number, "type", z.kind)
		}
		if v, err := c.readInt(z.path + "/temp"); err == nil {
			p.set(row[0], float64(v)/1000)
		}
	}
	for _, d := range c.devices {
		row, known := p.row([]byte(d.path))
		if !known {
			row = p.define(d.path, coolingColumns(), "name", d.number, "type", d.kind)
		}
		for i, f := range [...]string{"/cur_state", "/max_state"} {
			if v, err := c.readInt(d.path + f); err == nil {
				p.set(row[i], float64(v))
			}
		}
	}
	return nil
}

func (c *thermal) search() error {
	c.zones, c.devices = c.zones[:0], c.devices[:0]
	names, err := readNames(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		number, isZone := strings.CutPrefix(name, "thermal_zone")
		device, cools := strings.CutPrefix(name, "cooling_device")
		if !isZone && !cools {
			continue
		}
		dir := c.dir + "/" + name
		kind, err := c.readText(dir + "/type")
		if err != nil || !c.filter.takes(kind) || len(c.zones)+len(c.devices) >= maxSensors {
			continue
		}
		if isZone {
			c.zones = append(c.zones, zone{dir, number, kind})
		} else {
			c.devices = append(c.devices, zone{dir, device, kind})
		}
	}
	return nil
}
