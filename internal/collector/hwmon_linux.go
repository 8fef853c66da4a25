package collector

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// hwmon reads the temperatures, fans, voltages, currents and powers of
// /sys/class/hwmon. The folder is searched every so often; in between only the
// sensors found are read.
type hwmon struct {
	file
	dir     string
	filter  filter
	sensors []sensor
	cycle   int
}

// sensor is one thing that is measured, or one of its limits.
type sensor struct {
	path, chip, name, label string
	measure                 measure
}

// measure is what a file of a sensor says, see the kernel's hwmon/sysfs-interface.
type measure struct {
	kind, file string // temp1_input is "temp" and "input"
	column
	div float64
}

func measures() []measure {
	return []measure{
		{"temp", "input", gauge("node_hwmon_temp_celsius", "celsius"), 1000},
		{"temp", "max", gauge("node_hwmon_temp_max_celsius", "celsius"), 1000},
		{"temp", "crit", gauge("node_hwmon_temp_crit_celsius", "celsius"), 1000},
		{"fan", "input", gauge("node_hwmon_fan_rpm", ""), 1},
		{"in", "input", gauge("node_hwmon_in_volts", "volts"), 1000},
		{"curr", "input", gauge("node_hwmon_curr_amps", "amperes"), 1000},
		{"power", "input", gauge("node_hwmon_power_watt", "watts"), 1e6},
		{"power", "average", gauge("node_hwmon_power_average_watt", "watts"), 1e6},
	}
}

// searchEvery is how many cycles the sensors found are trusted: new ones are rare.
const searchEvery = 30

// maxSensors bounds the files that are read; a server board has a hundred.
const maxSensors = 512

func newHwmon(h host) (collector, error) {
	f, err := h.cfg.Hwmon.compile()
	return &hwmon{dir: h.sys + "/class/hwmon", filter: f}, err
}

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
			row = p.define(s.path, []column{s.measure.column}, "chip", s.chip, "sensor", s.name)
			if s.label != "" {
				row = p.keep(s.path, append(row, p.define(s.path+" label", []column{gauge("node_hwmon_sensor_label", "")},
					"chip", s.chip, "sensor", s.name, "label", s.label)...))
			}
		}
		// A sensor that is asleep refuses to answer: absent.
		if v, err := c.readInt(s.path); err == nil {
			p.set(row[0], float64(v)/s.measure.div)
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
		chip := c.chip(dir)
		if !c.filter.takes(chip) {
			continue
		}
		for _, name := range names {
			if s, ok := sensorOf(name); ok && len(c.sensors) < maxSensors {
				s.path, s.chip = dir+"/"+name, chip
				if s.measure.file == "input" || s.measure.file == "average" {
					s.label, _ = c.readText(dir + "/" + s.name + "_label")
				}
				c.sensors = append(c.sensors, s)
			}
		}
	}
	return nil
}

// sensorOf reads a file's name: temp1_input.
func sensorOf(file string) (s sensor, ok bool) {
	name, what, _ := strings.Cut(file, "_")
	kind := strings.TrimRight(name, "0123456789")
	if kind == name {
		return s, false
	}
	for _, m := range measures() {
		if m.kind == kind && m.file == what {
			return sensor{name: name, measure: m}, true
		}
	}
	return s, false
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
