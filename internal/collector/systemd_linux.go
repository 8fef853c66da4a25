package collector

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// systemd asks the service manager over D-Bus how its units fare. Only the manager
// knows: its files and control groups do not tell a unit that failed from one that
// was stopped. It is asked for the failed ones alone, which costs it little, unless
// units are selected: then it lists all that it has loaded.
type systemd struct {
	path   string // of the bus' socket
	named  bool   // units are selected
	filter filter
	bus    *bus
	wait   int // cycles until the bus is looked for again
}

// maxUnits bounds the units that are named: those that match, and those that failed.
const maxUnits = 200

// unitStates are node_exporter's, of which each unit has one.
var unitStates = [...]string{"active", "activating", "deactivating", "inactive", "failed"}

func newSystemd(h host) (collector, error) {
	f, err := h.cfg.Systemd.compile()
	return &systemd{path: h.bus, filter: f, named: h.cfg.Systemd.Include != ""}, err
}

func (c *systemd) collect(ctx context.Context, p *page) error {
	if c.path == "" {
		return errNothing
	}
	answer, err := c.list(ctx)
	if err != nil {
		return err
	}
	var counts [len(unitStates)]int
	units := 0
	err = eachUnit(answer, func(name, load, active []byte) {
		state := unitState(active)
		if state < 0 {
			return
		}
		counts[state]++
		if string(load) != "loaded" && unitStates[state] != "failed" || !c.takes(name) {
			return
		}
		if units++; units <= maxUnits {
			c.unit(p, name, state)
		}
	})
	if err != nil {
		return err
	}
	for i, name := range unitStates {
		if !c.named && name != "failed" {
			continue
		}
		row, known := p.row([]byte(name))
		if !known {
			row = p.define(name, []column{gauge("node_systemd_units", "")}, "state", name)
		}
		p.set(row[0], float64(counts[i]))
	}
	if units > maxUnits {
		return fmt.Errorf("%d units match, of which %d are named", units, maxUnits)
	}
	return nil
}

// takes says whether a unit is named. Without a selection every one that failed is.
func (c *systemd) takes(name []byte) bool { return c.filter.takes(string(name)) }

// unit says the state of one unit: all its states where units are selected; the one
// that it has, failed, where they are not.
func (c *systemd) unit(p *page, name []byte, state int) {
	key := append([]byte("u "), name...)
	row, known := p.row(key)
	if !known {
		for i, s := range unitStates {
			if c.named || i == state {
				row = append(row, p.define("", []column{gauge("node_systemd_unit_state", "")}, "name", string(name), "state", s)...)
			}
		}
		row = p.keep(string(key), row)
	}
	for i := range row {
		v := 0.0
		if i == state || !c.named {
			v = 1
		}
		p.set(row[i], v)
	}
}

func unitState(word []byte) int {
	if string(word) == "reloading" || string(word) == "refreshing" {
		return 0 // it serves meanwhile
	}
	for i, s := range unitStates {
		if s == string(word) {
			return i
		}
	}
	return -1
}

// list asks for the units. A host without a bus, or without systemd on it, has none.
func (c *systemd) list(ctx context.Context) (body, error) {
	const (
		manager = "org.freedesktop.systemd1"
		object  = "/org/freedesktop/systemd1"
	)
	if c.wait > 0 {
		c.wait--
		return body{}, errNothing
	}
	if c.bus == nil {
		b, err := dialBus(ctx, c.path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			c.wait = searchEvery
			return body{}, errNothing
		}
		if err != nil {
			return body{}, err
		}
		c.bus = b
	}
	var answer body
	var err error
	if c.named {
		answer, err = c.bus.call(ctx, manager, object, manager+".Manager", "ListUnits")
	} else {
		answer, err = c.bus.call(ctx, manager, object, manager+".Manager", "ListUnitsFiltered", []string{"failed"})
	}
	if err == nil {
		return answer, nil
	}
	var refused busError
	if !errors.As(err, &refused) {
		c.bus.conn.Close()
		c.bus = nil // the next cycle tries anew
		return body{}, err
	}
	if strings.HasSuffix(string(refused), ".ServiceUnknown") || strings.HasSuffix(string(refused), ".NameHasNoOwner") {
		c.wait = searchEvery
		return body{}, errNothing
	}
	return body{}, err
}

// eachUnit reads a(ssssssouso): name, description, load state, active state, sub
// state, the unit it follows, path, and its job's number, kind and path.
func eachUnit(b body, f func(name, load, active []byte)) error {
	size := int(b.uint32())
	b.align(8)
	end := b.at + size
	if size > len(b.b) || end > len(b.b) {
		return errors.New("the list of units ends early")
	}
	for b.at < end {
		b.align(8)
		var words [7][]byte
		for i := range words {
			words[i] = b.text()
		}
		b.uint32()
		b.text()
		b.text()
		if b.bad {
			return errors.New("the list of units is not as it is documented")
		}
		f(words[0], words[2], words[3])
	}
	return nil
}
