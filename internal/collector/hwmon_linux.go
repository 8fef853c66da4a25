package collector

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// hwmon reads the temperatures of /sys/class/hwmon. The folder is searched every
// so often; in between only the sensors found are read.
type hwmon struct {
	file
	dir     string
	sensors []sensor
	cycle   int
}

// sensor is one temperature.
type sensor struct {
	path, chip, name, label string
}

// searchEvery is how many cycles the sensors found are trusted: new ones are rare.
const searchEvery = 30

func newHwmon(h host) (collector, error) { return &hwmon{dir: h.sys + "/class/hwmon"}, nil }

func (c *hwmon) collect(_ context.Context, p *page) error {
	if c.cycle%searchEvery == 0 {
		if err := c.search(); err != nil {
			return err
		}
	}
	c.cycle++
	if len(c.sensors) == 0 {
		return errNothing
	}
	for _, s := range c.sensors {
		row, known := p.row([]byte(s.path))
		if !known {
			row = p.define(s.path, []column{gauge("node_hwmon_temp_celsius", "celsius")}, "chip", s.chip, "sensor", s.name)
			if s.label != "" {
				row = p.keep(s.path, append(row, p.define(s.path+" label", []column{gauge("node_hwmon_sensor_label", "")},
					"chip", s.chip, "sensor", s.name, "label", s.label)...))
			}
		}
		// A sensor that is asleep refuses to answer: absent.
		if v, err := c.readInt(s.path); err == nil {
			p.set(row[0], float64(v)/1000)
		}
		if len(row) > 1 {
			p.set(row[1], 1)
		}
	}
	return nil
}

func (c *hwmon) search() error {
	c.sensors = c.sensors[:0]
	chips, err := readNames(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range chips {
		dir := c.dir + "/" + entry
		names, err := readNames(dir)
		if err != nil {
			continue
		}
		for _, name := range names {
			num, ok := strings.CutSuffix(name, "_input")
			if _, digits := parseUint([]byte(strings.TrimPrefix(num, "temp"))); !ok || !digits || !strings.HasPrefix(num, "temp") {
				continue
			}
			label, _ := c.readText(dir + "/" + num + "_label")
			c.sensors = append(c.sensors, sensor{dir + "/" + name, c.chip(dir), num, label})
		}
	}
	return nil
}

// chip names a chip by the device behind it, which stays the same over restarts
// where hwmon0 and hwmon1 do not: node_exporter's rule.
func (c *hwmon) chip(dir string) string {
	if device, err := filepath.EvalSymlinks(dir + "/device"); err == nil {
		parent, name := filepath.Split(device)
		kind, name := cleanChip(filepath.Base(parent)), cleanChip(name)
		if kind != "" && name != "" {
			return kind + "_" + name
		}
		if name != "" {
			return name
		}
	}
	if name, err := c.readText(dir + "/name"); err == nil && cleanChip(name) != "" {
		return cleanChip(name)
	}
	return filepath.Base(dir)
}

func cleanChip(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == ':' {
			return r
		}
		return '_'
	}, strings.ToLower(s)), "_")
}
