package collector

import (
	"context"
	"os"
)

// netclass reads the state of the interfaces from /sys/class/net.
type netclass struct {
	file
	dir    string
	filter filter
	paths  map[string]*netPaths
}

// netPaths are the files of one interface, so that no path is built in a cycle.
type netPaths struct {
	seen      bool
	operstate string
	numbers   [len(netclassNumbers)]string
}

// netclassNumbers are the files that hold one number, in the order of their series
// behind node_network_up.
var netclassNumbers = [...]string{"carrier", "carrier_changes", "mtu", "tx_queue_len", "speed"}

func netclassColumns() []column {
	return []column{
		gauge("node_network_up", ""),
		gauge("node_network_carrier", ""),
		counter("node_network_carrier_changes_total", ""),
		gauge("node_network_mtu_bytes", "bytes"),
		gauge("node_network_transmit_queue_length", ""),
		gauge("node_network_speed_bytes", "bytes"),
	}
}

func newNetClass(h host) (collector, error) {
	f, err := h.cfg.Network.compile()
	return &netclass{dir: h.sys + "/class/net", filter: f, paths: make(map[string]*netPaths)}, err
}

func (c *netclass) collect(_ context.Context, p *page) error {
	names, err := readNames(c.dir)
	if err != nil {
		return err
	}
	for _, paths := range c.paths {
		paths.seen = false
	}
	for _, name := range names {
		if !c.filter.takes(name) {
			continue
		}
		paths := c.paths[name]
		if paths == nil {
			paths = &netPaths{operstate: c.dir + "/" + name + "/operstate"}
			for i, f := range netclassNumbers {
				paths.numbers[i] = c.dir + "/" + name + "/" + f
			}
			if _, err := os.Stat(paths.operstate); err != nil {
				continue // bonding_masters is a file among the interfaces
			}
			c.paths[name] = paths
		}
		paths.seen = true
		c.device(p, name, paths)
	}
	for name, paths := range c.paths {
		if !paths.seen {
			delete(c.paths, name)
			c.forget(paths.operstate)
			for _, path := range paths.numbers {
				c.forget(path)
			}
		}
	}
	return nil
}

func (c *netclass) device(p *page, name string, paths *netPaths) {
	row, known := p.row([]byte(name))
	if !known {
		row = p.define(name, netclassColumns(), "device", name)
	}
	if state, err := c.read(paths.operstate); err == nil {
		word, _ := cutField(state)
		up := 0.0
		if string(word) == "up" {
			up = 1
		}
		p.set(row[0], up)
	}
	// An interface that is down refuses to say its carrier and speed: absent.
	for i, path := range paths.numbers {
		v, err := c.readInt(path)
		if err != nil {
			continue
		}
		if netclassNumbers[i] == "speed" {
			v *= 1_000_000 / 8 // megabits per second; -1, "unknown", stays negative
		}
		p.set(row[1+i], float64(v))
	}
}
